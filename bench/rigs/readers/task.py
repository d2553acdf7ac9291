"""What every reader is asked for, and how it tells what it did: one line of JSON on standard output.

The task: one epoch, shuffled; each image decoded whole to RGB, a random part of it (8 to 100 % of its area,
3:4 to 4:3, as ResNet-50 is trained) resized to SIZE by SIZE pixels; batches of unsigned bytes.
"""

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
SHUFFLED = 1024  # images that readers with a buffer shuffle at a time


@dataclass(frozen=True)
class Task:
    """`data` is a .rec file or a folder of class folders; with `raw`, nothing is decoded.

    `crop_only` allows a reader to decode no more than the crop.
    """

    data: Path
    workers: int
    size: int
    batch: int
    raw: bool
    crop_only: bool

    @property
    def index(self) -> Path:
        """The .idx file beside the .rec file."""
        return self.data.with_suffix(".idx")

    @property
    def images(self) -> int:
        """How many images the .rec file has."""
        with self.index.open("rb") as lines:
            return sum(1 for _ in lines)


def asked() -> Task:
    """The task, from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    for name in ("workers", "size", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for flag in ("--raw", "--crop-only"):
        parser.add_argument(flag, action="store_true")
    return Task(**vars(parser.parse_args()))


def tell(batches: Iterable[Any], begun: float) -> None:
    """Take all batches (arrays, or counts of images when nothing is decoded), then say how long that took.

    `begun` is when the reader was asked to begin: after its imports, before its data was opened.
    """
    images = total = 0
    for batch in batches:
        if isinstance(batch, int):
            images += batch
        else:
            images += len(batch)
            total += int(batch[-1].sum())  # as a check that the last picture is there
    print(json.dumps({"images": images, "seconds": time.perf_counter() - begun, "sum": total}))
