"""Which records to read: windows of a split's files, in random order, first those that nobody has read yet.

A volume from a snapshot loads each block from S3 when it is first read. So what has not been read since the
volume was made must be read, and once only. A window of which something is in the page cache has been read.
"""

import ctypes
import mmap
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prep.errors import IntegrityError
from prep.records import manifest
from prep.records.recordio import FRAME, HEADER
from prep.state.files import LIBC
from prep.state.layout import Layout

WINDOW_BYTES = 4 << 20  # about 40 records of ImageNet


@dataclass(frozen=True)
class Window:
    """A run of whole records of a file: where each begins, then where the last ends, in bytes."""

    path: Path
    edges: tuple[int, ...]

    @property
    def offset(self) -> int:
        """Where it begins."""
        return self.edges[0]

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.edges[-1] - self.edges[0]

    @property
    def records(self) -> int:
        """How many records it has."""
        return len(self.edges) - 1

    def single(self) -> Iterator["Window"]:
        """Each record as a window of its own."""
        return (Window(self.path, edges) for edges in pairwise(self.edges))


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
        IntegrityError: there are no packed files, or no such split, or the index is not of its file.
    """
    facts = manifest.read(layout)
    name = split or ("train" if "train" in facts.splits else next(iter(facts.splits)))
    if name not in facts.splits:
        raise IntegrityError(
            f"{layout.packed}: has no split {name!r}: use one of {', '.join(sorted(facts.splits))}"
        )
    windows: list[Window] = []
    total = images = 0
    for part in facts.splits[name]["parts"]:
        edges = _edges(layout, part)
        total, images = total + int(edges[-1]), images + len(edges) - 1
        windows += _windows(layout.rec(part), edges)
    if not images:
        raise IntegrityError(
            f"{layout.packed}: split {name} has no images: pack some, or name another --split"
        )
    return Data(name, images, total, tuple(windows))


def _edges(layout: Layout, part: str) -> NDArray[np.int64]:
    """Where each record of a part begins, then where its file ends."""
    try:
        size = layout.rec(part).stat().st_size
        numbers = np.array(layout.idx(part).read_bytes().split(), dtype=np.int64)
    except OSError as error:
        raise IntegrityError(f"{error.filename}: {error.strerror}: check --packed") from error
    except ValueError as error:
        raise IntegrityError(f"{layout.idx(part)}: is no index: run verify") from error
    edges = np.append(numbers[1::2], size)
    if len(numbers) % 2 or (len(edges) > 1 and (np.diff(edges) < FRAME.size + HEADER.size).any()):
        raise IntegrityError(f"{layout.idx(part)}: is not the index of {layout.rec(part).name}: run verify")
    return edges


def _windows(path: Path, edges: NDArray[np.int64]) -> Iterator[Window]:
    """Cut a file into windows of about WINDOW_BYTES, at the edges of records."""
    cuts = np.searchsorted(edges, np.arange(0, edges[-1], WINDOW_BYTES))
    bounds = np.unique(np.append(cuts, len(edges) - 1))
    for first, last in pairwise(bounds.tolist()):
        yield Window(path, tuple(edges[first : last + 1].tolist()))


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
