"""Pixels made fewer: the one way in which images are resized."""

from typing import Any, cast

import cv2
import numpy as np

# From so many times the size, four samples a pixel are too few, and an odd row left out is nothing.
FAR = 8
NEAR = 1.26

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def fit(width: int, height: int, resize: int) -> tuple[int, int]:
    """(width, height) with the short side at most `resize` pixels, in the same shape; never larger.

    Where `resize` is even, so is the long side: 4:2:0 chroma then has exactly half the pixels, and lies where
    it belongs. An odd side would pull it away from luma by up to half a pixel, which costs 2 to 5 dB.
    """
    short = min(width, height)
    if resize == 0 or short <= resize:
        return width, height
    step = 1 if resize % 2 else 2
    long = step * round(max(width, height) * resize / short / step)
    return (resize, long) if width < height else (long, resize)


def shrink(pixels: Pixels, size: tuple[int, int], into: Pixels | None = None) -> Pixels:
    """Pixels, (height, width) or (height, width, channels), at `size` (width, height); antialiased.

    They are written to `into` if there is one, an array of that shape whose rows may lie apart.

    Linearly to exactly twice the size, and that halved by averaging: every pixel of the result is the mean of
    four samples, spread as an area filter's. OpenCV halves and interpolates with vector instructions, but has
    none for averaging over areas of other sizes. What is far too large is halved first, and what is near the
    size is averaged over exact areas all the same: there the samples would blur too much.
    """
    width, height = size
    if (pixels.shape[1], pixels.shape[0]) == size:
        if into is None:
            return pixels
        into[:] = pixels
        return into
    while min(pixels.shape[1] // width, pixels.shape[0] // height) >= FAR:
        even = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
        pixels = _resize(even, even.shape[1] // 2, even.shape[0] // 2, cv2.INTER_AREA)
    if pixels.shape[1] < NEAR * width:
        return _resize(pixels, width, height, cv2.INTER_AREA, into)
    if (pixels.shape[1], pixels.shape[0]) != (2 * width, 2 * height):
        pixels = _resize(pixels, 2 * width, 2 * height, cv2.INTER_LINEAR)
    return _resize(pixels, width, height, cv2.INTER_AREA, into)


def _resize(
    pixels: Pixels, width: int, height: int, interpolation: int, into: Pixels | None = None
) -> Pixels:
    return cast(Pixels, cv2.resize(pixels, (width, height), into, interpolation=interpolation))
