"""Checks the archives of a data set against its description, and finds every difference."""

import hashlib
from collections import Counter
from pathlib import Path

from prep.archives.units import ClassOf, read_units
from prep.datasets.classes import Devkit, read_devkit
from prep.datasets.description import Description, Split
from prep.datasets.tables import Mistakes
from prep.describe.convert import digest_of
from prep.describe.survey import MOST_NAMES
from prep.errors import IntegrityError
from prep.progress import Progress


def check_archives(described: Description, folder: Path, progress: Progress) -> Mistakes:
    """Read every archive once: size, MD5 and, for splits, layout, images and classes."""
    wrong = Mistakes()
    devkit = _devkit(described, folder, wrong)
    classes: Counter[str] = Counter()
    whole = True  # whether all images have been seen
    for archive in described.archives:
        path, where = folder / archive.file, f"archive {archive.file}"
        if not path.is_file():
            wrong.add(where, f"is not in {folder}", "put it there, or correct file")
            whole = False
            continue
        split = described.split_of(archive.file)
        size = path.stat().st_size
        if archive.bytes not in (None, size):
            wrong.add(
                where,
                f"has {size} bytes, the description says {archive.bytes}",
                f"write bytes = {size} if this file is right, or get it again",
            )
        md5 = None
        if split is not None:
            md5 = _check_split(split, path, devkit, classes, wrong, progress)
            whole &= md5 is not None
        md5 = md5 or digest_of(path, progress)
        if md5 != archive.md5:
            wrong.add(
                where,
                f"its MD5 is {md5}, the description says {archive.md5}",
                f'write md5 = "{md5}" if this file is right, or get it again',
            )
    _check_classes(described, devkit, classes, whole, wrong)
    return wrong


def _devkit(described: Description, folder: Path, wrong: Mistakes) -> Devkit | None:
    if described.devkit is None or not (folder / described.devkit.file).is_file():
        return None  # that it is missing is said with the other archives
    try:
        return read_devkit(folder / described.devkit.file)
    except IntegrityError as error:
        wrong.add("[classes] devkit", str(error).rpartition(": ")[0], "name an ILSVRC devkit")
        return None


def _check_split(
    split: Split,
    path: Path,
    devkit: Devkit | None,
    classes: Counter[str],
    wrong: Mistakes,
    progress: Progress,
) -> str | None:
    """Read the archive as a pass does; its MD5, or None if that ends early."""
    where = f"[splits.{split.name}]"
    digest = hashlib.md5(usedforsecurity=False)
    task = f"check {path.name}"
    progress.add(task, path.stat().st_size)
    class_of: ClassOf = devkit.class_of if devkit else lambda _: "?"
    images = 0
    names: set[str] = set()
    twice: list[str] = []
    empty: list[str] = []
    try:
        for loaded in read_units(path, split, class_of, lambda _: None):
            digest.update(loaded.data)
            progress.advance(task, loaded.unit.size)
            images += len(loaded.images)
            for image in loaded.images:
                classes[image.name.partition("/")[0]] += 1
                twice += [image.name] if image.name in names else []
                empty += [] if image.data else [image.name]
                names.add(image.name)
    except IntegrityError as error:
        problem, _, remedy = str(error).rpartition(": ")
        wrong.add(where, f"layout {split.layout!r}: {problem}", remedy)
        return None
    for problem, found, remedy in (
        ("have the name of another", twice, "rename or remove them"),
        ("are empty", empty, "get them again, or remove them"),
    ):
        if found:
            some = ", ".join(found[:MOST_NAMES]) + (", …" if len(found) > MOST_NAMES else "")
            wrong.add(where, f"{split.archive.file}: images that {problem}: {len(found)} ({some})", remedy)
    if images != split.images:
        wrong.add(
            where,
            f"{split.archive.file} holds {images} images, the description says {split.images}",
            f"write images = {images} if this file is right, or get it again",
        )
    return digest.hexdigest()


def _check_classes(
    described: Description, devkit: Devkit | None, seen: Counter[str], whole: bool, wrong: Mistakes
) -> None:
    if described.devkit is not None and devkit is None:
        return
    names = set(devkit.words) if devkit else set(seen)
    who = "the devkit has" if devkit else "the archives have"
    if whole and len(names) != described.classes:
        wrong.add(
            "[classes]",
            f"{who} {len(names)} classes, the description says {described.classes}",
            f"write count = {len(names)}",
        )
    if devkit and (unknown := sorted(set(seen) - names)):
        wrong.add("[classes]", f"class {unknown[0]} is not in the devkit", "correct devkit, or the layout")
