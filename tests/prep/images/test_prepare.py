"""What goes in and what comes out of `prepare`, seen with Pillow's eyes."""

import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from prep.images import yuv
from prep.images.prepare import Prepared, Target, UnreadableImageError, prepare
from rehearsal.sample.encodings import ODD_SHAPES, odd
from tests.prep import pictures

TARGET = Target(resize=48, quality=95)
SAME = 6.0  # mean difference, of 255, that two encodings of one picture may have


def ready(data: bytes, target: Target = TARGET) -> Prepared:
    return prepare(memoryview(data), target)


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        ready(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


AS_IS = {
    "small": pictures.jpeg(30, 20),
    "exactly the size": pictures.jpeg(64, 48),
    "one pixel": pictures.jpeg(1, 1),
    "one column": pictures.jpeg(1, 300),
    "progressive": pictures.jpeg(64, 48, progressive=True),
    "grey": pictures.save(pictures.picture(64, 48).convert("L"), "JPEG"),
    "low quality": pictures.jpeg(64, 48, quality=10),
    "full colour": pictures.jpeg(64, 48, subsampling=0),
    "upright by Exif": pictures.turned(pictures.picture(64, 48), 1),
    "corrupt Exif": odd("corrupt-exif", np.asarray(pictures.picture(64, 48))),
    "thumbnail and comment": pictures.jpeg(64, 48, comment=b"\xff\xd9 no end"),
}


@pytest.mark.parametrize("data", AS_IS.values(), ids=AS_IS)
def test_passed_through_byte_for_byte(data: bytes) -> None:
    assert ready(data) == Prepared(data, False, ())


def test_resize_0_keeps_every_size() -> None:
    data = pictures.jpeg(500, 400)
    assert ready(data, Target(0, 95)) == Prepared(data, False, ())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((100, 50), (96, 48)),
        ((50, 100), (48, 96)),
        ((49, 49), (48, 48)),
        ((51, 50), (48, 48)),
        ((640, 480), (64, 48)),
        ((1000, 60), (800, 48)),
        ((777, 555), (68, 48)),
        ((3001, 53), (2718, 48)),
    ],
)
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("turbo", [True, False])
def test_made_smaller(
    before: tuple[int, int],
    after: tuple[int, int],
    subsampling: int,
    turbo: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With libjpeg-turbo, and as it is on a machine without it."""
    if not turbo:
        monkeypatch.setattr(yuv, "library", lambda: None)
    original = pictures.picture(*before)
    made = ready(pictures.save(original, "JPEG", quality=95, subsampling=subsampling))
    assert (made.resized, made.care) == (True, ())
    result = pictures.seen(made.jpeg)
    assert result.size == after
    assert pictures.difference(result, original.resize(after, Image.Resampling.BOX)) < SAME


@pytest.mark.parametrize(
    ("make", "size"),
    [("PNG", (30, 20)), ("PNG", (48, 48)), ("cmyk", (30, 20)), ("turned", (30, 20))],
)
def test_never_enlarged(make: str, size: tuple[int, int]) -> None:
    image = pictures.picture(*size)
    data = {
        "PNG": lambda: pictures.save(image, "PNG"),
        "cmyk": lambda: pictures.save(image.convert("CMYK"), "JPEG"),
        "turned": lambda: pictures.turned(image, 3),
    }[make]()
    made = ready(data)
    assert not made.resized
    assert pictures.seen(made.jpeg).size == size


def test_antialiased() -> None:
    """Lines a pixel wide, far above the new size's sampling rate: even grey, not a pattern of moiré."""
    stripes = np.zeros((480, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    result = np.asarray(
        pictures.seen(ready(pictures.save(Image.fromarray(stripes), "JPEG", quality=100)).jpeg)
    )
    assert result.std() < 6
    assert 120 < result.mean() < 136


def test_quality() -> None:
    rough = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    data = pictures.save(Image.fromarray(rough), "JPEG", quality=98)
    sizes = [len(ready(data, Target(100, quality)).jpeg) for quality in (30, 60, 90, 100)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("size", [(40, 24), (24, 40), (130, 70), (70, 130)])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_upright(orientation: int, size: tuple[int, int]) -> None:
    data = pictures.turned(pictures.picture(*size), orientation)
    made = ready(data)
    assert made.care == (f"was turned by Exif orientation {orientation}",)
    expected = pictures.seen(data)
    assert (expected.size == size) == (orientation < 5)
    result = pictures.seen(made.jpeg)
    if min(size) > TARGET.resize:
        expected = expected.resize(result.size, Image.Resampling.BOX)
        assert min(result.size) == TARGET.resize
    assert pictures.difference(result, expected) < SAME
    assert b"Exif" not in made.jpeg  # or a viewer would turn it once more


CONVERTED = {
    "PNG": ("was PNG", pictures.save(pictures.picture(40, 30), "PNG")),
    "PNG with alpha": ("was PNG", pictures.save(pictures.picture(40, 30).convert("RGBA"), "PNG")),
    "PNG with palette": ("was PNG", pictures.save(pictures.picture(40, 30).quantize(256), "PNG")),
    "PNG of 16 bits": (
        "was PNG",
        pictures.save(Image.fromarray(np.full((30, 40), 30000, np.uint16)), "PNG"),
    ),
    "BMP": ("was BMP", pictures.save(pictures.picture(40, 30), "BMP")),
    "WebP": ("was WebP", pictures.save(pictures.picture(40, 30), "WebP", quality=95)),
    "TIFF": ("was TIFF", pictures.save(pictures.picture(40, 30), "TIFF")),
}


@pytest.mark.parametrize(("care", "data"), CONVERTED.values(), ids=CONVERTED)
def test_other_kinds_become_jpeg(care: str, data: bytes) -> None:
    made = ready(data)
    assert made.care == (care,)
    form, _, size = pictures.header(made.jpeg)
    assert (form, size) == ("JPEG", (40, 30))
    if "16" not in care and data != CONVERTED["PNG of 16 bits"][1]:
        assert pictures.difference(pictures.seen(made.jpeg), pictures.seen(data)) < SAME


@pytest.mark.parametrize("kind", ["cmyk", "ycck", "cmyk-large", "ycck-large"])
def test_ink(kind: str) -> None:
    width, height = (200, 150) if kind.endswith("large") else (40, 30)
    original = pictures.picture(width, height)
    made = ready(odd(kind, np.asarray(original)))
    assert (made.care, made.resized) == (("was CMYK",), kind.endswith("large"))
    result = pictures.seen(made.jpeg)
    assert pictures.difference(result, original.resize(result.size, Image.Resampling.BOX)) < 12


@pytest.mark.parametrize("kind", ODD_SHAPES)
def test_every_odd_kind_of_the_sample(kind: str) -> None:
    """What comes out is 8-bit colour or grey that Pillow reads to its end, upright."""
    width, height = (min(side, 200) for side in ODD_SHAPES[kind])
    made = ready(odd(kind, np.asarray(pictures.picture(width, height))))
    result = pictures.seen(made.jpeg)
    assert min(result.size) == min(width, height, TARGET.resize)


def test_grey_stays_grey() -> None:
    made = ready(pictures.save(pictures.picture(200, 100).convert("L"), "JPEG"))
    assert pictures.header(made.jpeg) == ("JPEG", "L", (96, 48))


def test_trailing_bytes() -> None:
    data = pictures.jpeg(40, 30)
    made = ready(data + b"\0" * 7)
    assert made.care == ("had 7 bytes after its end",)
    assert made.jpeg.endswith(b"\xff\xd9")
    assert pictures.difference(pictures.seen(made.jpeg), pictures.seen(data)) < SAME


@pytest.mark.parametrize("size", [(40, 30), (400, 300)])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "WebP"])
def test_truncated(form: str, size: tuple[int, int]) -> None:
    rough = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    data = pictures.save(Image.fromarray(rough), form)
    for share in (0.05, 0.5, 0.9, 0.99):
        assert reason(data[: int(len(data) * share)])


UNREADABLE = {
    "empty": (b"", "is empty"),
    "one byte": (b"\xff", "can't decode"),
    "text": (b"<html>404</html>", "can't decode"),
    "AppleDouble": (b"\x00\x05\x16\x07" + b"\0" * 100, "can't decode"),
    "only a beginning": (b"\xff\xd8\xff", "cut short"),
    "only ends": (b"\xff\xd8\xff\xd9", "has no picture"),
}


@pytest.mark.parametrize(("data", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(data: bytes, message: str) -> None:
    assert message in reason(data)


def test_jpeg_header_bomb() -> None:
    """A few hundred bytes that declare 65500 by 65500 pixels: 12 GB, if anyone believed them."""
    data = bytearray(pictures.jpeg(40, 30))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 65500, 65500)
    assert "declares 65500x65500 pixels" in reason(bytes(data))


def test_png_header_bomb() -> None:
    data = bytearray(pictures.save(pictures.picture(40, 30), "PNG"))
    data[16:24] = struct.pack(">II", 30000, 30000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert reason(bytes(data))


def test_12_bits() -> None:
    data = bytearray(pictures.jpeg(40, 30))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert "12 bits a sample" in reason(bytes(data))


def test_random_damage_is_taken_in_stride() -> None:
    chance = random.Random(9)  # noqa: S311 - no secret
    for base in (
        pictures.jpeg(60, 60),
        pictures.turned(pictures.picture(60, 50), 6),
        pictures.save(pictures.picture(60, 60), "PNG"),
    ):
        for _ in range(60):
            data = bytearray(base)
            for _ in range(chance.randint(1, 5)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                made = ready(bytes(data))
            except UnreadableImageError:
                continue
            assert made.jpeg.startswith(b"\xff\xd8\xff")
