"""Loader processes: how many images they decode, and how many end up in batches.

They are started afresh (spawn), because a fork of a process with threads can wait forever for a lock. Each
opens the files itself. `decoding` has the images in memory before the clock starts; `batches` reads them from
the files while the clock runs, decodes them into shared memory, and this process copies each batch out, as a
trainer does on the way to the GPU.
"""

import ctypes
import multiprocessing
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import cv2
import numpy as np

from prep.errors import IntegrityError
from prep.feed.windows import Packed, Window, read, records_of, stream
from prep.images.crop import chance, random_crop
from prep.images.prepare import UnreadableImageError
from prep.images.resize import Pixels
from prep.loading.processes import PATIENCE, Worker, workers

SIDE = 224  # pixels of a side of what the model gets
BATCH = 256  # images
SLOTS = 2  # batches a loader may be ahead
IN_MEMORY = 32 << 20  # bytes of images that a process decodes again and again

Advance = Callable[[int], None]
Tell = Callable[[Any], None]


@dataclass(frozen=True)
class Rate:
    """Images and seconds, by so many processes."""

    processes: int
    images: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Images a second."""
        return self.images / self.seconds if self.seconds else 0.0


def decoding(windows: Sequence[Window], processes: int, seconds: float, advance: Advance) -> Rate:
    """How many images so many processes decode and crop a second.

    Raises:
        PrepError: one of them failed.
    """
    context = multiprocessing.get_context("spawn")
    go = context.Event()
    arguments = [
        (list(windows)[number::processes] or list(windows), seconds, go) for number in range(processes)
    ]
    images = 0
    slowest = 0.0
    with workers(context, _decode, arguments) as running:
        _ready(running)
        go.set()
        for worker in running:
            done, taken = worker.hear()
            images, slowest = images + done, max(slowest, taken)
            advance(done)
    return Rate(processes, images, slowest)


def _decode(tell: Tell, windows: list[Window], seconds: float, go: Any) -> None:
    pictures: list[Packed] = []
    size = 0
    for window in windows:
        if size >= IN_MEMORY:
            break
        pictures += records_of(window, read(window))
        size += window.size
    into = np.empty((SIDE, SIDE, 3), np.uint8)
    rng = chance(0)
    _crop(pictures[0], into, rng)  # loads the libraries
    tell(None)
    go.wait(PATIENCE)
    begun = time.perf_counter()
    done = 0
    while time.perf_counter() - begun < seconds:
        _crop(pictures[done % len(pictures)], into, rng)
        done += 1
    tell((done, time.perf_counter() - begun))


def batches(windows: Sequence[Window], work: "Work", advance: Advance) -> tuple[Rate, list[Window]]:
    """How many images end up in batches a second: read from the files, decoded, cropped, copied here.

    Also returns the windows that were begun.

    Raises:
        PrepError: one of the processes failed.
    """
    context = multiprocessing.get_context("spawn")
    go = context.Event()
    size = work.batch * work.side**2 * 3
    shares = [_share(list(windows), number, work) for number in range(work.processes)]
    shared = [context.RawArray(ctypes.c_uint8, SLOTS * size) for _ in shares]
    free = [context.Semaphore(SLOTS) for _ in shares]
    arguments = [
        (number, share, work, shared[number], free[number], go) for number, share in enumerate(shares)
    ]
    target = np.empty(size, np.uint8)
    images = 0
    read: list[Window] = []
    with workers(context, _load, arguments) as running:
        _ready(running)
        go.set()
        begun = last = time.perf_counter()
        turns = deque(enumerate(running))
        while turns:
            number, worker = turns.popleft()
            slot, count, used = worker.hear()
            if slot is None:
                read += shares[number][:used]
                continue
            turns.append((number, worker))
            target[:] = np.frombuffer(memoryview(shared[number]), np.uint8)[slot * size : (slot + 1) * size]
            free[number].release()
            last = time.perf_counter()
            images += count
            advance(count)
    return Rate(work.processes, images, last - begun), read


@dataclass(frozen=True)
class Work:
    """So many processes for so many seconds; from the disk or from memory, the windows once or on and on."""

    processes: int
    seconds: float
    cold: bool
    on_and_on: bool
    side: int = SIDE
    batch: int = BATCH


def _share(windows: list[Window], number: int, work: Work) -> list[Window]:
    """The windows of a process; on and on, all of them from another one on, or there could be too few."""
    if work.on_and_on:
        first = number * len(windows) // work.processes
        return windows[first:] + windows[:first]
    return windows[number :: work.processes]


def _load(
    tell: Tell, number: int, windows: list[Window], work: Work, shared: Any, free: Any, go: Any
) -> None:
    slots = np.frombuffer(memoryview(shared), np.uint8).reshape(SLOTS, work.batch, work.side, work.side, 3)
    labels = np.empty((SLOTS, work.batch), np.float32)
    rng = chance(number)
    _load_libraries(slots[0, 0])
    tell(None)
    go.wait(PATIENCE)
    begun = time.perf_counter()
    taken: list[Window] = []

    def in_time() -> Iterator[Window]:
        for window in cycle(windows) if work.on_and_on else windows:
            if time.perf_counter() - begun >= work.seconds:
                break
            taken.append(window)
            yield window

    slot = count = 0
    free.acquire()
    for packed in stream(in_time(), work.cold):
        labels[slot, count] = packed.label
        _crop(packed, slots[slot, count], rng)
        count += 1
        if count == work.batch:
            tell((slot, count, 0))
            slot, count = (slot + 1) % SLOTS, 0
            free.acquire()
    if count:
        tell((slot, count, 0))
    tell((None, 0, len(taken)))


def _load_libraries(into: Pixels) -> None:
    """Have them loaded before the clock starts, with a picture of one colour."""
    _, jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))
    random_crop(jpeg.tobytes(), into, chance(0))


def _crop(packed: Packed, into: Pixels, rng: random.Random) -> None:
    try:
        random_crop(packed.image, into, rng)
    except UnreadableImageError as error:
        where = f"{packed.path}: the image at byte {packed.offset}"
        raise IntegrityError(f"{where} {error}: run verify where the data was packed") from error


def _ready(running: Sequence[Worker]) -> None:
    """Wait until all have loaded what they need."""
    for worker in running:
        worker.hear()
