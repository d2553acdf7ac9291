"""Which records to read: windows of a split's files, in random order, first those that nobody has read yet.

A volume from a snapshot loads each block from S3 when it is first read. So what has not been read since the
volume was made must be read, and once only. A window of which something is in the page cache has been read.
"""

import ctypes
import mmap
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prep.errors import DescriptionError
from prep.feed.windows import Window, windows_of
from prep.records import manifest
from prep.records.access import Records
from prep.state.files import LIBC
from prep.state.layout import Layout

HIDDEN = (
    "feed: this user may not write the packed files, so Linux does not tell what of them is in memory: "
    "blocks that were read before may count as never read; run feed as root"
)


@dataclass(frozen=True)
class Data:
    """A split: records, bytes of its files, and all its windows, in order."""

    split: str
    images: int
    size: int
    windows: tuple[Window, ...]

    @property
    def image_bytes(self) -> float:
        """Mean size of a record."""
        return self.size / self.images


def read(layout: Layout, split: str | None) -> Data:
    """The windows of a split; without one, of `train` or else the first.

    Raises:
        DescriptionError: there are no packed files, or no such split, or it has no images.
        IntegrityError: a file is damaged or missing.
    """
    if split is None and layout.manifest.exists():
        splits = manifest.read(layout).splits
        split = "train" if "train" in splits else next(iter(splits))
    split = split or "train"
    files = Records(layout.packed, split).files()
    images = sum(len(offsets) - 1 for _, offsets in files)
    if not images:
        raise DescriptionError(f"{layout.packed}: split {split} has no images: name another --split")
    windows = [window for path, offsets in files for window in windows_of(path, np.diff(offsets))]
    return Data(split, images, sum(int(offsets[-1]) for _, offsets in files), tuple(windows))


def unread_first(windows: Sequence[Window], note: Callable[[str], None]) -> list[Window]:
    """The windows in random order; those that are in memory, at least in part, at the end.

    `note` is told if this user can't know which these are.
    """
    shuffled = list(windows)
    random.Random().shuffle(shuffled)  # noqa: S311 - a sample, not a secret
    handles = {path: os.open(path, os.O_RDONLY) for path in {window.path for window in windows}}
    if any(map(_hidden, handles)):
        note(HIDDEN)
    try:
        return sorted(shuffled, key=lambda window: in_memory(handles[window.path], window))
    finally:
        for handle in handles.values():
            os.close(handle)


def in_memory(handle: int, window: Window) -> bool:
    """Whether any page of a window of an open file is in the page cache.

    mincore(2) looks without reading. It says yes of everything to those who may not write the file.
    """
    start = window.offset - window.offset % mmap.ALLOCATIONGRANULARITY
    length = window.edges[-1] - start
    with mmap.mmap(handle, length, prot=mmap.PROT_READ, offset=start) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        pages = np.zeros(-(-length // mmap.PAGESIZE), np.uint8)
        failed = LIBC.mincore(
            ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(length), ctypes.c_void_p(pages.ctypes.data)
        )
        del view  # or the mapping can't be closed
    return not failed and bool((pages & 1).any())


def _hidden(path: Path) -> bool:
    """Whether the kernel does not tell this user what of a file is in memory: who may not write it."""
    owns = os.geteuid() in (0, path.stat().st_uid)
    return not owns and not os.access(path, os.W_OK, effective_ids=True)
