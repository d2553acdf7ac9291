"""A contact sheet of the batches that instances read: each image above its class's words, for a person."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_COLUMNS: Final = 6
_TILE: Final = 224  # an image's side in pixels
_GAP: Final = 20
_CAPTION: Final = 62
_HEADING: Final = 60
_MARGIN: Final = 32
_PAPER: Final = (250, 249, 246)
_INK: Final = (32, 33, 36)
_FAINT: Final = (110, 112, 118)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(batches: Sequence[Path], path: Path) -> None:
    """Draw the batches (batch.npz files of first_batch.py) into a PNG, each headed by its folder's name."""
    loaded = [_load(batch) for batch in batches]
    rows = [-(-len(images) // _COLUMNS) for images, _, _ in loaded]
    width = 2 * _MARGIN + _COLUMNS * _TILE + (_COLUMNS - 1) * _GAP
    height = 2 * _MARGIN + sum(_HEADING + count * (_TILE + _CAPTION) for count in rows)
    sheet = Image.new("RGB", (width, max(height, 2 * _MARGIN + 1)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for batch, (images, labels, words), count in zip(batches, loaded, rows, strict=True):
        _heading(draw, top, batch.parent.name, f"{len(images)} images as read by MXNet's ImageRecordIter")
        for place, (pixels, label, word) in enumerate(zip(images, labels, words, strict=True)):
            left = _MARGIN + place % _COLUMNS * (_TILE + _GAP)
            upper = top + _HEADING + place // _COLUMNS * (_TILE + _CAPTION)
            sheet.paste(
                Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.LANCZOS), (left, upper)
            )
            _caption(draw, left, upper + _TILE + 6, str(word), f"label {label}")
        top += _HEADING + count * (_TILE + _CAPTION)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _load(batch: Path) -> tuple[list[np.ndarray], list[int], list[str]]:  # type: ignore[type-arg]
    with np.load(batch) as data:
        return list(data["images"]), [int(label) for label in data["labels"]], [str(w) for w in data["words"]]


def _font(size: int) -> _Font:
    # Pillow's own font: no machine has to have one installed.
    return ImageFont.load_default(size)


def _heading(draw: ImageDraw.ImageDraw, top: int, title: str, remark: str) -> None:
    draw.text((_MARGIN, top), title, _INK, _font(26))
    left = _MARGIN + draw.textlength(title, _font(26)) + 16
    draw.text((left, top + 9), remark, _FAINT, _font(16))


def _caption(draw: ImageDraw.ImageDraw, left: int, top: int, words: str, label: str) -> None:
    """The first name in ink and, small, the label and the other names."""
    first, _, others = words.partition(", ")
    draw.text((left, top), _fit(draw, first, _font(19)), _INK, _font(19))
    more = f"{label} · {others}" if others else label
    draw.text((left, top + 22), _fit(draw, more, _font(13)), _FAINT, _font(13))


def _fit(draw: ImageDraw.ImageDraw, text: str, font: _Font) -> str:
    """The text, shortened to a tile's width."""
    if draw.textlength(text, font) <= _TILE:
        return text
    while text and draw.textlength(text + "...", font) > _TILE:
        text = text[:-1]
    return text.rstrip(" ,") + "..."
