"""A small data set in the shape of ILSVRC2012, generated: pictures a person recognises, and its odd files.

`python -m rehearsal.sample FOLDER` writes FOLDER/archives/*, FOLDER/<name>.toml (its description) and
FOLDER/oddities.json (the odd images planted, by split and by `<class>/<file>`). The same arguments give the
same bytes.
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click
import numpy as np

from rehearsal.sample import devkit
from rehearsal.sample.shots import Category, Layout, Picture, Shot, make_categories, make_shots, pictures

# In the order of the description, which is that of downloading: small files first.
_FILES: Final[dict[Layout, tuple[str, ...]]] = {
    "ilsvrc": (
        "{name}_devkit.tar.gz",
        "{name}_bbox_train.tar.gz",
        "{name}_bbox_val.tgz",
        "{name}_img_val.tar",
        "{name}_img_train.tar",
    ),
    "folders": ("{name}-validation.tar", "{name}-train.tar"),
}
_TIME: Final = 1339545600  # 2012-06-13: the time of every member, so that the same sample has the same bytes
_THREADS: Final = 2


def make_sample(
    folder: Path,
    *,
    seed: int = 0,
    classes: int = 10,
    images_per_class: int = 60,
    validation_images: int = 200,
    name: str = "sample",
    layout: Layout = "ilsvrc",
) -> Path:
    """Generate the sample into `folder` and return the path of its description (TOML).

    `layout` is "ilsvrc" (nested training archive, flat validation archive, devkit, bounding boxes) or
    "folders" (archives of <class>/<image>, classes named in plain words, no devkit).
    """
    archives = folder / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    categories = make_categories(classes, layout)
    train, validation = make_shots(categories, images_per_class, validation_images, seed, layout)
    with ThreadPoolExecutor(_THREADS) as pool:
        write = _write_ilsvrc if layout == "ilsvrc" else _write_folders
        sections = write(archives, name, categories, train, validation, seed, pool)
    planted = {
        split: {f"{shot.category.folder}/{shot.file}": shot.oddity for shot in shots if shot.oddity}
        for split, shots in (("train", train), ("validation", validation))
    }
    (folder / "oddities.json").write_text(json.dumps(planted, indent=1, sort_keys=True) + "\n")
    description = folder / f"{name}.toml"
    description.write_text(_description(archives, name, _FILES[layout], sections))
    return description


def oddities(folder: Path) -> dict[str, dict[str, str]]:
    """The odd images in the sample: split → `<class>/<file>` → kind (a key of encodings.ODD_SHAPES)."""
    planted: dict[str, dict[str, str]] = json.loads((folder / "oddities.json").read_text())
    return planted


def _add(tar: tarfile.TarFile, name: str, data: bytes | None) -> None:
    """Add a file, or a folder where there is no data."""
    member = tarfile.TarInfo(name)
    member.mtime = _TIME
    if data is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    else:
        member.size = len(data)
    tar.addfile(member, io.BytesIO(data or b""))


def _tar_bytes(members: Iterable[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            _add(tar, name, data)
    return file.getvalue()


def _box_xml(shot: Shot, picture: Picture, folder: str) -> bytes:
    """The object's box in PASCAL VOC's form, as ImageNet's annotations have it."""
    if picture.box is None:
        raise ValueError(f"{shot.file} has no box")
    corners = zip(("xmin", "ymin", "xmax", "ymax"), picture.box, strict=True)
    return (
        f"<annotation>\n\t<folder>{folder}</folder>\n\t<filename>{Path(shot.file).stem}</filename>\n"
        "\t<source>\n\t\t<database>sample</database>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{picture.size[0]}</width>\n\t\t<height>{picture.size[1]}</height>\n"
        "\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n"
        f"\t<object>\n\t\t<name>{shot.category.folder}</name>\n\t\t<pose>Unspecified</pose>\n"
        "\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n\t\t<bndbox>\n"
        + "".join(f"\t\t\t<{corner}>{value}</{corner}>\n" for corner, value in corners)
        + "\t\t</bndbox>\n\t</object>\n</annotation>\n"
    ).encode()


