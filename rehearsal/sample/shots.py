"""Which images the sample holds, and the making of them: classes, names, odd ones, bytes and boxes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from rehearsal.sample.encodings import ODD_SHAPES, odd, usual_jpeg, usual_size
from rehearsal.sample.photos import take
from rehearsal.sample.scenes import SCENES

Layout = Literal["ilsvrc", "folders"]
_BATCH: Final = 64  # images held in memory at a time
_ODD_VALIDATION: Final = ("orientation-6", "grey", "cmyk-large", "png")
_SUFFIXES: Final = (".jpg", ".JPG", ".jpeg")


@dataclass(frozen=True)
class Category:
    """A class of the sample: `folder` is its WordNet id, or its name where the layout is folders."""

    folder: str
    words: str
    gloss: str
    scene: int
    variety: int


@dataclass(frozen=True)
class Shot:
    """An image to be made: file name, class, what its random numbers start from, how it is odd."""

    file: str
    category: Category
    seed: tuple[int, ...]
    oddity: str | None


@dataclass(frozen=True)
class Picture:
    """An image made: the file's bytes, width and height, and where the object is in it (None where odd)."""

    data: bytes
    size: tuple[int, int]
    box: tuple[int, int, int, int] | None


def make_categories(count: int, layout: Layout) -> list[Category]:
    """The sample's classes, in the order of their folders."""
    categories = []
    for number in range(count):
        place, variety = number % len(SCENES), number // len(SCENES) + 1
        scene = SCENES[place]
        mark = f" {variety}" if variety > 1 else ""
        if layout == "folders":
            # Both ways that people name folders, so that neither is taken for granted.
            folder = (scene.name + mark).replace(" ", "_" if place % 2 else " ")
            categories.append(Category(folder, folder, scene.gloss, place, variety))
            continue
        # Beyond the drawn classes: ids that WordNet has not given away.
        wnid = scene.wnid if variety == 1 else f"n9{number:07d}"
        words = scene.words if variety == 1 else f"{scene.name}, variety {variety}"
        categories.append(Category(wnid, words, scene.gloss, place, variety))
    return sorted(categories, key=lambda category: category.folder)


def make_shots(
    categories: Sequence[Category], images_per_class: int, validation_images: int, seed: int, layout: Layout
) -> tuple[list[Shot], list[Shot]]:
    """The training images and the validation images, in no order that tells a class."""
    rng = np.random.default_rng([seed, 1])
    train_names, train_classes = [], []
    for place, category in enumerate(categories):
        numbers = rng.choice(30000, images_per_class, replace=False)
        for index, number in enumerate(numbers):
            plain = f"{index + 1:04d}{_SUFFIXES[index % len(_SUFFIXES)]}"
            train_names.append(plain if layout == "folders" else f"{category.folder}_{number + 1}.JPEG")
            train_classes.append(place)
    # As many of each class as it goes, in random order.
    order = rng.permutation(np.arange(validation_images) % len(categories))
    names = [
        f"{index + 1:04d}.jpg" if layout == "folders" else f"ILSVRC2012_val_{index + 1:08d}.JPEG"
        for index in range(validation_images)
    ]
    train = _plant(train_names, train_classes, categories, [*ODD_SHAPES], (seed, 2))
    return train, _plant(names, [int(place) for place in order], categories, _ODD_VALIDATION, (seed, 3))


def _plant(
    names: Sequence[str],
    places: Sequence[int],
    categories: Sequence[Category],
    kinds: Sequence[str],
    seed: tuple[int, int],
) -> list[Shot]:
    """One image of each odd kind among the usual ones, half of the images at most."""
    rng = np.random.default_rng(seed)
    chosen = kinds[: len(names) // 2]
    where = dict(zip(rng.choice(len(names), len(chosen), replace=False).tolist(), chosen, strict=True))
    return [
        Shot(name, categories[place], (*seed, index), where.get(index))
        for index, (name, place) in enumerate(zip(names, places, strict=True))
    ]


def _picture(shot: Shot) -> Picture:
    rng = np.random.default_rng(shot.seed)
    scene = SCENES[shot.category.scene]
    width, height = ODD_SHAPES[shot.oddity] if shot.oddity else usual_size(rng)
    photo = take(scene, rng, width, height, shot.category.variety)
    if shot.oddity:
        return Picture(odd(shot.oddity, photo.pixels), (width, height), None)
    return Picture(usual_jpeg(photo.pixels, rng), (width, height), photo.box)


def pictures(shots: Sequence[Shot], pool: ThreadPoolExecutor) -> Iterator[tuple[Shot, Picture]]:
    """Make the images, in order."""
    for start in range(0, len(shots), _BATCH):
        batch = shots[start : start + _BATCH]
        yield from zip(batch, pool.map(_picture, batch), strict=True)
