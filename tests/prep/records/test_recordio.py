"""RecordIO: what is written is read back the same, by us and by MXNet; what is damaged is named."""

import io
import struct
from itertools import pairwise
from pathlib import Path

import mxnet as mx
import pytest

from prep.errors import IntegrityError
from prep.records import recordio
from prep.records.recordio import (
    FRAME,
    HEADER,
    LENGTH_LIMIT,
    MAGIC_BYTES,
    address,
    frame,
    image_record,
    read_records,
)

MAGIC_AND = {
    "none": b"\xff\xd8 an image \xff\xd9",
    "aligned": b"abcd" + MAGIC_BYTES + b"efgh",
    "unaligned": b"abc" + MAGIC_BYTES + b"efgh",
    "first": MAGIC_BYTES + b"ef",
    "last": b"abcd" + MAGIC_BYTES,
    "only": MAGIC_BYTES,
    "twice in a row": b"abcd" + MAGIC_BYTES * 2 + b"e",
    "many": (b"abcd" + MAGIC_BYTES) * 5 + b"xyz",
    "aligned after unaligned": b"ab" + MAGIC_BYTES + b"cd" + MAGIC_BYTES,
    "overlapping": b"\x0a\x23\x0a\x23" + MAGIC_BYTES + b"\x0a\x23\xd7",
}


def write(path: Path, images: list[bytes]) -> Path:
    path.write_bytes(b"".join(image_record(image, number % 7, number) for number, image in enumerate(images)))
    return path


@pytest.mark.parametrize("image", MAGIC_AND.values(), ids=MAGIC_AND)
def test_magic_number_in_the_image(tmp_path: Path, image: bytes) -> None:
    path = write(tmp_path / "a.rec", [b"before", image, b"after"])
    with path.open("rb") as file:
        assert [record.image for record in read_records(file, "a.rec")] == [b"before", image, b"after"]
    reader = mx.recordio.MXRecordIO(str(path), "r")
    seen = [mx.recordio.unpack(reader.read())[1] for _ in range(3)]
    reader.close()
    assert seen == [b"before", image, b"after"]


def test_split_records_as_the_format_has_them() -> None:
    """Byte for byte, by hand: the magic is left out, and flags 1, 2, 3 mark the parts."""
    data = b"abcd" + MAGIC_BYTES + b"efgh" + MAGIC_BYTES + b"ij"
    assert frame(data) == (
        MAGIC_BYTES + struct.pack("<I", 1 << 29 | 4) + b"abcd"
        + MAGIC_BYTES + struct.pack("<I", 2 << 29 | 4) + b"efgh"
        + MAGIC_BYTES + struct.pack("<I", 3 << 29 | 2) + b"ij\0\0"
    )  # fmt: skip
    assert frame(b"abc") == MAGIC_BYTES + struct.pack("<I", 3) + b"abc\0"


@pytest.mark.parametrize("image", MAGIC_AND.values(), ids=MAGIC_AND)
def test_addressed_afterwards(image: bytes) -> None:
    """The same bytes as if label and id had been known from the beginning."""
    record = bytearray(image_record(image))
    address(memoryview(record), 999, 1_281_166)
    assert record == image_record(image, 999, 1_281_166)


def test_sizes_and_numbers(tmp_path: Path) -> None:
    images = [bytes([size]) * size for size in range(10)]
    path = write(tmp_path / "a.rec", images)
    index = tmp_path / "a.idx"
    with path.open("rb") as file:
        records = list(read_records(file, "a.rec"))
    assert [record.image for record in records] == images
    assert [record.label for record in records] == [number % 7 for number in range(10)]
    assert [record.id for record in records] == list(range(10))
    assert records[0].offset == 0
    assert all(one.end == following.offset for one, following in pairwise(records))
    assert records[-1].end == path.stat().st_size
    index.write_text("".join(f"{record.id}\t{record.offset}\n" for record in records))
    reader = mx.recordio.MXIndexedRecordIO(str(index), str(path), "r")
    for number in (9, 0, 4):
        header, image = mx.recordio.unpack(reader.read_idx(number))
        assert (header.flag, header.label, header.id, header.id2, image) == (
            0,
            number % 7,
            number,
            0,
            images[number],
        )
    reader.close()


def test_same_bytes_as_mxnet_writes(tmp_path: Path) -> None:
    writer = mx.recordio.MXRecordIO(str(tmp_path / "theirs.rec"), "w")
    for number, image in enumerate(MAGIC_AND.values()):
        writer.write(mx.recordio.pack(mx.recordio.IRHeader(0, float(number % 7), number, 0), image))
    writer.close()
    ours = write(tmp_path / "ours.rec", list(MAGIC_AND.values()))
    assert ours.read_bytes() == (tmp_path / "theirs.rec").read_bytes()


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LENGTH_LIMIT == 1 << 29
    monkeypatch.setattr(recordio, "LENGTH_LIMIT", 100)
    assert frame(b"x" * 99)
    with pytest.raises(IntegrityError, match="a record of 100 bytes"):
        frame(b"x" * 100)


def test_cut_short() -> None:
    """At every byte but the records' ends."""
    pieces = [
        image_record(b"abc", 1, 0),
        image_record(b"abcd" + MAGIC_BYTES + b"ef", 2, 1),
        image_record(b"", 3, 2),
    ]
    data = b"".join(pieces)
    ends = {0, len(pieces[0]), len(pieces[0] + pieces[1]), len(data)}
    for length in range(len(data) + 1):
        if length in ends:
            list(read_records(io.BytesIO(data[:length]), "a.rec"))
            continue
        with pytest.raises(IntegrityError, match=r"^a.rec: cut short at byte \d+"):
            list(read_records(io.BytesIO(data[:length]), "a.rec"))


DAMAGED = {
    "no magic": (b"\0" * 40, "no record begins at byte 0"),
    "begins with a last part": (FRAME.pack(0xCED7230A, 3 << 29 | 4) + b"abcd", "no record begins at byte 0"),
    "unknown flag": (FRAME.pack(0xCED7230A, 5 << 29 | 4) + b"abcd", "no record begins at byte 0"),
    "first part twice": ((FRAME.pack(0xCED7230A, 1 << 29 | 4) + b"abcd") * 2, "no record begins at byte 12"),
    "no header": (frame(b"short"), "too short for an image"),
    "several labels": (frame(HEADER.pack(2, 0, 0, 0) + b"\0" * 8), "no single label"),
    "second id": (frame(HEADER.pack(0, 1, 0, 5) + b"x"), "no single label"),
    "only begun": (FRAME.pack(0xCED7230A, 1 << 29 | 4) + b"abcd", "cut short at byte 12"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_named(data: bytes, message: str) -> None:
    with pytest.raises(IntegrityError, match=f"^a.rec: .*{message}"):
        list(read_records(io.BytesIO(data), "a.rec"))
