"""The contact sheet: a PNG with a picture of every class, or of some of them, above its words."""

import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

import cv2
import numpy as np

from prep.images.resize import Pixels
from prep.preview.survey import Place, Survey

COLUMNS: Final = 8
MOST_TILES: Final = 96  # a PNG of photographs takes about 30 KB a tile
MOST_OF_A_CLASS: Final = 4
SIDE: Final = 128  # pixels of a tile's picture
GAP, MARGIN, CAPTION, HEADING = 16, 24, 40, 56
PAPER, INK, FAINT = (250, 252, 253), (35, 31, 29), (107, 97, 92)  # BGR
FONT: Final = cv2.FONT_HERSHEY_DUPLEX
TITLE, LARGE, SMALL = 0.8, 0.42, 0.36  # sizes of the font, as OpenCV counts them


class Tile(NamedTuple):
    """A picture of the sheet, and the label of its class."""

    place: Place
    label: int


def tiles(found: Survey) -> list[Tile]:
    """The pictures of the sheet, in the order of the labels: the first images of every class.

    If there are more classes than tiles, every n-th class is shown.
    """
    split = next(iter(found.tallies))  # the one that the data set names first: for ImageNet, train
    labels = [label for label, tally in enumerate(found.tallies[split]) if tally.first]
    each = max(1, min(MOST_OF_A_CLASS, MOST_TILES // max(1, len(labels))))
    step = -(-len(labels) // MOST_TILES) or 1
    return [
        Tile(place, label) for label in labels[::step] for place in found.tallies[split][label].first[:each]
    ]


def sheet(found: Survey, shown: list[Tile], pictures: Mapping[Place, Pixels]) -> bytes:
    """The sheet as a PNG; `pictures` has a square picture for each tile, at most SIDE pixels wide."""
    rows = -(-len(shown) // COLUMNS)
    width = 2 * MARGIN + COLUMNS * SIDE + (COLUMNS - 1) * GAP
    height = 2 * MARGIN + HEADING + rows * (SIDE + CAPTION + GAP)
    canvas = np.full((height, width, 3), PAPER, np.uint8)
    classes = len({tile.label for tile in shown})
    some = "" if classes == len(found.table) else f", {classes} of them here"
    title = f"{found.facts.dataset}: {found.images:,} images, {len(found.table):,} classes{some}"
    _write(canvas, title, MARGIN, MARGIN + 24, TITLE, INK, width - 2 * MARGIN)
    for number, tile in enumerate(shown):
        left = MARGIN + number % COLUMNS * (SIDE + GAP)
        top = MARGIN + HEADING + number // COLUMNS * (SIDE + CAPTION + GAP)
        picture = pictures[tile.place]
        if picture.shape[:2] != (SIDE, SIDE):  # smaller: its pixels are to be seen
            picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
        canvas[top : top + SIDE, left : left + SIDE] = picture
        wnid, words = found.table[tile.label]
        _write(canvas, words.partition(", ")[0], left, top + SIDE + 16, LARGE, INK, SIDE)
        _write(canvas, f"{tile.label}  {wnid}", left, top + SIDE + 32, SMALL, FAINT, SIDE)
    _, png = cv2.imencode(".png", canvas, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return png.tobytes()


def plain(text: str) -> str:
    """The text in ASCII, which is all that OpenCV's fonts have: without accents; other signs become "?"."""
    letters = unicodedata.normalize("NFKD", text)
    kept = "".join(sign for sign in letters if not unicodedata.combining(sign))
    return "".join(sign if " " <= sign <= "~" else "?" for sign in kept)


def _write(
    canvas: Pixels, text: str, left: int, base: int, size: float, colour: tuple[int, int, int], room: int
) -> None:
    """Write a line, shortened to `room` pixels."""
    line = plain(text)
    if _width(line, size) > room:
        while line and _width(f"{line}...", size) > room:
            line = line[:-1]
        line = f"{line.rstrip(' ,')}..."
    cv2.putText(canvas, line, (left, base), FONT, size, colour, 1, cv2.LINE_AA)


def _width(line: str, size: float) -> int:
    return cv2.getTextSize(line, FONT, size, 1)[0][0]
