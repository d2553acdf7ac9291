"""A generated set of natural-looking JPEGs, distributed as ILSVRC2012's are, packed as its archives are.

Sizes: ImageNet's training archive has 147,897,477,120 bytes for 1,281,167 images (image-net.org), which is
115 KB an image; most are 500 by 375. Qualities and chroma: a survey of the whole training set (M. Ehrlich,
"Compression in the ImageNet Dataset", terryalanunlimited.com) finds quality 96 the commonest by far and most
images without chroma subsampling, some as large as 2592 by 3888.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.workloads import archives
from bench.workloads.archives import Member
from bench.workloads.workload import Given, Workload
from bench.workloads.workload import workload as workload_of
from rehearsal.sample.encodings import jpeg
from rehearsal.sample.photos import take
from rehearsal.sample.scenes import SCENES
from rehearsal.sample.shots import Category, make_categories

# Width, height and share in percent.
SIZES = (
    (500, 375, 42), (375, 500, 13), (500, 333, 16), (333, 500, 6), (500, 500, 3), (400, 300, 3),
    (640, 480, 4), (320, 240, 2), (200, 150, 2), (160, 213, 1), (800, 600, 2.5), (1024, 768, 2),
    (768, 1024, 1), (1600, 1200, 1), (2048, 1536, 0.4), (2592, 1944, 0.1),
)  # fmt: skip
ODD_SIZES = 0.05  # the share that is of no common size, 100 to 600 pixels a side
QUALITIES = ((75, 7), (85, 8), (92, 15), (96, 50), (98, 20))  # JPEG quality and share in percent
FULL_CHROMA = 0.75  # the share without chroma subsampling (4:4:4); the others are 4:2:0


@dataclass(frozen=True)
class Plan:
    """How many images."""

    classes: int
    images_per_class: int
    validation_images: int

    @property
    def images(self) -> int:
        """All of them."""
        return self.classes * self.images_per_class + self.validation_images


# Classes of ImageNet's size: about 1,300 images, a tar of 148 MB. A small class makes a small unit, and a
# small unit makes small requests. For measurements on slow volumes.
LARGE_CLASSES = Plan(classes=7, images_per_class=1300, validation_images=500)


def workload(given: Given, name: str, plan: Plan) -> Workload:
    """The given data, or else photographs by this plan, kept under that name."""
    return workload_of(given, name, lambda folder: write(folder, name, plan))


def write(folder: Path, name: str, plan: Plan) -> Path:
    """Write `folder`/archives and `folder`/`name`.toml, and return the latter; same arguments, same bytes."""
    place = folder / "archives"
    place.mkdir(parents=True)
    categories = make_categories(plan.classes, "ilsvrc")
    classes = [(category.folder, category.words) for category in categories]
    train, validation, kit = f"{name}_train.tar", f"{name}_val.tar", f"{name}_devkit.tar.gz"
    with archives.makers() as pool:
        tars = pool.map(partial(_class_tar, plan.images_per_class), range(len(categories)), categories)
        archives.write_nested(
            place / train,
            ((category.folder, data) for category, data in zip(categories, tars, strict=True)),
        )
        truth = [categories[number % len(categories)] for number in range(plan.validation_images)]
        names = archives.validation_names(plan.validation_images)
        pictures = pool.map(_validation_picture, range(plan.validation_images), truth, chunksize=16)
        archives.write_flat(place / validation, zip(names, pictures, strict=True))
    archives.write_devkit(place / kit, classes, (category.folder for category in truth))
    return archives.write_description(
        folder / f"{name}.toml",
        place,
        plan.classes,
        (train, plan.classes * plan.images_per_class),
        (validation, plan.validation_images, kit),
    )


def _class_tar(count: int, number: int, category: Category) -> bytes:
    return archives.tar_bytes(_class_pictures(count, number, category))


def _class_pictures(count: int, number: int, category: Category) -> Iterator[Member]:
    for index in range(count):
        yield f"{category.folder}_{index + 1}.JPEG", _picture(category, (0, number, index))


def _validation_picture(index: int, category: Category) -> bytes:
    return _picture(category, (1, index))


def _picture(category: Category, seed: tuple[int, ...]) -> bytes:
    rng = np.random.default_rng(seed)
    width, height = _size(rng)
    photo = take(SCENES[category.scene], rng, width, height, category.variety)
    quality = QUALITIES[_choice(rng, [share for _, share in QUALITIES])][0]
    return jpeg(photo.pixels, quality, full_colour=bool(rng.random() < FULL_CHROMA))


def _size(rng: np.random.Generator) -> tuple[int, int]:
    if rng.random() < ODD_SIZES:
        return int(rng.integers(100, 600)), int(rng.integers(100, 600))
    width, height, _ = SIZES[_choice(rng, [share for _, _, share in SIZES])]
    return width, height


def _choice(rng: np.random.Generator, shares: list[float] | list[int]) -> int:
    weights = np.asarray(shares, dtype=float)
    return int(rng.choice(len(weights), p=weights / weights.sum()))
