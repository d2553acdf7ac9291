"""The judge finds what is wrong: files packed here with MXNet's own writer, then spoilt one way at a time."""

import hashlib
import io
import json
import random
import tarfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from rehearsal.checks.packed import check_packed, main
from rehearsal.checks.truth import read_truth
from rehearsal.sample.generate import make_sample, oddities

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mxnet import recordio  # type: ignore[import-untyped, unused-ignore]

RESIZE = 300


@dataclass(frozen=True)
class Item:
    """What goes into a record and its line."""

    name: str
    label: int
    payload: bytes


@dataclass(frozen=True)
class Sample:
    """A sample's description and archives, and its images as they should be packed."""

    description: Path
    archives: Path
    splits: dict[str, list[Item]]
    classes: list[tuple[str, str]]


def resized(data: bytes) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = Image.open(io.BytesIO(data))
        source.load()
        if min(source.size) <= RESIZE:
            return data
        image = ImageOps.exif_transpose(source).convert("RGB")
    scale = RESIZE / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def write(packed: Path, splits: dict[str, list[Item]], classes: list[tuple[str, str]]) -> None:
    packed.mkdir()
    for split, items in splits.items():
        rec: Any = recordio.MXIndexedRecordIO(str(packed / f"{split}.idx"), str(packed / f"{split}.rec"), "w")
        for key, item in enumerate(items):
            rec.write_idx(key, recordio.pack(recordio.IRHeader(0, item.label, key, 0), item.payload))
        rec.close()
        lines = [f"{key}\t{item.label}\t{item.name}\n" for key, item in enumerate(items)]
        (packed / f"{split}.lst").write_text("".join(lines))
    lines = [f"{label}\t{wnid}\t{words}\n" for label, (wnid, words) in enumerate(classes)]
    (packed / "classes.tsv").write_text("".join(lines))
    seal(packed)


def seal(packed: Path) -> None:
    """Write the manifest of what is there."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted(packed.iterdir())
        if path.name != "MANIFEST.json"
    }
    (packed / "MANIFEST.json").write_text(json.dumps({"files": files}))


def load(description: Path, archives: Path) -> Sample:
    """The images with the labels worked out by hand: from the name, not by the judge."""
    truth = read_truth(description, archives)
    classes = [(one.id, one.words or one.id) for one in truth.classes]
    rank = {identity: label for label, (identity, _) in enumerate(classes)}
    splits = {}
    for split in truth.splits:
        items = [Item(name, rank[name.split("/")[0]], resized(data)) for name, data in split.images()]
        random.Random(1).shuffle(items)  # noqa: S311 - no secret
        splits[split.name] = items
    return Sample(description, archives, splits, classes)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    return load(
        make_sample(folder, classes=4, images_per_class=12, validation_images=24), folder / "archives"
    )


def wrong(sample: Sample, packed: Path) -> set[str]:
    """What the judge finds wrong."""
    return {what for what, right, _ in check_packed(sample.description, sample.archives, packed) if not right}


def spoilt(sample: Sample, packed: Path, change: Callable[[list[Item]], None]) -> set[str]:
    """What the judge finds in files that are packed well, from a changed list of training images."""
    items = list(sample.splits["train"])
    change(items)
    write(packed, {**sample.splits, "train": items}, sample.classes)
    return wrong(sample, packed)


def other(items: list[Item], place: int) -> int:
    """The place of an image of another class."""
    return next(n for n, item in enumerate(items) if item.label != items[place].label and n > place)


def test_right_files_pass(sample: Sample, tmp_path: Path) -> None:
    write(tmp_path / "packed", sample.splits, sample.classes)
    rows = check_packed(sample.description, sample.archives, tmp_path / "packed")
    assert [row for row in rows if not row[1]] == []
    pictures = next(detail for what, _, detail in rows if what == "train: pictures")
    # 1 pixel, 1 column, 32 pixels and others are small enough; the very large one can't be.
    assert "unchanged" in pictures
    assert f"resized to a short side of {RESIZE}" in pictures


def test_folders_pass(tmp_path: Path) -> None:
    description = make_sample(
        tmp_path, classes=3, images_per_class=5, validation_images=6, layout="folders", name="pets"
    )
    other_shape = load(description, tmp_path / "archives")
    assert [identity for identity, _ in other_shape.classes] == sorted(i for i, _ in other_shape.classes)
    write(tmp_path / "packed", other_shape.splits, other_shape.classes)
    assert wrong(other_shape, tmp_path / "packed") == set()


def test_labels_of_the_sample_are_not_devkit_numbers(sample: Sample) -> None:
    """The judge's truth by another road: the names in the outer tar, and a count for the validation."""
    with tarfile.open(sample.archives / "sample_img_train.tar") as tar:
        order = sorted(name.removesuffix(".tar") for name in tar.getnames())
    truth = read_truth(sample.description, sample.archives)
    assert [one.id for one in truth.classes] == order
    assert all(label == order.index(name.split("/")[0]) for name, label in truth.splits[0].labels.items())
    assert sorted(truth.splits[1].labels.values()) == sorted([0, 1, 2, 3] * 6)


