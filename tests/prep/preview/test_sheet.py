"""The contact sheet: which images are on it, and what they look like there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prep.preview import sheet as module
from prep.preview.sheet import MOST_TILES, plain, tiles
from prep.preview.survey import survey
from prep.progress import Progress
from prep.records import manifest
from prep.stages.preview import preview
from tests.prep import pictures
from tests.prep.preview.packed import Item, write_packed

TINY = pictures.jpeg(16, 16)


@pytest.mark.parametrize(
    ("classes", "shown", "each"),
    [(1, 1, 4), (10, 10, 4), (40, 40, 2), (96, 96, 1), (97, 49, 1), (1000, 91, 1)],
)
def test_the_number_of_tiles(tmp_path: Path, classes: int, shown: int, each: int) -> None:
    names = [(f"c{label:04}", "w") for label in range(classes)]
    items = [Item(label, f"{number}.jpg", TINY) for number in range(5) for label in range(classes)]
    layout = write_packed(tmp_path, names, {"train": [items], "test": [items[:1]]})
    found = tiles(survey(layout, manifest.read(layout), 6))
    labels = [tile.label for tile in found]
    assert len(found) == shown * each <= MOST_TILES
    assert labels == sorted(labels)
    assert len(set(labels)) == shown
    assert {tile.place.split for tile in found} == {"train"}


def test_the_pictures_are_where_they_belong(tmp_path: Path) -> None:
    names = [("ant", "ant, emmet"), ("owl", "hibou œuf 斑马 " * 9)]
    items = [Item(label, f"{label}.jpg", pictures.jpeg(200, 200, label)) for label in (1, 0)]
    layout = write_packed(tmp_path, names, {"train": [items]})
    preview(layout, layout.packed, Progress(shown=False))
    with Image.open(layout.contact_sheet) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB"), np.float64)
    top, left = module.MARGIN + module.HEADING, module.MARGIN
    for label in (0, 1):
        start = left + label * (module.SIDE + module.GAP)
        tile = pixels[top : top + module.SIDE, start : start + module.SIDE]
        expected = pictures.picture(200, 200, label).resize((module.SIDE, module.SIDE))
        assert np.abs(tile - np.asarray(expected, np.float64)).mean() < 6
    assert (pixels[:, -module.MARGIN :] == pixels[0, 0]).all()  # no text runs out of its tile


def test_only_ascii_is_written() -> None:
    assert plain("füchse, Č, 狐\t") == "fuchse, C, ??"
