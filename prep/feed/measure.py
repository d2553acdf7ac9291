"""Measures a training machine, within a budget of seconds, and says what it is at."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from prep.feed import loaders, volume
from prep.feed.loaders import SIDE, Work
from prep.feed.sample import Data, unread_first
from prep.feed.verdict import Measured, Smaller
from prep.feed.windows import WINDOW_BYTES, Window, stream
from prep.images.crop import chance, random_crop
from prep.images.prepare import Target, UnreadableImageError, prepare
from prep.images.resize import Pixels
from prep.progress import Progress

# Shares of the budget. What is left is for starting processes.
VOLUME, DECODING, BATCHES, SMALLER = 0.1, 0.24, 0.12, 0.06
MEMORY_SHARE = 0.9  # of the memory that is free or used as page cache: what a trainer can leave to the data
LEAST = 1.0  # seconds; a volume lets more through at first
KEPT_BYTES = 256 << 20  # read again and again from memory
SMALL_TARGET = Target(256, 90)


@dataclass(frozen=True)
class Machine:
    """The cores that this process may use, and the bytes of memory that programs don't use."""

    cores: int
    memory: int

    @classmethod
    def this(cls) -> "Machine":
        """The machine that this runs on."""
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
        return cls(len(os.sched_getaffinity(0)), available)


def measure(data: Data, machine: Machine, processes: int, seconds: float, progress: Progress) -> Measured:
    """Everything, in about so many seconds.

    Raises:
        PrepError: a file can't be read, or a process failed.
    """
    windows = unread_first(data.windows, progress.note)
    # Three samples, so that nothing is read for the first time twice.
    for_stream, for_singles, for_batches = (windows[number::3] or windows for number in range(3))
    singles = [record for window in for_singles for record in window.single()]
    chance(0).shuffle(singles)
    fits = data.size <= MEMORY_SHARE * machine.memory
    each = max(LEAST, VOLUME * seconds)

    with shown(progress, "volume, first time") as advance:
        first_stream, streamed = volume.once(for_stream, each, advance)
    with shown(progress, "records, first time") as advance:
        first_records, single = volume.once(singles, each, advance)
    with shown(progress, "batches, first time", data.image_bytes) as advance:
        work = Work(processes, BATCHES * seconds, cold=True, on_and_on=False)
        first_batches, batched = loaders.batches(for_batches, work, advance)
    with shown(progress, "volume, again") as advance:
        later_stream, _ = volume.once(streamed, each, advance)
    with shown(progress, "records, again") as advance:
        later_records, _ = volume.once(single, each, advance)
    with shown(progress, "small requests") as advance:
        small = volume.requests(streamed, each, advance)
    kept = _some(batched or streamed)
    with shown(progress, "memory") as advance:
        memory = volume.from_memory(kept, each / 2, advance)
    with shown(progress, "batches, later", data.image_bytes) as advance:
        work = Work(processes, BATCHES * seconds, cold=not fits, on_and_on=True)
        later_batches, _ = loaders.batches(kept if fits else batched or streamed, work, advance)
    decoding = {}
    counts = _counts(processes, machine.cores)
    for count in counts:
        with shown(progress, f"decoding, {count} at a time", data.image_bytes) as advance:
            decoding[count] = loaders.decoding(kept, count, DECODING * seconds / len(counts), advance)
    return Measured(
        data.images, data.size, fits, machine.cores, processes,
        first_stream, first_records, later_stream, later_records, small, memory,
        decoding, first_batches, later_batches, _smaller(kept, SMALLER * seconds),
    )  # fmt: skip


@contextmanager
def shown(progress: Progress, name: str, unit: float = 1.0) -> Iterator[Callable[[int], None]]:
    """Show a measurement as a task; counts are of `unit` bytes each."""
    progress.add(name, None)
    yield lambda count: progress.advance(name, int(count * unit))


def _some(windows: Sequence[Window]) -> list[Window]:
    """The first of the windows, as many as are kept in memory."""
    return [window for number, window in enumerate(windows) if number * WINDOW_BYTES < KEPT_BYTES]


def _counts(processes: int, cores: int) -> list[int]:
    """Numbers of processes to try: powers of two, the cores, and what is asked for."""
    powers = [1 << power for power in range(cores.bit_length()) if 1 << power < cores]
    return sorted({*powers, cores, processes})


def _smaller(windows: Sequence[Window], seconds: float) -> Smaller:
    """Bytes and decoding rate of some images after --resize 256 --quality 90, as ratios, by one thread."""
    cv2.setNumThreads(1)
    into = np.empty((SIDE, SIDE, 3), np.uint8)
    before = after = taken_before = taken_after = 0.0
    begun = time.perf_counter()
    for packed in stream(windows):
        image = packed.image
        try:
            small = prepare(image, SMALL_TARGET).jpeg
        except UnreadableImageError:
            continue
        before, after = before + len(image), after + len(small)
        taken_before += _seconds(image, into)
        taken_after += _seconds(small, into)
        if time.perf_counter() - begun > seconds:
            break
    return Smaller(after / before, taken_before / taken_after) if before else Smaller(1.0, 1.0)


def _seconds(image: bytes | memoryview, into: Pixels) -> float:
    begun = time.perf_counter()
    random_crop(image, into, chance(0))
    return time.perf_counter() - begun
