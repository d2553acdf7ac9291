"""Makers of odd image files, each by width and height; what they show is `pictures.picture`."""

import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms
from turbojpeg import TurboJPEG

from rehearsal.sample import encodings
from tests.prep import pictures
from tests.prep.pictures import Pixels, jpeg, picture, save

SMALL, LARGE = (40, 30), (400, 320)  # width, height
Make = Callable[[int, int], bytes]


def pixels(width: int, height: int) -> Pixels:
    return np.asarray(picture(width, height))


def bgr(width: int, height: int) -> Pixels:
    return np.ascontiguousarray(pixels(width, height)[:, :, ::-1])


def plain(**options: Any) -> Make:
    return lambda width, height: jpeg(width, height, **options)


def stored_as(form: str, mode: str | None = None, **options: Any) -> Make:
    def make(width: int, height: int) -> bytes:
        image = picture(width, height)
        return save(image.convert(mode) if mode else image, form, **options)

    return make


def of_sample(kind: str) -> Make:
    return lambda width, height: encodings.odd(kind, pixels(width, height))


def subsampled(subsampling: int) -> Make:
    return lambda width, height: bytes(
        TurboJPEG().encode(bgr(width, height), quality=92, jpeg_subsample=subsampling)
    )


def arithmetic(width: int, height: int) -> bytes:
    os.environ["TJ_ARITHMETIC"] = "1"  # the library has no other way to be asked
    try:
        return bytes(TurboJPEG().encode(bgr(width, height), quality=92))
    finally:
        del os.environ["TJ_ARITHMETIC"]


def segment(data: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment, right after its beginning."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]


def exif_as_long(width: int, height: int) -> bytes:
    block = b"Exif\0\0MM\0*" + struct.pack(">IHHHIII", 8, 1, pictures.ORIENTATION, 4, 1, 6, 0)
    return segment(jpeg(width, height), 0xE1, block)


def turned_in(form: str, orientation: int) -> Make:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    return stored_as(form, exif=exif)


def turned_by(orientation: int) -> Make:
    return lambda width, height: pictures.turned(picture(width, height), orientation)


def no_adobe(width: int, height: int) -> bytes:
    data = of_sample("cmyk")(width, height)
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


def icc(width: int, height: int) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return jpeg(width, height, icc_profile=profile.tobytes())


def frames(form: str, mode: str | None = None, **options: Any) -> Make:
    def make(width: int, height: int) -> bytes:
        frames = [picture(width, height, seed) for seed in range(3)]
        frames = [frame.convert(mode) for frame in frames] if mode else frames
        return save(frames[0], form, save_all=True, append_images=frames[1:], **options)

    return make


def scan(data: bytes | bytearray) -> int:
    """Where the picture's data begins."""
    start = data.index(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def flipped(width: int, height: int) -> bytes:
    """Bytes that are no marker, and don't become one, changed in the middle of the data."""
    data = bytearray(jpeg(width, height))
    middle = (scan(data) + len(data)) // 2
    for place in range(middle, middle + 24):
        if 0 < data[place] < 0xFE and data[place - 1] != 0xFF:
            data[place] ^= 0x01 if data[place] ^ 0x55 in (0, 0xFF) else 0x55
    return bytes(data)


def cut(share: float) -> Make:
    def make(width: int, height: int) -> bytes:
        data = jpeg(width, height)
        start = scan(data)
        return data[: start + int((len(data) - start) * share)]

    return make


def grey16(width: int, height: int) -> Pixels:
    return np.asarray(picture(width, height).convert("L"))


def black_and_white(width: int, height: int) -> bytes:
    return save(picture(width, height).convert("L").point(lambda value: 255 * (value > 127), "1"), "PNG")


def png_of(pixels: Callable[[int, int], Pixels]) -> Make:
    """A PNG of 16 bits a sample, with something in the lower eight."""

    def make(width: int, height: int) -> bytes:
        deep = pixels(width, height).astype(np.uint16) * 256 + 77
        return bytes(cv2.imencode(".png", deep)[1].tobytes())

    return make


def declaring(width: int, height: int) -> bytes:
    data = bytearray(jpeg(*SMALL))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def png_declaring(width: int, height: int) -> bytes:
    data = bytearray(save(picture(*SMALL), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def twelve_bits(*_: int) -> bytes:
    """One block of 8 by 8 grey samples of 12 bits: no encoder here makes such files, so it is spelled out."""
    tables = b"".join(b"\xff\xc4\0\x14" + kind + b"\x01" + bytes(16) for kind in (b"\0", b"\x10"))
    frame = b"\xff\xc1\0\x0b\x0c" + struct.pack(">HH", 8, 8) + b"\x01\x01\x11\0"
    return (
        b"\xff\xd8\xff\xdb\0\x43\0" + bytes([1] * 64) + frame + tables + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
        b"\x3f\xff\xd9"
    )  # fmt: skip


def magic(width: int, height: int) -> bytes:
    """At every alignment, in a comment."""
    return segment(jpeg(width, height), 0xFE, b"".join(b"\x0a\x23\xd7\xce" + bytes(n) for n in range(1, 9)))


def thumbnail(width: int, height: int) -> bytes:
    """A whole JPEG in the Exif block: neither its beginning nor its end is the file's."""
    return segment(jpeg(width, height), 0xE1, b"Exif\0\0II*\0" + jpeg(16, 12))


def noisy(width: int, height: int) -> bytes:
    data = jpeg(width, height)
    return data[:-2] + b"\x12\x34\x56\x78" * 4 + data[-2:]
