"""Ours: prep's Batches over Records, in blocks of neighbours; `workers` are its processes.

With --raw, threads read the blocks, and nothing is decoded.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bench.rigs.readers.task import Task, asked, tell
from prep import Batches, Records

BLOCK = 64  # neighbours that are read with one request: 6 MB of ImageNet


def batches(task: Task) -> Iterator[NDArray[np.uint8] | int]:
    """One epoch."""
    records = Records(task.data.parent, task.data.stem).epoch(0, seed=1, block=BLOCK)
    if not task.raw:
        for images, _ in Batches(records, batch=task.batch, size=task.size, processes=task.workers):
            yield images
        return
    blocks = [range(first, min(first + BLOCK, len(records))) for first in range(0, len(records), BLOCK)]
    with ThreadPoolExecutor(task.workers) as pool:
        for samples in pool.map(records.__getitems__, blocks):
            yield len(samples)


if __name__ == "__main__":
    task = asked()
    tell(batches(task), time.perf_counter())
