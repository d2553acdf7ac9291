"""A set with ImageNet's numbers and next to no pixels: 1,281,167 and 50,000 distinct JPEGs of 16 by 16."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from bench.workloads import archives

CLASSES = 1000
TRAIN, VALIDATION = 1_281_167, 50_000
SIDE = 16
GRID = 4  # random colours a side: enough that no two images are the same


def write(folder: Path, name: str, scale: float) -> Path:
    """Write `folder`/archives and `folder`/`name`.toml, and return the latter. `scale` thins every class."""
    place = folder / "archives"
    place.mkdir(parents=True)
    wnids = [f"n{90000000 + 7 * number:08d}" for number in range(CLASSES)]
    counts = [_share(TRAIN, number, scale) for number in range(CLASSES)]
    train, validation, kit = f"{name}_train.tar", f"{name}_val.tar", f"{name}_devkit.tar.gz"
    with archives.makers() as pool:
        tars = pool.map(_class_tar, range(CLASSES), wnids, counts)
        archives.write_nested(place / train, zip(wnids, tars, strict=True))
    truth = [wnid for number, wnid in enumerate(wnids) for _ in range(_share(VALIDATION, number, scale))]
    order = np.random.default_rng(1).permutation(len(truth))
    truth = [truth[place] for place in order]
    pictures = _pictures(np.random.default_rng((1, 0)), len(truth))
    archives.write_flat(place / validation, zip(archives.validation_names(len(truth)), pictures, strict=True))
    archives.write_devkit(place / kit, [(wnid, f"class {wnid}") for wnid in wnids], truth)
    return archives.write_description(
        folder / f"{name}.toml", place, CLASSES, (train, sum(counts)), (validation, len(truth), kit)
    )


def _share(total: int, number: int, scale: float) -> int:
    """Images of the number-th class: as even as it goes, one at least."""
    even = total // CLASSES + (number < total % CLASSES)
    return max(1, round(even * scale))


def _class_tar(number: int, wnid: str, count: int) -> bytes:
    pictures = _pictures(np.random.default_rng((0, number)), count)
    return archives.tar_bytes((f"{wnid}_{index + 1}.JPEG", data) for index, data in enumerate(pictures))


def _pictures(rng: np.random.Generator, count: int) -> Iterator[bytes]:
    block = np.ones((SIDE // GRID, SIDE // GRID, 1), np.uint8)
    for _ in range(count):
        colours = rng.integers(0, 256, (GRID, GRID, 3), np.uint8)
        _, data = cv2.imencode(".jpg", np.kron(colours, block))
        yield data.tobytes()
