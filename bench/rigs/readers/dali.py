"""NVIDIA DALI on the CPU: fn.readers.mxnet, then a decoder, as its documentation shows.

The file is read in order and shuffled in a buffer. `workers` are its threads. With `--crop-only` the decoder
is decoders.image_random_crop, which decodes no more than the crop needs: the others decode all.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, pipeline_def, types

from bench.rigs.readers.task import AREA, ASPECT, SHUFFLED, Task, asked, tell


def batches(task: Task) -> Iterator[NDArray[np.uint8]]:
    """One epoch."""

    @pipeline_def(batch_size=task.batch, num_threads=task.workers, device_id=None, seed=1)  # type: ignore[untyped-decorator]
    def pipeline() -> tuple[Any, Any]:
        encoded, labels = fn.readers.mxnet(
            path=[str(task.data)],
            index_path=[str(task.index)],
            random_shuffle=True,
            initial_fill=SHUFFLED,
            pad_last_batch=False,
            name="reader",
        )
        return _crops(encoded, task), labels

    running = pipeline()
    running.build()
    left = running.epoch_size("reader")
    while left > 0:
        crops, _ = running.run()
        yield crops.as_array()[:left]
        left -= task.batch


def _crops(encoded: Any, task: Task) -> Any:
    """Bilinear without a filter against aliasing, as OpenCV's and MXNet's: the same work as theirs."""
    size = (task.size, task.size)
    part = {"random_area": AREA, "random_aspect_ratio": ASPECT}
    if task.crop_only:
        pixels = fn.decoders.image_random_crop(encoded, device="cpu", output_type=types.RGB, **part)
        return fn.resize(pixels, size=size, antialias=False)
    pixels = fn.decoders.image(encoded, device="cpu", output_type=types.RGB)
    return fn.random_resized_crop(pixels, size=size, antialias=False, **part)


if __name__ == "__main__":
    task = asked()
    tell(batches(task), time.perf_counter())
