"""Which records to read: windows of a split's files, in random order, first those that nobody has read yet.

A volume from a snapshot loads each block from S3 when it is first read. So what has not been read since the
volume was made must be read, and once only. A window of which something is in the page cache has been read.
"""

import ctypes
import mmap
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prep.errors import DescriptionError
from prep.feed.windows import Window, windows_of
from prep.records import manifest
from prep.records.access import Records
from prep.state.files import LIBC
from prep.state.layout import Layout


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
    sizes = Records(layout.packed, split or "train").stored_bytes()
    if not len(sizes):
        raise DescriptionError(f"{layout.packed}: split {split} has no images: name another --split")
    windows: list[Window] = []
    ends, first = np.cumsum(sizes), 0
    for part in manifest.read(layout).splits[split or "train"]["parts"]:
        before = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, before + layout.rec(part).stat().st_size)) + 1
        windows += windows_of(layout.rec(part), sizes[first:last])
        first = last
    return Data(split or "train", len(sizes), int(ends[-1]), tuple(windows))


def unread_first(windows: Sequence[Window], seed: int | None = None) -> list[Window]:
    """The windows in random order; those that are in memory, at least in part, at the end."""
    shuffled = list(windows)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - a sample, not a secret
    handles = {path: os.open(path, os.O_RDONLY) for path in {window.path for window in windows}}
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
