"""An ordinary colour JPEG made smaller on its Y, Cb and Cr planes, by libjpeg-turbo, with no RGB in between.

It saves the conversion to RGB and back, and halves what has to be resized. Where the library is missing,
OpenCV does the work at about 0.8 of the speed, and the manifest says so.
"""

import warnings
from functools import cache

import numpy as np
from turbojpeg import (
    TJPF_BGR,
    TJPF_CMYK,
    TJPF_GRAY,
    TJSAMP_420,
    TJSAMP_422,
    TJSAMP_440,
    TJSAMP_444,
    TJCS_YCbCr,
    TurboJPEG,
)

from prep.pixels import Pixels, is_near, shrink

# Chroma planes are so many times narrower and lower than the luma plane.
CHROMA = {TJSAMP_444: (1, 1), TJSAMP_422: (2, 1), TJSAMP_440: (1, 2), TJSAMP_420: (2, 2)}
SCALES = ((1, 8), (1, 4), (1, 2))
# Scaled decoding is free of loss while it leaves this many times the pixels wanted, along each side.
SPARE = 2
ROW_PAD = 4  # bytes: rows in the buffer that PyTurboJPEG encodes from

# What libjpeg-turbo warns of is damage in the picture's data; as an error it can be acted on.
warnings.filterwarnings("error", module="turbojpeg")


class UnsuitableError(Exception):
    """Not an ordinary colour JPEG, or damaged: OpenCV must see what it can make of it."""


@cache
def library() -> TurboJPEG | None:
    """libjpeg-turbo, or None where it isn't installed."""
    try:
        return TurboJPEG()
    except (RuntimeError, OSError):
        return None


def codec() -> str:
    """What makes colour JPEGs smaller on this machine; the same codec gives the same bytes."""
    return "libjpeg-turbo" if library() else "OpenCV"


def shrunk(data: memoryview, size: tuple[int, int]) -> tuple[Pixels, Pixels, Pixels]:
    """The planes of a JPEG at `size` (width, height): Y in full, Cb and Cr at half that, rounded up.

    Raises:
        UnsuitableError: as it says, or there is no libjpeg-turbo.
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
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    exact = is_near(
        width, size[0]
    )  # else chroma that isn't subsampled would be shrunk in another way than luma
    # The planes' rows and columns beyond the picture are padding.
    chroma = (slice(-(-height // down)), slice(-(-width // across)))
    return (
        shrink(planes[0][:height, :width], size),
        shrink(planes[1][chroma], half, exact),
        shrink(planes[2][chroma], half, exact),
    )


def damage(data: memoryview, components: int) -> str | None:
    """What libjpeg-turbo says of damage in a JPEG's data; None where it can't say, or finds none.

    It decodes to an eighth of the size, which reads all of the data and costs about half.
    """
    turbo = library()
    form = {1: TJPF_GRAY, 3: TJPF_BGR, 4: TJPF_CMYK}.get(components)
    if turbo is None or form is None:
        return None
    try:
        turbo.decode(data, pixel_format=form, scaling_factor=SCALES[0])
    except UserWarning as warning:
        return str(warning).removeprefix("Corrupt JPEG data: ")
    except OSError:
        pass  # a kind that it doesn't know, such as lossless
    return None


def encode(planes: tuple[Pixels, Pixels, Pixels], quality: int) -> bytes:
    """A baseline JPEG with 4:2:0 chroma of planes as `shrunk` gives them."""
    turbo = library()
    assert turbo is not None  # noqa: S101 - the planes came from it
    height, width = planes[0].shape
    # The encoder reads whole 2 by 2 blocks of luma: an odd edge is repeated.
    luma = np.pad(planes[0], ((0, height % 2), (0, width % 2)), mode="edge")
    rows = [_padded(plane) for plane in (luma, *planes[1:])]
    jpeg: bytes = turbo.encode_from_yuv(np.concatenate(rows), height, width, quality, TJSAMP_420)
    return jpeg


def _padded(plane: Pixels) -> Pixels:
    """The plane's rows, each filled up to a multiple of 4 bytes, one after the other."""
    spare = -plane.shape[1] % ROW_PAD
    return (np.pad(plane, ((0, 0), (0, spare))) if spare else plane).reshape(-1)
