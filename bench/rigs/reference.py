"""Pictures in floating point: exact area averages, the planes that a JPEG encoder codes, and PSNR."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# R, G, B to Y, Cb, Cr, all from 0 to 255 (JFIF 1.02, page 3), and back.
TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
TO_RGB = np.linalg.inv(TO_YCBCR).astype(np.float32)
CENTRE = np.array([0, 128, 128], np.float32)
SAME_DB = 99.0  # for pictures without a difference


def area_average(pixels: Pixels, width: int, height: int) -> Floats:
    """The exact mean colour of each of `width` by `height` equal parts of a picture, which is no smaller."""
    narrow = _averaged(pixels.astype(np.float64).swapaxes(0, 1), width).swapaxes(0, 1)
    return _averaged(narrow, height).astype(np.float32)


def _averaged(lines: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """Lines averaged over equal parts of the first axis: differences of its integral at the parts' edges."""
    length = lines.shape[0]
    integral = np.concatenate([np.zeros_like(lines[:1]), np.cumsum(lines, axis=0)])
    edges = np.arange(parts + 1) * (length / parts)
    whole = np.minimum(edges.astype(int), length - 1)
    part = (edges - whole).reshape(-1, *[1] * (lines.ndim - 1))
    at_edges = integral[whole] + part * lines[whole]
    return np.asarray(np.diff(at_edges, axis=0) * (parts / length))


def encoder_planes(rgb: Pixels | Floats) -> tuple[Floats, Floats, Floats]:
    """Y, Cb and Cr of a picture, chroma averaged over 2 by 2 pixels, an odd edge repeated; unrounded."""
    ycbcr = cv2.transform(rgb.astype(np.float32), TO_YCBCR) + CENTRE
    height, width = rgb.shape[:2]
    even = np.pad(ycbcr[..., 1:], ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    half = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 2).mean(axis=(1, 3))
    return ycbcr[..., 0], half[..., 0], half[..., 1]


def rgb_of(planes: Sequence[Pixels]) -> Floats:
    """R, G and B of an encoder's planes, chroma interpolated as decoders do."""
    height, width = planes[0].shape
    chroma = [
        cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)[:height, :width]
        for plane in planes[1:]
    ]
    ycbcr = np.dstack([planes[0], *chroma]).astype(np.float32) - CENTRE
    return np.asarray(cv2.transform(ycbcr, TO_RGB).clip(0, 255), dtype=np.float32)


def psnr(planes: Sequence[Pixels | Floats], truth: Sequence[Floats]) -> float:
    """Peak signal-to-noise ratio in dB over all samples of some planes, whose range is 0 to 255."""
    squares = [np.square(plane.astype(np.float32) - true) for plane, true in zip(planes, truth, strict=True)]
    error = sum(float(square.sum()) for square in squares) / sum(square.size for square in squares)
    return SAME_DB if not error else min(SAME_DB, 10 * float(np.log10(255.0**2 / error)))