def test_swapped_labels(sample: Sample, tmp_path: Path) -> None:
    def swap(items: list[Item]) -> None:
        there = other(items, 0)
        one, two = items[0], items[there]
        items[0], items[there] = replace(one, label=two.label), replace(two, label=one.label)

    assert spoilt(sample, tmp_path / "packed", swap) == {"train: labels in .lst", "train: labels in .rec"}


def test_swapped_pictures(sample: Sample, tmp_path: Path) -> None:
    def swap(items: list[Item]) -> None:
        there = other(items, 0)
        one, two = items[0], items[there]
        items[0], items[there] = replace(one, payload=two.payload), replace(two, payload=one.payload)

    assert spoilt(sample, tmp_path / "packed", swap) == {"train: pictures"}


def test_dropped_image(sample: Sample, tmp_path: Path) -> None:
    def drop(items: list[Item]) -> None:
        items.pop()

    assert spoilt(sample, tmp_path / "packed", drop) == {"train: every image once"}


def test_image_twice(sample: Sample, tmp_path: Path) -> None:
    assert spoilt(sample, tmp_path / "packed", lambda items: items.append(items[0])) == {
        "train: every image once"
    }


def test_unshuffled(sample: Sample, tmp_path: Path) -> None:
    def sort(items: list[Item]) -> None:
        items.sort(key=lambda item: item.name)

    assert spoilt(sample, tmp_path / "packed", sort) == {"train: order"}


def test_truncated_picture(sample: Sample, tmp_path: Path) -> None:
    def cut(items: list[Item]) -> None:
        place = next(n for n, item in enumerate(items) if len(item.payload) > 20000)
        items[place] = replace(items[place], payload=items[place].payload[:-5000])

    assert spoilt(sample, tmp_path / "packed", cut) == {"train: pictures"}


def test_orientation_lost(sample: Sample, tmp_path: Path) -> None:
    """A picture scaled without turning it upright: the mistake that EXIF data invites."""
    planted = oddities(sample.description.parent)["train"]
    name = next(name for name, kind in planted.items() if kind == "orientation-6")
    truth = read_truth(sample.description, sample.archives)
    data = next(data for found, data in truth.splits[0].images() if found == name)

    def flatten(items: list[Item]) -> None:
        file = io.BytesIO()
        Image.open(io.BytesIO(data)).convert("RGB").save(file, "JPEG", quality=95)
        place = next(n for n, item in enumerate(items) if item.name == name)
        items[place] = replace(items[place], payload=file.getvalue())

    assert spoilt(sample, tmp_path / "packed", flatten) == {"train: pictures"}


def edit_list(packed: Path) -> None:
    lines = (packed / "train.lst").read_text().splitlines()
    lines[0], lines[1] = lines[1], lines[0]
    (packed / "train.lst").write_text("\n".join(lines) + "\n")


def edit_index(packed: Path) -> None:
    lines = (packed / "train.idx").read_text().splitlines()
    (packed / "train.idx").write_text("\n".join(lines[:-1]) + "\n")


def edit_classes(packed: Path) -> None:
    lines = (packed / "classes.tsv").read_text().splitlines()
    (packed / "classes.tsv").write_text("\n".join(reversed(lines)) + "\n")


def cut_records(packed: Path) -> None:
    data = (packed / "train.rec").read_bytes()
    (packed / "train.rec").write_bytes(data[:-8])


def remove_list(packed: Path) -> None:
    (packed / "validation.lst").unlink()


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (edit_list, "train: ids"),
        (edit_index, "train: index"),
        (edit_classes, "classes.tsv"),
        (cut_records, "train: files can be read"),
        (remove_list, "validation: files can be read"),
    ],
)
def test_spoilt_files(sample: Sample, tmp_path: Path, edit: Callable[[Path], None], found: str) -> None:
    packed = tmp_path / "packed"
    write(packed, sample.splits, sample.classes)
    edit(packed)
    assert "MANIFEST.json" in wrong(sample, packed)
    seal(packed)
    assert found in wrong(sample, packed)


def test_magic_number_within_a_picture(sample: Sample, tmp_path: Path) -> None:
    """MXNet's writer splits such a record into parts; the judge puts them together again."""

    def insert(items: list[Item]) -> None:
        # A comment after the start of image; the number lies at a multiple of 4 in the record.
        place = next(n for n, item in enumerate(items) if len(item.payload) > 20000)
        data = items[place].payload
        number = (0xCED7230A).to_bytes(4, "little")
        comment = b"\xff\xfe\x00\x0e" + b"\0\0" + number + b"\0\0" + number
        items[place] = replace(items[place], payload=data[:2] + comment + data[2:])

    def parts(path: Path) -> Iterator[int]:
        data = path.read_bytes()
        place = 0
        while place < len(data):
            coded = int.from_bytes(data[place + 4 : place + 8], "little")
            yield coded >> 29
            place += 8 + ((coded & ((1 << 29) - 1)) + 3 & ~3)

    assert spoilt(sample, tmp_path / "packed", insert) == set()
    assert {1, 3} <= set(parts(tmp_path / "packed" / "train.rec"))


def test_command(sample: Sample, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    write(packed, sample.splits, sample.classes)
    arguments = [str(sample.description), str(sample.archives), str(packed)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    edit_list(packed)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "WRONG  train: ids" in result.output
