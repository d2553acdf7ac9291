"""What is read from a JPEG's markers, and that nothing makes the reader fail in another way than it says."""

import random
import struct

import pytest

from prep.images.jpeg import JpegError, inspect, is_jpeg
from tests.prep import pictures

PLAIN = pictures.jpeg(40, 24)
SOF0 = PLAIN.index(b"\xff\xc0")
SOS = PLAIN.index(b"\xff\xda")


def exif(tiff: bytes) -> bytes:
    block = b"Exif\0\0" + tiff
    return PLAIN[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + PLAIN[2:]


def orientation_tiff(order: str, value: int, tag: int = 0x0112, kind: int = 3) -> bytes:
    head = b"II" if order == "<" else b"MM"
    return head + struct.pack(f"{order}HIHHHIHH", 42, 8, 1, tag, kind, 1, value, 0)


@pytest.mark.parametrize(
    ("data", "width", "height", "components"),
    [
        (PLAIN, 40, 24, 3),
        (pictures.jpeg(33, 17, progressive=True), 33, 17, 3),
        (pictures.jpeg(100, 50, restart_marker_blocks=1), 100, 50, 3),
        (pictures.save(pictures.picture(20, 30).convert("L"), "JPEG"), 20, 30, 1),
        (pictures.save(pictures.picture(20, 30).convert("CMYK"), "JPEG"), 20, 30, 4),
    ],
)
def test_facts(data: bytes, width: int, height: int, components: int) -> None:
    facts = inspect(memoryview(data))
    assert (facts.width, facts.height, facts.components) == (width, height, components)
    assert (facts.ordinary, facts.precision, facts.orientation, facts.trailing) == (True, 8, 1, 0)


def test_fill_bytes_and_hidden_ends() -> None:
    """FF may be repeated before a marker, and a thumbnail within a segment has an end of its own."""
    thumbnail = b"\xff\xe2" + struct.pack(">H", len(PLAIN) + 2) + PLAIN
    data = PLAIN[:2] + b"\xff\xff\xff" + thumbnail[1:] + PLAIN[2:-2] + b"\xff\xff\xff\xd9"
    facts = inspect(memoryview(data))
    assert (facts.width, facts.height, facts.trailing) == (40, 24, 0)


@pytest.mark.parametrize("marker", [0xC9, 0xCA, 0xC3])
def test_rare_processes(marker: int) -> None:
    data = bytearray(PLAIN)
    data[SOF0 + 1] = marker
    assert not inspect(memoryview(bytes(data))).ordinary


def test_trailing() -> None:
    assert inspect(memoryview(PLAIN + b"tail")).trailing == 4


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation(order: str, value: int) -> None:
    assert inspect(memoryview(exif(orientation_tiff(order, value)))).orientation == value


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"II",
        b"XX*\0\x08\0\0\0",
        orientation_tiff("<", 0),
        orientation_tiff("<", 9),
        orientation_tiff("<", 6, kind=2),
        orientation_tiff("<", 6, tag=0x0113),
        orientation_tiff("<", 6)[:-3],
        b"II" + struct.pack("<HIH", 43, 8, 1) + orientation_tiff("<", 6)[10:],
        b"MM" + struct.pack(">HI", 42, 0x7FFFFFF0),
        b"MM" + struct.pack(">HIH", 42, 8, 65535) + bytes(range(200)),
    ],
)
def test_damaged_exif_turns_nothing(tiff: bytes) -> None:
    assert inspect(memoryview(exif(tiff))).orientation == 1


def test_every_shorter_file_is_cut_short() -> None:
    for data in (PLAIN, pictures.jpeg(40, 24, progressive=True)):
        for length in range(2, len(data)):
            with pytest.raises(JpegError):
                inspect(memoryview(data)[:length])


WRONG = {
    "no picture": (b"\xff\xd8\xff\xd9", "has no picture"),
    "no frame": (PLAIN[:SOF0] + PLAIN[SOS:], "has no picture"),
    "two frames": (PLAIN[:SOS] + PLAIN[SOF0:], "no single frame header"),
    "second image": (PLAIN[:SOS] + PLAIN, "a second image begins"),
    "no width": (PLAIN[: SOF0 + 7] + b"\0\0" + PLAIN[SOF0 + 9 :], "declares no size"),
    "no marker": (PLAIN[:2] + b"\0" + PLAIN[2:], "no marker at byte 2"),
    "length 0": (PLAIN[: SOF0 + 2] + b"\0\0" + PLAIN[SOF0 + 4 :], "cut short in a segment"),
}


@pytest.mark.parametrize(("data", "message"), WRONG.values(), ids=WRONG)
def test_damage(data: bytes, message: str) -> None:
    with pytest.raises(JpegError, match=message):
        inspect(memoryview(data))


def test_random_damage_is_taken_in_stride() -> None:
    chance = random.Random(5)  # noqa: S311 - no secret
    base = exif(orientation_tiff(">", 6))
    for _ in range(3000):
        data = bytearray(base)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(2, len(data))] = chance.randrange(256)
        try:
            facts = inspect(memoryview(bytes(data)))
        except JpegError:
            continue
        assert 1 <= facts.orientation <= 8


def test_is_jpeg() -> None:
    assert is_jpeg(memoryview(PLAIN))
    for data in (b"", b"\xff\xd8", b"\x89PNG", b"GIF89a"):
        assert not is_jpeg(memoryview(data))
