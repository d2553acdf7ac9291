"""Prepare an image file for packing.

A JPEG is packed unchanged, byte for byte, if its short side is at most the target and every reader can decode
it. Every other image is decoded, turned upright, reduced with an area filter if it is too large, and encoded
as a JPEG. No image is enlarged.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from prep import MAX_PIXELS
from prep.images import exif, yuv
from prep.images.jpeg import JpegError, JpegFacts, inspect, is_jpeg
from prep.images.messages import with_messages
from prep.images.resize import Pixels, fit, shrink

SMALL = 8  # `decode_small` divides width and height by this
DAMAGED = "had damaged picture data"  # the beginning of the entry in `care` for such an image

SIGNATURES = {
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}

# By Exif orientation: the operations that turn the stored picture upright.
UPRIGHT: dict[int, tuple[int | None, int | None]] = {  # (cv2.rotate code, then cv2.flip code)
    1: (None, None),
    2: (None, 1),
    3: (cv2.ROTATE_180, None),
    4: (None, 0),
    5: (cv2.ROTATE_90_CLOCKWISE, 1),
    6: (cv2.ROTATE_90_CLOCKWISE, None),
    7: (cv2.ROTATE_90_COUNTERCLOCKWISE, 1),
    8: (cv2.ROTATE_90_COUNTERCLOCKWISE, None),
}


class UnreadableImageError(ValueError):
    """The image file can't be decoded; the text says why."""


@dataclass(frozen=True)
class Target:
    """The short side in pixels (0 reduces no image) and the JPEG quality, 1 to 100."""

    resize: int
    quality: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """The JPEG to pack, whether the image was reduced, and in `care` the reasons of any other changes."""

    jpeg: bytes
    resized: bool
    care: tuple[str, ...]

    @property
    def as_is(self) -> bool:
        """Whether the JPEG is the original file, byte for byte."""
        return not self.resized and not self.care


def prepare(data: memoryview, target: Target) -> Prepared:
    """Prepare an image file for packing.

    Raises:
        UnreadableImageError: it is empty, damaged, cut short, or of a format that can't be decoded.
    """
    if not data:
        raise UnreadableImageError("is empty")
    if not is_jpeg(data):
        return _from_other(data, target)
    try:
        facts = inspect(data)
    except JpegError as error:
        raise UnreadableImageError(str(error)) from error
    if facts.precision != 8:
        raise UnreadableImageError(f"has {facts.precision} bits a sample; 8 can be packed")
    if facts.width * facts.height > MAX_PIXELS:
        raise UnreadableImageError(f"declares {facts.width}x{facts.height} pixels; {MAX_PIXELS} are allowed")
    care = _care(facts)
    if care:
        return _from_odd(data, target, facts, care)
    if facts.trailing:  # bytes after the end are not part of the picture
        data = data[: -facts.trailing]
        care = (f"had {facts.trailing} bytes after its end",)
    size = fit(facts.width, facts.height, target.resize)
    if size == (facts.width, facts.height):
        return Prepared(bytes(data), False, care)
    if facts.components == 3:
        try:
            return Prepared(yuv.encode(yuv.shrunk(data, size), target.quality), True, care)
        except yuv.UnsuitableError:
            pass
    return _from_odd(data, target, facts, care)


def _kind(data: memoryview) -> str:
    head = bytes(data[:4])
    return next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), "no JPEG")


def _care(facts: JpegFacts) -> tuple[str, ...]:
    """The reasons why a JPEG can't be packed unchanged, whatever its size."""
    care = []
    if facts.components not in (1, 3):
        care.append("was CMYK" if facts.components == 4 else f"had {facts.components} components")
    if facts.orientation != 1:
        care.append(_turned(facts.orientation))
    if not facts.ordinary:
        care.append("was arithmetic-coded or lossless")
    return tuple(care)


def _turned(orientation: int) -> str:
    return f"was turned by Exif orientation {orientation}"


def _from_other(data: memoryview, target: Target) -> Prepared:
    """Prepare a PNG, BMP, WebP, TIFF or another file that OpenCV can decode."""
    kind = _kind(data)
    orientation = exif.orientation_of_file(data)
    care = (f"was {kind}", *((_turned(orientation),) if orientation != 1 else ()))
    try:
        return _convert(decode(data), orientation, target, care)
    except UnreadableImageError as error:
        raise UnreadableImageError(f"is {kind}: {error}") from error


def _from_odd(data: memoryview, target: Target, facts: JpegFacts, care: tuple[str, ...]) -> Prepared:
    """Prepare a JPEG that OpenCV has to decode, and in which libjpeg may report damage."""
    pixels, damage = with_messages(lambda: decode(data, grey=facts.components == 1))
    if damage:
        care = (*care, f"{DAMAGED} ({damage})")
    return _convert(pixels, facts.orientation, target, care)


def _convert(pixels: Pixels, orientation: int, target: Target, care: tuple[str, ...]) -> Prepared:
    pixels = _upright(pixels, orientation)
    height, width = pixels.shape[:2]
    size = fit(width, height, target.resize)
    return Prepared(encode(shrink(pixels, size), target.quality), size != (width, height), care)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    rotation, flip = UPRIGHT[orientation]
    if rotation is not None:
        pixels = cast(Pixels, cv2.rotate(pixels, rotation))
    if flip is not None:
        pixels = cast(Pixels, cv2.flip(pixels, flip))
    return pixels


def decode(data: memoryview, grey: bool = False) -> Pixels:
    """The pixels as stored, (height, width, 3) BGR or (height, width) grey, uint8. Exif is not applied.

    Raises:
        UnreadableImageError: OpenCV can't decode it.
    """
    return _decode(data, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)


def decode_small(data: memoryview) -> Pixels:
    """The pixels of a JPEG at an eighth of its width and height, rounded up, which is quicker.

    Raises:
        UnreadableImageError: OpenCV can't decode it.
    """
    return _decode(data, cv2.IMREAD_REDUCED_COLOR_8)


def _decode(data: memoryview, flags: int) -> Pixels:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE_PIXELS" in error.err:
            raise UnreadableImageError(f"declares more pixels than the {MAX_PIXELS} allowed") from error
        raise UnreadableImageError(f"OpenCV can't decode it: {error.err}") from error
    if pixels is None:
        raise UnreadableImageError("OpenCV can't decode it")
    return cast(Pixels, pixels)  # the flags give 8 bits


def encode(pixels: Pixels, quality: int) -> bytes:
    """A baseline JPEG with 4:2:0 chroma, as im2rec.py writes it."""
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return jpeg.tobytes()
