"""Many small JPEGs: 64 by 64 pixels, cut out of generated photographs, in class folders as a nested archive.

ImageNet is used at this size too (P. Chrabaszcz and others, "A Downsampled Variant of ImageNet",
arXiv:1707.08819). An image has about 3 KB: reading it alone costs a request, and hardly any bytes.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bench.workloads import archives
from bench.workloads.photographs import Plan
from rehearsal.sample.encodings import jpeg
from rehearsal.sample.photos import take
from rehearsal.sample.scenes import SCENES
from rehearsal.sample.shots import Category, make_categories

SIDE = 64
PHOTO = (640, 512)  # of which 80 pieces are cut
QUALITY = 92


def write(folder: Path, name: str, plan: Plan) -> Path:
    """Write `folder`/archives and `folder`/`name`.toml, and return the latter; same arguments, same bytes."""
    place = folder / "archives"
    place.mkdir(parents=True)
    categories = make_categories(plan.classes, "ilsvrc")
    with archives.makers() as pool:
        tars = pool.map(partial(_class_tar, plan.images_per_class), range(len(categories)), categories)
        archives.write_nested(
            place / f"{name}.tar",
            ((category.folder, data) for category, data in zip(categories, tars, strict=True)),
        )
    file = (f"{name}.tar", plan.classes * plan.images_per_class)
    return archives.write_description(folder / f"{name}.toml", place, plan.classes, file, None)


def _class_tar(count: int, number: int, category: Category) -> bytes:
    pieces = _pieces(number, category)
    return archives.tar_bytes((f"{category.folder}_{index + 1}.JPEG", next(pieces)) for index in range(count))


def _pieces(number: int, category: Category) -> Iterator[bytes]:
    photo = 0
    while True:
        rng = np.random.default_rng((2, number, photo))
        pixels = take(SCENES[category.scene], rng, *PHOTO, category.variety).pixels
        for top in range(0, PHOTO[1], SIDE):
            for left in range(0, PHOTO[0], SIDE):
                piece = np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])
                yield jpeg(piece, QUALITY, full_colour=False)
        photo += 1
