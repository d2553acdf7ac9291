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
from itertools import cycle
from pathlib import Path

from prep.feed.windows import Window, forget

IN_FLIGHT = 16  # reads at the same time: enough for gp3's 3,000 requests/s at 5 ms each
# Bytes of one read of a window: EBS counts up to 256 KiB to an SSD volume as one request.
# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-io-characteristics.html
PIECE = 256 << 10
SMALL = 4096  # bytes of a small request
MOST_BYTES = 4 << 30  # of one measurement; more would only push other data out of memory
LEAST_SECONDS = 1e-9

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Reading:
    """Bytes, records (or small requests) and seconds of a measurement; requests to the volume, if counted."""

    size: int
    records: int
    seconds: float
    requests: int = 0

    @property
    def bytes_per_second(self) -> float:
        """The rate in bytes."""
        return self.size / max(self.seconds, LEAST_SECONDS)

    @property
    def per_second(self) -> float:
        """The rate in records."""
        return self.records / max(self.seconds, LEAST_SECONDS)


def once(windows: Sequence[Window], seconds: float, advance: Advance) -> tuple[Reading, list[Window]]:
    """Read windows from the disk, each in order, until the time is over; also says what was read.

    IN_FLIGHT threads read one window after the other, forgotten just before. The kernel reads nothing ahead:
    that would be read and not counted when the time is over.
    """
    lock = threading.Lock()
    waiting = iter(windows)
    done: list[Window] = []

    def work() -> tuple[int, int]:
        buffer = memoryview(bytearray(PIECE))
        total = requests = 0
        while time.perf_counter() - begun < seconds:
            with lock:
                window = next(waiting, None) if total * IN_FLIGHT < MOST_BYTES else None
            if window is None:
                break
            handle = handles[window.path]
            forget(handle, window)
            offset = window.offset
            while offset < window.edges[-1] and time.perf_counter() - begun < seconds:
                # Up to a multiple of PIECE, or it would be two requests.
                piece = buffer[: min(PIECE - offset % PIECE, window.edges[-1] - offset)]
                offset += os.preadv(handle, [piece], offset)
                requests += 1
                advance(len(piece))
            total += offset - window.offset
            with lock:
                done.append(window.until(offset))
        return total, requests

    with _opened(windows) as handles, ThreadPoolExecutor(IN_FLIGHT) as pool:
        begun = time.perf_counter()
        read = list(pool.map(lambda _: work(), range(IN_FLIGHT)))
        taken = time.perf_counter() - begun
    total, requests = (sum(column) for column in zip(*read, strict=True))
    return Reading(total, sum(window.records for window in done), taken, requests), done


def requests(windows: Sequence[Window], seconds: float, advance: Advance) -> Reading:
    """Read SMALL bytes here and there in the windows from the disk, each place once."""
    step = 16 * SMALL  # far enough apart that no two are one request
    places = [
        Window(window.path, (place, place + SMALL))
        for start in range(0, max((window.size for window in windows), default=0), step)
        for window in windows
        if (place := -(-(window.offset + start) // SMALL) * SMALL) + SMALL <= window.edges[-1]
    ]
    return once(places, seconds, advance)[0]


def from_memory(windows: Sequence[Window], seconds: float, advance: Advance) -> Reading:
    """Read windows that are in the page cache again and again, as one loader process does."""
    buffer = memoryview(bytearray(max(window.size for window in windows)))
    size = records = 0
    with _opened(windows) as handles:
        for window in windows:  # so that they are there
            os.pread(handles[window.path], window.size, window.offset)
        begun = time.perf_counter()
        for window in cycle(windows):
            if time.perf_counter() - begun >= seconds:
                break
            size += os.preadv(handles[window.path], [buffer[: window.size]], window.offset)
            records += window.records
            advance(window.size)
        taken = time.perf_counter() - begun
    return Reading(size, records, taken)


@contextmanager
def _opened(windows: Sequence[Window]) -> Iterator[dict[Path, int]]:
    """The files of the windows, open for reading without readahead."""
    handles = {path: os.open(path, os.O_RDONLY) for path in {window.path for window in windows}}
    try:
        for handle in handles.values():
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        yield handles
    finally:
        for handle in handles.values():
            os.close(handle)
