"""A plain image folder: torchvision's ImageFolder and RandomResizedCrop, PyTorch's DataLoader, shuffled.

As in PyTorch's own ImageNet example, except that the batches stay unsigned bytes: Pillow opens and decodes.
`workers` are the DataLoader's processes.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from bench.rigs.readers.task import AREA, ASPECT, Task, asked, tell


def batches(task: Task) -> Iterator[NDArray[np.uint8] | int]:
    """One epoch."""
    crop = transforms.RandomResizedCrop(task.size, scale=AREA, ratio=ASPECT)
    pictures = datasets.ImageFolder(str(task.data), transforms.Compose([crop, transforms.PILToTensor()]))
    if task.raw:
        pictures = datasets.DatasetFolder(str(task.data), _size, extensions=(".jpeg",))
    loader = DataLoader(pictures, task.batch, shuffle=True, num_workers=task.workers)
    for images, _ in loader:
        yield len(images) if task.raw else images.numpy()


def _size(path: str) -> int:
    return len(Path(path).read_bytes())


if __name__ == "__main__":
    task = asked()
    torch.set_num_threads(1)
    tell(batches(task), time.perf_counter())
