"""Packed files read in windows: runs of whole records that are read at once, in any order of the windows.

`pack` has put the records into random order, so an epoch that takes the windows in another order each time is
shuffled, and still reads the disk in large requests.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prep.records.recordio import FRAME, HEADER, LENGTH_LIMIT, MAGIC, read_records

WINDOW_BYTES = 1 << 20  # about 10 records of ImageNet; two of the blocks that EBS loads from S3
FOLIO = 2 << 20  # bytes: the largest that the page cache uses
HEAD = struct.Struct("<IIIf")  # magic, cflag and length, flag, label
OVERHEAD = FRAME.size + HEADER.size

Labelled = tuple[float, memoryview]
"""The label and the image file of a record."""


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


def records_of(window: Window, data: memoryview) -> Iterator[Labelled]:
    """Label and image of each record, from the bytes of a window.

    Raises:
        IntegrityError: these are not whole records of images.
    """
    for start, end in pairwise(window.edges):
        record = data[start - window.offset : end - window.offset]
        magic, word, flag, label = HEAD.unpack_from(record)
        if (
            (magic, flag) == (MAGIC, 0)
            and word < LENGTH_LIMIT
            and FRAME.size + word + -word % 4 == len(record)
        ):
            yield label, record[OVERHEAD : FRAME.size + word]
        else:  # in several pieces, or damaged
            whole = next(read_records(_Bytes(record), f"{window.path}, byte {start}"))
            yield whole.label, memoryview(whole.image)


def stream(windows: Iterable[Window], cold: bool = False) -> Iterator[Labelled]:
    """Label and image of each record of the windows; a thread reads one window ahead.

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


class _Bytes:
    """Bytes in memory as a file."""

    def __init__(self, data: memoryview) -> None:
        self._left = data

    def read(self, size: int, /) -> bytes:
        piece, self._left = self._left[:size], self._left[size:]
        return bytes(piece)
