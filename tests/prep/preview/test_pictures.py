"""Thumbnails look like their images, at the right size and at any shape."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from prep.errors import IntegrityError
from prep.preview import pictures as module
from prep.preview.pictures import BUDGET, LONG_SIDE, cropped, made_of, of_a_class, side_of, square, whole
from prep.preview.survey import Place, survey
from prep.progress import Progress
from prep.records import manifest
from prep.records.recordio import LABEL_AT
from tests.prep import pictures
from tests.prep.preview.packed import Item, write_packed

HERE = Place("train", 0, "a/b.jpg")
QUIET = Progress(shown=False)


def difference(jpeg: bytes, expected: Image.Image) -> float:
    with Image.open(io.BytesIO(jpeg)) as image:
        found = np.asarray(image.convert("RGB").resize((24, 24), Image.Resampling.BOX), np.float64)
    return float(
        np.abs(found - np.asarray(expected.resize((24, 24), Image.Resampling.BOX), np.float64)).mean()
    )


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (97, 96), (1600, 1200), (1000, 96), (97, 1000)])
def test_a_square_is_the_middle(size: tuple[int, int]) -> None:
    source = pictures.picture(*size, seed=3)
    made = cropped(pictures.save(source, "JPEG", quality=95), HERE, 96)
    assert pictures.header(made.jpeg) == ("JPEG", "RGB", (96, 96))
    assert (made.width, made.height) == size
    assert difference(made.jpeg, ImageOps.fit(source, (min(size),) * 2)) < 3


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((500, 375), (240, 180)),
        ((375, 500), (180, 240)),
        ((2000, 100), (240, 12)),
        ((240, 240), (240, 240)),
        ((5000, 1), (240, 1)),
        ((1, 5000), (1, 240)),
        ((40, 30), (40, 30)),
    ],
)
def test_the_whole_has_the_shape_of_its_image(size: tuple[int, int], expected: tuple[int, int]) -> None:
    source = pictures.picture(*size, seed=4)
    made = whole(pictures.save(source, "JPEG", quality=95), HERE)
    assert pictures.header(made.jpeg)[2] == expected
    assert max(expected) <= LONG_SIDE
    assert difference(made.jpeg, source) < 5  # of 255; a mirrored one has 60


def test_grey_and_tiny_images() -> None:
    grey = pictures.save(pictures.picture(200, 150, 1).convert("L"), "JPEG")
    assert square(grey, HERE, 96).shape == (96, 96, 3)
    assert square(pictures.jpeg(1, 1), HERE, 96).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"no picture", "no marker at byte"), (pictures.jpeg(90, 90)[:300], "cut short"), (b"", "cut short")],
)
def test_what_cannot_be_decoded_is_named(data: bytes, why: str) -> None:
    with pytest.raises(IntegrityError, match=rf"split train: image a/b.jpg: {why}.*: run verify"):
        cropped(data, HERE, 96)


def test_a_record_that_is_another_is_found(tmp_path: Path) -> None:
    items = [Item(0, "0.jpg", pictures.jpeg(40, 30, 0)), Item(1, "1.jpg", pictures.jpeg(40, 30, 1))]
    layout = write_packed(tmp_path, [("a", "a"), ("b", "b")], {"train": [items]})
    found = survey(layout, manifest.read(layout), 1)
    first, second = (tally.first[0] for tally in found.tallies["train"])
    assert made_of(found, [second, first, second], lambda image, _: image, "task", QUIET) == {
        first: items[0].image,
        second: items[1].image,
    }
    data = bytearray(layout.rec("train").read_bytes())
    data[LABEL_AT : LABEL_AT + 4] = struct.pack("<f", 1.0)
    layout.rec("train").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"train.rec: record 0 \(a/0.jpg\) is not what the index says"):
        made_of(found, [second, first], lambda image, _: len(image), "again", QUIET)


def test_the_budget() -> None:
    assert (of_a_class(1, 1), of_a_class(10, 2), of_a_class(1000, 2)) == (6, 6, 1)
    assert (of_a_class(100, 3), of_a_class(0, 1), of_a_class(10**6, 1)) == (6, 6, 1)
    assert all(
        of_a_class(classes, 2) * classes * 2 <= BUDGET for classes in (1, 7, 200, 201, 333, BUDGET // 2)
    )
    assert (side_of(module.FEW), side_of(module.FEW + 1)) == (module.SIDE, module.SIDE_OF_MANY)
