"""Ours: prep's Records in blocks of neighbours, decoded by libjpeg-turbo and cropped by OpenCV.

`workers` are processes, each with its share of the epoch's blocks; this process gets their batches in shared
memory. A thread of each reads a block ahead.
"""

import ctypes
import math
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.rigs.readers.task import Task, asked, tell
from prep import Records, Sample
from prep.images.crop import chance, random_crop

BLOCK = 64  # neighbours that are read with one request: 6 MB of ImageNet
SLOTS = 3  # batches that a worker may be ahead


def batches(task: Task) -> Iterator[NDArray[np.uint8] | int]:
    """One epoch."""
    context = multiprocessing.get_context("fork")
    records = Records(task.data.parent, task.data.stem)
    shape = (SLOTS, task.batch, task.size, task.size, 3)
    told = context.SimpleQueue()
    memory = [
        np.frombuffer(memoryview(context.RawArray(ctypes.c_uint8, math.prod(shape))), np.uint8).reshape(shape)
        for _ in range(task.workers)
    ]
    free = [context.Semaphore(SLOTS) for _ in memory]
    for rank, mine in enumerate(memory):
        share = records.epoch(0, seed=1, rank=rank, world=task.workers, block=BLOCK)
        arguments = (task, share, rank, mine, free[rank], told)
        context.Process(target=_work, args=arguments, daemon=True).start()
    left = task.workers
    while left:
        rank, slot, count = told.get()
        if slot is None:
            left -= 1
            continue
        yield count if task.raw else memory[rank][slot, :count]
        free[rank].release()


def _work(task: Task, share: Records, rank: int, memory: NDArray[np.uint8], free: Any, told: Any) -> None:
    cv2.setNumThreads(1)
    rng = chance(rank)
    slot = count = 0
    free.acquire()
    for sample in ahead(share):
        if not task.raw:
            random_crop(sample.image, memory[slot, count], rng)
        count += 1
        if count == task.batch:
            told.put((rank, slot, count))
            slot, count = (slot + 1) % SLOTS, 0
            free.acquire()
    if count:
        told.put((rank, slot, count))
    told.put((rank, None, 0))


def ahead(share: Records) -> Iterator[Sample]:
    """All samples; a thread reads one block ahead."""
    with ThreadPoolExecutor(1, "read ahead") as pool:
        blocks = [range(first, min(first + BLOCK, len(share))) for first in range(0, len(share), BLOCK)]
        following = pool.submit(share.__getitems__, blocks[0])
        for block in [*blocks[1:], range(0)]:
            samples = following.result()
            following = pool.submit(share.__getitems__, block)
            yield from samples


if __name__ == "__main__":
    task = asked()
    tell(batches(task), time.perf_counter())
