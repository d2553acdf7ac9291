"""The generated sample has ILSVRC2012's shape, its oddities, and the same bytes every time."""

import hashlib
import io
import tarfile
import tomllib
import warnings
import xml.etree.ElementTree as ET  # the XML is our own
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.io import loadmat  # type: ignore[import-untyped, unused-ignore]

from rehearsal.sample.encodings import ODD_SHAPES, odd
from rehearsal.sample.generate import main, make_sample, oddities

CLASSES, EACH, VALIDATION = 5, 10, 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    make_sample(folder, seed=3, classes=CLASSES, images_per_class=EACH, validation_images=VALIDATION)
    return folder


@pytest.fixture(scope="module")
def description(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "sample.toml").read_text())


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: stream.read() for member in tar if (stream := tar.extractfile(member))}


def train_images(folder: Path) -> dict[str, bytes]:
    images = {}
    for name, data in members(folder / "archives/sample_img_train.tar").items():
        with tarfile.open(fileobj=io.BytesIO(data)) as inner:
            for member in inner:
                stream = inner.extractfile(member)
                assert stream is not None
                images[f"{name.removesuffix('.tar')}/{member.name}"] = stream.read()
    return images


def test_description_is_true(folder: Path, description: dict[str, Any]) -> None:
    assert description["name"] == "sample"
    listed = {entry["file"] for entry in description["archives"]}
    assert listed == {path.name for path in (folder / "archives").iterdir()}
    for entry in description["archives"]:
        data = (folder / "archives" / entry["file"]).read_bytes()
        assert entry["bytes"] == len(data)
        assert entry["md5"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert entry["url"].endswith(f"/{entry['file']}")
    assert description["classes"]["count"] == CLASSES
    assert description["splits"]["train"]["images"] == CLASSES * EACH == len(train_images(folder))
    assert description["splits"]["validation"]["images"] == VALIDATION


def test_devkit(folder: Path) -> None:
    kit = members(folder / "archives/sample_devkit.tar.gz")
    meta = kit["ILSVRC2012_devkit_t12/data/meta.mat"]
    synsets: Any = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    assert synsets.dtype.names == (
        "ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height",
        "num_train_images",
    )  # fmt: skip
    leaves = [row for row in synsets if row["num_children"] == 0]
    assert len(leaves) == CLASSES < len(synsets)
    assert [int(row["ILSVRC2012_ID"]) for row in leaves] == list(range(1, CLASSES + 1))
    wnids = [str(row["WNID"]) for row in leaves]
    assert sorted(wnids) != wnids
    assert "goldfish, Carassius auratus" in {str(row["words"]) for row in leaves}
    truth = kit["ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"].decode().splitlines()
    assert sorted(map(int, truth)) == sorted([*range(1, CLASSES + 1)] * (VALIDATION // CLASSES))
    outer = [name.removesuffix(".tar") for name in members(folder / "archives/sample_img_train.tar")]
    assert outer == sorted(wnids)


def test_validation_ground_truth_fits_the_boxes(folder: Path) -> None:
    """The box files name their class: a way to the labels beside the ground truth."""
    kit = members(folder / "archives/sample_devkit.tar.gz")
    synsets: Any = loadmat(io.BytesIO(kit["ILSVRC2012_devkit_t12/data/meta.mat"]), squeeze_me=True)["synsets"]
    wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    truth = kit["ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"].decode().splitlines()
    images = members(folder / "archives/sample_img_val.tar")
    assert sorted(images) != list(images)
    class_of = {name: wnids[int(number)] for name, number in zip(sorted(images), truth, strict=True)}
    boxes = members(folder / "archives/sample_bbox_val.tgz")
    assert boxes
    for name, data in boxes.items():
        tree = ET.fromstring(data)  # noqa: S314 - our own
        image = name.removeprefix("val/").replace(".xml", ".JPEG")
        assert tree.findtext("object/name") == class_of[image]
        width, height = Image.open(io.BytesIO(images[image])).size
        left, top, right, bottom = (
            int(tree.findtext(f"object/bndbox/{corner}") or -1) for corner in ("xmin", "ymin", "xmax", "ymax")
        )
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


def test_oddities_are_what_they_say(folder: Path) -> None:
    planted = oddities(folder)["train"]
    assert set(planted.values()) == set(ODD_SHAPES)
    assert set(oddities(folder)["validation"].values()) == {"orientation-6", "grey", "cmyk-large", "png"}
    images = train_images(folder)
    for name, kind in planted.items():
        data = images[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            image.load()
        form = kind.removesuffix("-large")
        turned = kind.split("-")[1] in "568" if form.startswith("orientation") else False
        assert image.size == (ODD_SHAPES[kind][::-1] if turned else ODD_SHAPES[kind]), kind
        assert image.format == ("PNG" if form == "png" else "JPEG")
        assert image.mode == {"cmyk": "CMYK", "ycck": "CMYK", "grey": "L"}.get(form, "RGB"), kind
        assert bool(image.info.get("progressive")) == (form == "progressive")
        if form in ("cmyk", "ycck"):
            assert image.info["adobe_transform"] == (2 if form == "ycck" else 0)
        if form.startswith("orientation"):
            assert image.getexif()[0x0112] == int(kind.split("-")[1])
        assert (b"Exif\0\0" in data) == (form == "corrupt-exif" or form.startswith("orientation"))


def test_ink_looks_as_meant() -> None:
    """Pillow turns YCCK back by the Adobe marker: had the planes been wrong, green would not be green."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = (40, 160, 60)
    pixels[32:] = (200, 90, 30)
    for kind in ("cmyk", "ycck"):
        seen = np.asarray(Image.open(io.BytesIO(odd(kind, pixels))).convert("RGB")).astype(int)
        assert np.abs(seen - pixels).mean() < 6, kind


def test_usual_images(folder: Path) -> None:
    planted = oddities(folder)["train"]
    images = {name: data for name, data in train_images(folder).items() if name not in planted}
    sizes = [Image.open(io.BytesIO(data)).size for data in images.values()]
    assert (500, 375) in sizes
    assert 60_000 < np.mean([len(data) for data in images.values()]) < 180_000


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    for place, seed in (("one", 1), ("two", 1), ("three", 2)):
        make_sample(tmp_path / place, seed=seed, classes=2, images_per_class=3, validation_images=4)

    def content(place: str) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes() for path in sorted((tmp_path / place).rglob("*")) if path.is_file()
        }

    assert content("one") == content("two")
    assert content("one")["sample_img_val.tar"] != content("three")["sample_img_val.tar"]


def test_more_classes_than_drawn(tmp_path: Path) -> None:
    make_sample(tmp_path, classes=26, images_per_class=1, validation_images=1)
    outer = members(tmp_path / "archives/sample_img_train.tar")
    assert len(outer) == 26


def test_folders(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main,
        [str(tmp_path), "--layout", "folders", "--classes", "8", "--images-per-class", "3",
         "--validation-images", "8", "--name", "things"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    path = Path(result.output.strip())
    description = tomllib.loads(path.read_text())
    assert path.name == "things.toml"
    assert description["classes"] == {"count": 8}
    assert {split["layout"] for split in description["splits"].values()} == {"folders"}
    train = members(tmp_path / "archives/things-train.tar")
    assert len(train) == 24
    folders = {name.split("/")[0] for name in train}
    assert {"traffic_light", "goldfish"} <= folders
    # The same file names in every class: only with the class are they names of images.
    assert len({name.split("/")[1].lower() for name in train}) == 3
    assert all(name.startswith("./") for name in members(tmp_path / "archives/things-validation.tar"))
