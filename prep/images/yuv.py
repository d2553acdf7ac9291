"""Reduce an ordinary colour JPEG on its Y, Cb and Cr planes with libjpeg-turbo, without conversion to RGB.

This saves the conversion to RGB and back, and halves the number of samples to resize. If the library is
missing, OpenCV does the work at about 0.8 of the speed, and the manifest says so.
"""

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from turbojpeg import (
    TJSAMP_420,
    TJSAMP_422,
    TJSAMP_440,
    TJSAMP_444,
    TJCS_YCbCr,
    TurboJPEG,
)

from prep.images.resize import Pixels, shrink

# How many times the chroma planes are narrower and lower than the luma plane.
CHROMA = {TJSAMP_444: (1, 1), TJSAMP_422: (2, 1), TJSAMP_440: (1, 2), TJSAMP_420: (2, 2)}
SCALES = ((1, 8), (1, 4), (1, 2))
# Scaled decoding loses high frequencies. If it keeps this many times the pixels of each side, the loss is 2
# to 4 dB on average, and 49 dB or more remain (bench fidelity): 12 dB more than after encoding at quality 90.
SPARE = 1.5
ROW_PAD = 4  # bytes: PyTurboJPEG encodes from a buffer whose rows are multiples of this

# libjpeg-turbo warns of damaged picture data. As an exception, the warning can be handled.
warnings.filterwarnings("error", module="turbojpeg")


class UnsuitableError(Exception):
    """The file is not an ordinary colour JPEG, or is damaged: OpenCV must decode it."""


@cache
def library() -> TurboJPEG | None:
    """libjpeg-turbo, or None if it isn't installed."""
    try:
        return TurboJPEG()
    except (RuntimeError, OSError):
        return None


def codec() -> str:
    """The library that reduces colour JPEGs on this machine. The same library gives the same bytes."""
    return "libjpeg-turbo" if library() else "OpenCV"


@dataclass(frozen=True)
class Frame:
    """The Y, Cb and Cr planes of a picture, as views of one buffer. Cb and Cr have half its size, rounded up.

    `luma` is the Y plane whose last row and column are repeated if their number is odd, because an encoder at
    4:2:0 reads complete blocks of 2 by 2 pixels.
    """

    width: int
    height: int
    buffer: Pixels
    luma: Pixels
    planes: tuple[Pixels, Pixels, Pixels]

    @classmethod
    def blank(cls, width: int, height: int) -> "Frame":
        """A frame whose planes must be filled."""
        rows, columns = (height + 1) // 2, (width + 1) // 2
        row, half_row = (length + -length % ROW_PAD for length in (2 * columns, columns))
        luma_end, cb_end = 2 * rows * row, 2 * rows * row + rows * half_row
        buffer = np.empty(cb_end + rows * half_row, np.uint8)
        luma = buffer[:luma_end].reshape(-1, row)[:, : 2 * columns]
        cb = buffer[luma_end:cb_end].reshape(-1, half_row)[:, :columns]
        cr = buffer[cb_end:].reshape(-1, half_row)[:, :columns]
        return cls(width, height, buffer, luma, (luma[:height, :width], cb, cr))


def shrunk(data: memoryview, size: tuple[int, int]) -> Frame:
    """The planes of a JPEG, reduced to `size` (width, height).

    Raises:
        UnsuitableError: the file is not an ordinary colour JPEG or is damaged, or libjpeg-turbo is missing.
    """
    turbo = library()
    if turbo is None:
        raise UnsuitableError("no libjpeg-turbo")
    try:
        width, height, subsampling, colours = turbo.decode_header(data)
        if colours != TJCS_YCbCr or subsampling not in CHROMA:
            raise UnsuitableError("not YCbCr")
        scale = next((s for s in SCALES if min(width, height) >= SPARE * s[1] * min(size)), None)
        planes = turbo.decode_to_yuv_planes(data, scaling_factor=scale)
    except (OSError, UserWarning) as error:
        raise UnsuitableError(str(error)) from error
    divisor = scale[1] if scale else 1
    across, down = CHROMA[subsampling]
    width, height = -(-width // divisor), -(-height // divisor)
    frame = Frame.blank(*size)
    # Rows and columns of the planes beyond the picture are padding.
    shrink(planes[0][:height, :width], size, into=frame.planes[0])
    for plane, into in zip(planes[1:], frame.planes[1:], strict=True):
        chroma = plane[: -(-height // down), : -(-width // across)]
        shrink(chroma, (into.shape[1], into.shape[0]), into)
    frame.luma[: size[1], size[0] :] = frame.luma[: size[1], size[0] - 1 : size[0]]
    frame.luma[size[1] :] = frame.luma[size[1] - 1]
    return frame


def encode(frame: Frame, quality: int) -> bytes:
    """A baseline JPEG with 4:2:0 chroma from the result of `shrunk`."""
    turbo = library()
    assert turbo is not None  # noqa: S101 - the frame came from it
    jpeg: bytes = turbo.encode_from_yuv(frame.buffer, frame.height, frame.width, quality, TJSAMP_420)
    return jpeg
