"""The reduction of images: all images are resized here."""

from typing import Any, cast

import cv2
import numpy as np

# At FAR times the size, four samples for each pixel are too few, and a missing odd row does not show.
FAR = 8
NEAR = 1.26

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def fit(width: int, height: int, resize: int) -> tuple[int, int]:
    """(width, height) with the short side at most `resize` pixels, in the same shape; never larger.

    If `resize` is even, the long side is even as well: 4:2:0 chroma then has exactly half the pixels on each
    side. With an odd side, chroma would be shifted against luma by up to half a pixel, which costs 2 to 5 dB.
    """
    short = min(width, height)
    if resize == 0 or short <= resize:
        return width, height
    step = 1 if resize % 2 else 2
    long = step * round(max(width, height) * resize / short / step)
    return (resize, long) if width < height else (long, resize)


def shrink(pixels: Pixels, size: tuple[int, int], into: Pixels | None = None) -> Pixels:
    """Pixels, (height, width) or (height, width, channels), at `size` (width, height); antialiased.

    The result is written into `into`, if given: an array of that shape, whose rows need not be contiguous.

    The image is interpolated linearly to exactly twice the size, and then halved by averaging. So every pixel
    of the result is the mean of four samples, at the places where an area filter would take them. OpenCV
    halves and interpolates with vector instructions, but has none for averaging over areas of other sizes. An
    image that is far too large is halved first. An image that is close to the size is averaged over exact
    areas nevertheless: the samples would blur it too much.
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
