"""Image files as ImageNet has them: JPEG of many sizes and qualities, and the odd ones that trip readers."""

import io
from collections.abc import Callable
from typing import Final, Literal

import cv2
import numpy as np
from PIL import Image

from rehearsal.sample.canvas import Pixels

# Width, height and share: most of ImageNet is 500 pixels on its long side; a few are camera originals.
_SIZES: Final = (
    (500, 375, 0.44), (375, 500, 0.13), (500, 333, 0.15), (333, 500, 0.05), (500, 500, 0.03),
    (400, 300, 0.03), (640, 480, 0.04), (320, 240, 0.02), (200, 150, 0.02), (160, 213, 0.01),
    (800, 600, 0.03), (1024, 768, 0.025), (768, 1024, 0.01), (1600, 1200, 0.015),
)  # fmt: skip
# JPEG quality and share.
_QUALITIES: Final = ((75, 0.08), (85, 0.1), (92, 0.17), (96, 0.35), (98, 0.3))

# The odd images: kind, width and height. First those that ILSVRC2012 is known to hold, so that a small sample
# has at least these; then the same larger than any usual resize, so that they can't pass through untouched.
ODD_SHAPES: Final = {
    "png": (500, 375),
    "cmyk": (500, 375),
    "grey": (500, 375),
    "orientation-6": (500, 375),
    "corrupt-exif": (500, 375),
    "one-pixel": (1, 1),
    "very-large": (4000, 3000),
    "ycck": (500, 333),
    "progressive": (500, 375),
    "tiny": (32, 32),
    "one-column": (1, 40),
    "orientation-3": (500, 375),
    "orientation-5": (375, 500),
    "orientation-8": (375, 500),
    "png-large": (1024, 768),
    "cmyk-large": (1024, 768),
    "ycck-large": (768, 1024),
    "grey-large": (800, 600),
    "orientation-6-large": (1024, 768),
    "corrupt-exif-large": (800, 600),
    "progressive-large": (1024, 768),
}
_EXIF_ORIENTATION: Final = 0x0112


def usual_size(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height as ImageNet's are distributed; one in twenty is of no common size."""
    if rng.random() < 0.05:
        return int(rng.integers(100, 600)), int(rng.integers(100, 600))
    shares = np.array([share for _, _, share in _SIZES])
    width, height, _ = _SIZES[int(rng.choice(len(_SIZES), p=shares / shares.sum()))]
    return width, height


def usual_jpeg(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """A baseline JPEG of a quality as ImageNet's are distributed."""
    qualities = [quality for quality, _ in _QUALITIES]
    return jpeg(
        pixels, int(rng.choice(qualities, p=[share for _, share in _QUALITIES])), bool(rng.random() < 0.4)
    )


def jpeg(pixels: Pixels, quality: int, full_colour: bool = False) -> bytes:
    """A baseline JPEG; `full_colour` keeps the colour planes at full resolution (4:4:4 instead of 4:2:0)."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full_colour else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"encode JPEG of shape {pixels.shape}: OpenCV refused it")
    return data.tobytes()


def odd(kind: str, pixels: Pixels) -> bytes:
    """`pixels` as they are to be seen, in the odd form `kind` (a key of ODD_SHAPES)."""
    form = kind.removesuffix("-large")
    if form.startswith("orientation-"):
        return _rotated(pixels, int(form.removeprefix("orientation-")))
    return _FORMS.get(form, _plain)(pixels)


def _save(image: Image.Image, form: Literal["JPEG", "PNG"], **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _plain(pixels: Pixels) -> bytes:
    return jpeg(pixels, 92)


def _png(pixels: Pixels) -> bytes:
    return _save(Image.fromarray(pixels), "PNG")


def _grey(pixels: Pixels) -> bytes:
    return _save(Image.fromarray(pixels).convert("L"), "JPEG", quality=92)


def _progressive(pixels: Pixels) -> bytes:
    return _save(Image.fromarray(pixels), "JPEG", quality=92, progressive=True)


def _ink(pixels: Pixels) -> Pixels:
    """RGB as CMYK ink, 255 full, the grey part of it in black as a printer does."""
    light = pixels.astype(np.float32)
    black = (255 - light.max(axis=2)) / 2
    colours = 255 - light * (255 / (255 - black))[..., None]
    return np.dstack([colours, black]).round().astype(np.uint8)


def _cmyk(pixels: Pixels) -> bytes:
    return _save(Image.fromarray(_ink(pixels), "CMYK"), "JPEG", quality=92)


def _ycck(pixels: Pixels) -> bytes:
    """Adobe's other form of CMYK: the inverted inks C, M, Y turned to Y, Cb, Cr, and K beside them.

    libjpeg writes it only when asked by a C program; so the planes are turned here, written as CMYK, and the
    colour transform in the Adobe marker is set from 0 (none) to 2 (YCCK).
    """
    ink = _ink(pixels)
    luma = np.asarray(Image.fromarray(ink[..., :3], "RGB").convert("YCbCr"))
    # Pillow inverts CMYK on its way into a JPEG.
    planes = np.dstack([255 - luma, ink[..., 3]])
    data = bytearray(_save(Image.fromarray(planes, "CMYK"), "JPEG", quality=92))
    marker = data.index(b"\xff\xee\x00\x0eAdobe")
    data[marker + 15] = 2
    return bytes(data)


def _rotated(pixels: Pixels, orientation: int) -> bytes:
    """Stored turned, with the EXIF orientation that turns it back."""
    undo = {
        3: Image.Transpose.ROTATE_180,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    return _save(
        Image.fromarray(pixels).transpose(undo[orientation]), "JPEG", quality=92, exif=exif.tobytes()
    )


def _corrupt_exif(pixels: Pixels) -> bytes:
    """An EXIF block whose directory lies beyond its end, and says it has 65,535 entries of garbage."""
    data = _plain(pixels)
    exif = b"Exif\x00\x00MM\x00\x2a\x7f\xff\xff\xf0" + b"\xff\xff" + bytes(range(200, 256)) * 3
    return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]


_FORMS: Final[dict[str, Callable[[Pixels], bytes]]] = {
    "png": _png,
    "cmyk": _cmyk,
    "ycck": _ycck,
    "grey": _grey,
    "progressive": _progressive,
    "corrupt-exif": _corrupt_exif,
}
