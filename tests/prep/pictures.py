"""Image files for tests, made and looked at with Pillow, which `prep` doesn't use."""

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

ORIENTATION = 0x0112


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours, different in every corner, so that a turned or mirrored picture is another one."""
    rng = np.random.default_rng(seed)
    corners = rng.permutation(
        np.array([[230, 30, 40], [40, 200, 60], [30, 60, 220], [235, 220, 50]], np.float64)
    )
    x = np.linspace(0, 1, width)[None, :, None]
    y = np.linspace(0, 1, height)[:, None, None]
    top = corners[0] * (1 - x) + corners[1] * x
    bottom = corners[2] * (1 - x) + corners[3] * x
    return Image.fromarray((top * (1 - y) + bottom * y).round().astype(np.uint8))


def save(image: Image.Image, form: str, **options: Any) -> bytes:
    """The image as a file of that form."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def jpeg(width: int, height: int, seed: int = 0, **options: Any) -> bytes:
    """A JPEG file."""
    return save(picture(width, height, seed), "JPEG", **({"quality": 92} | options))


def turned(image: Image.Image, orientation: int) -> bytes:
    """A JPEG whose Exif block says how to turn it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return save(image, "JPEG", quality=95, exif=exif.tobytes())


def header(data: bytes) -> tuple[str | None, str, tuple[int, int]]:
    """Form, mode and size of an image file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of corrupt Exif, which some files have on purpose
        with Image.open(io.BytesIO(data)) as image:
            return image.format, image.mode, image.size


def seen(data: bytes) -> Image.Image:
    """What a viewer shows: upright, in RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures of the same size, from 0 to 255."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())


def damaged_inside(data: bytes) -> bytes:
    """A JPEG whose picture data is spoilt while its markers are whole."""
    place = data.index(b"\xff\xda") + 30
    return data[:place] + bytes(range(1, 60)) + data[place + 59 :]
