"""Packed files read in windows: runs of whole records that are read at once, in any order of the windows.

`pack` has put the records into random order, so an epoch that takes the windows in another order each time is
shuffled, and still reads the disk in large requests.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prep.records.recordio import image_of

WINDOW_BYTES = 1 << 20  # about 10 records of ImageNet; two of the blocks that EBS loads from S3
FOLIO = 2 << 20  # bytes: the largest that the page cache uses


class Packed(NamedTuple):
    """The label and the image file of a record; the file that has it, and where it begins there, in bytes."""

    label: float
    image: memoryview
    path: Path
    offset: int


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

    def until(self, offset: int) -> "Window":
        """The part of it before that offset, as far as there are whole records; at least the first record."""
        return Window(self.path, self.edges[:2] + tuple(edge for edge in self.edges[2:] if edge <= offset))

    def single(self) -> Iterator["Window"]:
        """Each record as a window of its own."""
        return (Window(self.path, edges) for edges in pairwise(self.edges))


def windows_of(path: Path, sizes: NDArray[np.int64]) -> list[Window]:
    """Cut a packed file whose records have these sizes, in bytes, into windows of about WINDOW_BYTES."""
    edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    cuts = np.searchsorted(edges, np.arange(0, edges[-1], WINDOW_BYTES))
    bounds = np.unique(np.append(cuts, len(edges) - 1))
    return [
        Window(path, tuple(edges[first : last + 1].tolist())) for first, last in pairwise(bounds.tolist())
    ]


def forget(handle: int, window: Window) -> None:
    """Have the kernel forget a window of an open file, so that it is read from the disk.

    A folio, which may have FOLIO bytes, is kept unless all of it is to go: so what lies around goes too.
    """
    start = max(0, window.offset - FOLIO)
    os.posix_fadvise(handle, start, window.edges[-1] + FOLIO - start, os.POSIX_FADV_DONTNEED)


def read(window: Window, cold: bool = False) -> memoryview:
    """The bytes of a window; `cold`: from the disk, not from memory."""
    data = memoryview(bytearray(window.size))
    with window.path.open("rb", buffering=0) as file:
        if cold:
            forget(file.fileno(), window)
        done = 0
        while done < window.size and (got := os.preadv(file.fileno(), [data[done:]], window.offset + done)):
            done += got
    return data


def records_of(window: Window, data: memoryview) -> Iterator[Packed]:
    """Each record, from the bytes of a window.

    Raises:
        IntegrityError: these are not whole records of images.
    """
    for start, end in pairwise(window.edges):
        where = f"{window.path}, byte {start}"
        label, _, image = image_of(data[start - window.offset : end - window.offset], where)
        yield Packed(label, image, window.path, start)


def stream(windows: Iterable[Window], cold: bool = False) -> Iterator[Packed]:
    """Each record of the windows; a thread reads one window ahead.

    Raises:
        IntegrityError: there is something else than whole records of images.
    """
    with ThreadPoolExecutor(1, "read ahead") as pool:
        before = None
        for window in windows:
            following = window, pool.submit(read, window, cold)
            if before:
                yield from records_of(before[0], before[1].result())
            before = following
        if before:
            yield from records_of(before[0], before[1].result())
