"""MXNet's ImageRecordIter, in the form that gives unsigned bytes.

The file is read in order, in chunks, and shuffled in them. `workers` are its decoding threads.
"""

import time
from collections.abc import Iterator

import mxnet
import numpy as np
from numpy.typing import NDArray

from bench.rigs.readers.task import AREA, ASPECT, Task, asked, tell


def batches(task: Task) -> Iterator[NDArray[np.uint8]]:
    """One epoch."""
    reader = mxnet.io.ImageRecordUInt8Iter(
        path_imgrec=str(task.data),
        data_shape=(3, task.size, task.size),
        batch_size=task.batch,
        preprocess_threads=task.workers,
        shuffle=True,
        random_resized_crop=True,
        min_random_area=AREA[0],
        max_random_area=AREA[1],
        min_aspect_ratio=ASPECT[0],
        max_aspect_ratio=ASPECT[1],
        verbose=False,
    )
    left = task.images
    for batch in reader:
        yield batch.data[0].asnumpy()[:left]  # the last batch is filled up with images from the beginning
        left -= task.batch


if __name__ == "__main__":
    task = asked()
    tell(batches(task), time.perf_counter())
