"""What the volume gives: windows read in order, single records, small requests; from the disk or from memory.

Everything is read through the page cache, as readers of the data do. "From the disk" means that the kernel is
asked to forget these pages of these files just before; nothing else is forgotten.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prep.feed.windows import Window

IN_FLIGHT = 16  # reads at the same time: enough for gp3's 3,000 requests/s at 5 ms each
PIECE = 256 << 10  # bytes of one read of a window: the kernel reads ahead
SMALL = 4096  # bytes of a small request
MOST_BYTES = 4 << 30  # of one measurement; more would only push other data out of memory
LEAST_SECONDS = 1e-9

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Reading:
    """Bytes, records (or small requests) and seconds of a measurement."""

    size: int
    records: int
    seconds: float

    @property
    def bytes_per_second(self) -> float:
        """The rate in bytes."""
        return self.size / max(self.seconds, LEAST_SECONDS)

    @property
    def per_second(self) -> float:
        """The rate in records."""
        return self.records / max(self.seconds, LEAST_SECONDS)


def stream(windows: Sequence[Window], seconds: float, advance: Advance) -> tuple[Reading, list[Window]]:
    """Read windows from the disk, each in order, until the time is over; also says which were read."""
    return _read(windows, seconds, advance, os.POSIX_FADV_SEQUENTIAL)


def singly(windows: Sequence[Window], seconds: float, advance: Advance) -> tuple[Reading, list[Window]]:
    """The same, with no readahead: for single records in random order."""
    return _read(windows, seconds, advance, os.POSIX_FADV_RANDOM)


def requests(windows: Sequence[Window], seconds: float, advance: Advance) -> Reading:
    """Read SMALL bytes here and there in the windows from the disk, each place once."""
    step = 16 * SMALL  # far enough apart that no two are one request
    places = [
        Window(window.path, (place, place + SMALL))
        for start in range(0, max((window.size for window in windows), default=0), step)
        for window in windows
        if (place := -(-(window.offset + start) // SMALL) * SMALL) + SMALL <= window.edges[-1]
    ]
    return _read(places, seconds, advance, os.POSIX_FADV_RANDOM)[0]


def from_memory(windows: Sequence[Window], seconds: float, advance: Advance) -> Reading:
    """Read windows that are in the page cache again and again."""
    with _opened(windows, os.POSIX_FADV_RANDOM) as handles:
        buffer = memoryview(bytearray(max(window.size for window in windows)))
        for window in windows:
            os.preadv(handles[window.path], [buffer[: window.size]], window.offset)
        begun = time.perf_counter()
        size = records = 0
        while time.perf_counter() - begun < seconds:
            for window in windows:
                size += os.preadv(handles[window.path], [buffer[: window.size]], window.offset)
                records += window.records
                advance(window.size)
        return Reading(size, records, time.perf_counter() - begun)


def _read(
    windows: Sequence[Window], seconds: float, advance: Advance, advice: int
) -> tuple[Reading, list[Window]]:
    """IN_FLIGHT threads that read one window after the other, forgotten just before."""
    lock = threading.Lock()
    waiting = iter(windows)
    done: list[Window] = []

    def work() -> int:
        buffer = memoryview(bytearray(PIECE))
        total = 0
        while time.perf_counter() - begun < seconds:
            with lock:
                window = next(waiting, None) if total * IN_FLIGHT < MOST_BYTES else None
            if window is None:
                break
            handle = handles[window.path]
            os.posix_fadvise(handle, window.offset, window.size, os.POSIX_FADV_DONTNEED)
            offset = window.offset
            while offset < window.edges[-1] and time.perf_counter() - begun < seconds:
                piece = buffer[: min(PIECE, window.edges[-1] - offset)]
                offset += os.preadv(handle, [piece], offset)
                advance(len(piece))
            total += offset - window.offset
            with lock:
                done.append(window.until(offset))
        return total

    with _opened(windows, advice) as handles, ThreadPoolExecutor(IN_FLIGHT) as pool:
        begun = time.perf_counter()
        total = sum(pool.map(lambda _: work(), range(IN_FLIGHT)))
        taken = time.perf_counter() - begun
    return Reading(total, sum(window.records for window in done), taken), done


@contextmanager
def _opened(windows: Sequence[Window], advice: int) -> Iterator[dict[Path, int]]:
    """The files of the windows, open for reading, with this advice to the kernel."""
    handles = {path: os.open(path, os.O_RDONLY) for path in {window.path for window in windows}}
    try:
        for handle in handles.values():
            os.posix_fadvise(handle, 0, 0, advice)
        yield handles
    finally:
        for handle in handles.values():
            os.close(handle)