def _write_ilsvrc(
    archives: Path,
    name: str,
    categories: Sequence[Category],
    train: Sequence[Shot],
    validation: Sequence[Shot],
    seed: int,
    pool: ThreadPoolExecutor,
) -> str:
    train_boxes, validation_boxes = [], []
    with tarfile.open(archives / f"{name}_img_train.tar", "w", format=tarfile.GNU_FORMAT) as outer:
        for category in categories:
            members = []
            for shot, picture in pictures([shot for shot in train if shot.category == category], pool):
                members.append((shot.file, picture.data))
                # The original has boxes for not quite half of its training images.
                if picture.box and shot.seed[-1] % 5 < 2:
                    box = (
                        f"{category.folder}/{Path(shot.file).stem}.xml",
                        _box_xml(shot, picture, category.folder),
                    )
                    train_boxes.append(box)
            _add(outer, f"{category.folder}.tar", _tar_bytes(members))
    # Not in the order of names: labels go by names, and code that goes by the archive's order shows.
    shuffled = [validation[index] for index in np.random.default_rng([seed, 4]).permutation(len(validation))]
    with tarfile.open(archives / f"{name}_img_val.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for shot, picture in pictures(shuffled, pool):
            _add(tar, shot.file, picture.data)
            if picture.box:
                validation_boxes.append((f"val/{Path(shot.file).stem}.xml", _box_xml(shot, picture, "val")))
    kit = _devkit(categories, train, validation, seed)
    for file, members in (
        ("devkit.tar.gz", kit),
        ("bbox_train.tar.gz", train_boxes),
        ("bbox_val.tgz", sorted(validation_boxes)),
    ):
        (archives / f"{name}_{file}").write_bytes(gzip.compress(_tar_bytes(members), mtime=0))
    return _ILSVRC.format(name=name, classes=len(categories), train=len(train), validation=len(validation))


def _devkit(
    categories: Sequence[Category], train: Sequence[Shot], validation: Sequence[Shot], seed: int
) -> list[tuple[str, bytes]]:
    # Numbered against the order of the ids, so that a devkit number taken for a label can't pass for right.
    numbers = np.random.default_rng([seed, 5]).permutation(len(categories)) + 1
    if len(categories) > 1 and (numbers == np.arange(len(categories)) + 1).all():
        numbers = numbers[::-1]
    ids = {category.folder: int(number) for category, number in zip(categories, numbers, strict=True)}
    synsets = [
        devkit.Synset(category.folder, category.words, category.gloss, ids[category.folder])
        for category in categories
    ]
    truth = [ids[shot.category.folder] for shot in sorted(validation, key=lambda shot: shot.file)]
    return [
        (
            f"{devkit.FOLDER}/readme.txt",
            b"A generated sample in the form of the ILSVRC2012 development kit.\n",
        ),
        (f"{devkit.FOLDER}/data/meta.mat", devkit.meta_mat(synsets, len(train) // len(categories))),
        (f"{devkit.FOLDER}/data/ILSVRC2012_validation_ground_truth.txt", devkit.ground_truth(truth)),
    ]


def _write_folders(
    archives: Path,
    name: str,
    categories: Sequence[Category],
    train: Sequence[Shot],
    validation: Sequence[Shot],
    seed: int,
    pool: ThreadPoolExecutor,
) -> str:
    # The two ways that tar names members: `tar c *` and `tar c .`
    for split, shots, prefix in (("train", train, ""), ("validation", validation, "./")):
        with tarfile.open(archives / f"{name}-{split}.tar", "w", format=tarfile.GNU_FORMAT) as tar:
            for place in np.random.default_rng([seed, 6]).permutation(len(categories)):
                category = categories[place]
                _add(tar, f"{prefix}{category.folder}", None)
                for shot, picture in pictures([shot for shot in shots if shot.category == category], pool):
                    _add(tar, f"{prefix}{category.folder}/{shot.file}", picture.data)
    return _FOLDERS.format(name=name, classes=len(categories), train=len(train), validation=len(validation))


def _description(archives: Path, name: str, files: Sequence[str], sections: str) -> str:
    text = f'# Generated by rehearsal.sample.\n\nname = "{name}"\ntitle = "Generated sample"\n'
    for file_name in files:
        path = archives / file_name.format(name=name)
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        text += (
            f'\n[[archives]]\nfile = "{path.name}"\nurl = "https://example.invalid/data/{path.name}"\n'
            f'bytes = {path.stat().st_size}\nmd5 = "{md5}"\n'
        )
    return text + sections


_ILSVRC: Final = """
[classes]
count = {classes}
devkit = "{name}_devkit.tar.gz"

[splits.train]
archive = "{name}_img_train.tar"
layout = "nested"
labels = "path"
images = {train}

[splits.validation]
archive = "{name}_img_val.tar"
layout = "flat"
labels = "devkit"
images = {validation}

[[bounding_boxes]]
archive = "{name}_bbox_train.tar.gz"
folder = "train"

[[bounding_boxes]]
archive = "{name}_bbox_val.tgz"
folder = "validation"
"""
_FOLDERS: Final = """
[classes]
count = {classes}

[splits.train]
archive = "{name}-train.tar"
layout = "folders"
labels = "path"
images = {train}

[splits.validation]
archive = "{name}-validation.tar"
layout = "folders"
labels = "path"
images = {validation}
"""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--classes", default=10, show_default=True, type=click.IntRange(1, 10000))
@click.option("--images-per-class", default=60, show_default=True, type=click.IntRange(1, 30000))
@click.option("--validation-images", default=200, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--name", default="sample", show_default=True)
@click.option("--layout", default="ilsvrc", show_default=True, type=click.Choice(["ilsvrc", "folders"]))
def main(
    folder: Path,
    classes: int,
    images_per_class: int,
    validation_images: int,
    seed: int,
    name: str,
    layout: Layout,
) -> None:
    """Generate a sample data set into FOLDER; prints the path of its description."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise click.BadParameter(f"{name!r}: use lower-case letters, digits, - and _", param_hint="--name")
    description = make_sample(
        folder,
        seed=seed,
        classes=classes,
        images_per_class=images_per_class,
        validation_images=validation_images,
        name=name,
        layout=layout,
    )
    click.echo(description)
