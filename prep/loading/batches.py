"""Batches for training: images decoded, cropped at random, and collected by several processes.

from prep import Batches, Records
train = Records("/data", "train")
for images, labels in Batches(train.epoch(0, block=64)):
    ...
"""

import ctypes
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from prep.errors import IntegrityError
from prep.images.crop import chance, random_crop
from prep.images.prepare import UnreadableImageError
from prep.loading.processes import workers
from prep.records.access import Records

SLOTS = 2  # batches that a process may be ahead


class Batch(NamedTuple):
    """Images as an array of shape (images, size, size, 3), RGB, uint8; and their labels, int64."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batches:
    """The images of a view of Records, in its order, as batches. Iterate it once or several times.

    Of each image a random part, of 8 to 100 % of its area, is resized to `size` by `size` pixels, as for
    ResNet-50. The parts depend on `seed` and the number of the batch alone. The last batch has fewer images
    if they don't fill it.

    Args:
        records: such as `train.epoch(number, block=64)`: blocks of neighbours are read with one request each.
        batch: images in a batch.
        size: pixels of a side.
        processes: how many decode; one for each core unless given. Each takes the memory of two batches.
        seed: another one for each epoch gives other parts.
        start: "fork" or "spawn", as in multiprocessing. After the start of CUDA or of threads, use "spawn".
    """

    records: Records
    batch: int = 256
    size: int = 224
    processes: int | None = None
    seed: int = 0
    start: Literal["fork", "spawn"] = "fork"

    def __len__(self) -> int:
        return math.ceil(len(self.records) / self.batch)

    def __iter__(self) -> Iterator[Batch]:
        """Start the processes, and give each batch as it is wanted.

        Raises:
            IntegrityError: an image is damaged.
            PrepError: a process failed.
        """
        fork = self.start == "fork"
        context = multiprocessing.get_context("fork") if fork else multiprocessing.get_context("spawn")
        count = min(self.processes or len(os.sched_getaffinity(0)), len(self))
        shape = (SLOTS, self.batch, self.size, self.size, 3)
        shared = [context.RawArray(ctypes.c_uint8, math.prod(shape)) for _ in range(count)]
        free = [context.Semaphore(SLOTS) for _ in range(count)]
        arguments = [(self, rank, count, shared[rank], free[rank]) for rank in range(count)]
        with workers(context, _work, arguments) as started:
            slots = [np.frombuffer(memoryview(each), np.uint8).reshape(shape) for each in shared]
            for number in range(len(self)):
                rank = number % count
                slot, labels = started[rank].hear()
                images = slots[rank][slot, : len(labels)].copy()  # the process writes there again
                free[rank].release()
                yield Batch(images, labels)


def _work(tell: Callable[[Any], None], task: Batches, rank: int, count: int, shared: Any, free: Any) -> None:
    """Every `count`-th batch, from `rank` on; a thread reads the next one from the volume meanwhile."""
    slots = np.frombuffer(memoryview(shared), np.uint8).reshape(SLOTS, task.batch, task.size, task.size, 3)
    mine = range(rank, len(task), count)

    def read(number: int) -> Any:
        places = range(number * task.batch, min((number + 1) * task.batch, len(task.records)))
        return task.records.__getitems__(places)

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1, "read ahead"))
        following = pool.submit(read, mine[0])
        for turn, number in enumerate(mine):
            samples = following.result()
            if turn + 1 < len(mine):
                following = pool.submit(read, mine[turn + 1])
            free.acquire()
            slot = turn % SLOTS
            parts = chance(task.seed << 32 | number)
            for place, sample in enumerate(samples):
                try:
                    random_crop(sample.image, slots[slot, place], parts)
                except UnreadableImageError as error:
                    raise IntegrityError(
                        f"image {sample.name} {error}: run verify where the data was packed"
                    ) from error
            tell((slot, np.fromiter((sample.label for sample in samples), np.int64, len(samples))))
