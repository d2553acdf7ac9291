"""MXNet RecordIO, as dmlc-core's recordio.h and MXNet's image_recordio.h define it.

A record is `magic, cflag << 29 | length, data`, padded with zeros to 4 bytes; all numbers little-endian.
Where the data holds the magic number at a multiple of 4 it is split there into several records (cflag 1 for
the first, 2 for those between, 3 for the last) and the magic left out: a reader puts it back. An image's data
is the header `flag uint32, label float32, id uint64, id2 uint64`, then the image file.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from prep.errors import IntegrityError

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
LENGTH_LIMIT = 1 << 29  # exclusive
FRAME = struct.Struct("<II")
HEADER = struct.Struct("<IfQQ")


class Readable(Protocol):
    """A binary file, as far as it is needed here."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; fewer only at the end."""


@dataclass(frozen=True)
class Record:
    """One image's record: where it lies, its label and id, and the image file's bytes."""

    offset: int
    end: int
    label: float
    id: int
    image: bytes


def frame(data: bytes) -> bytes:
    """`data` as one record, or several where it holds the magic number.

    Raises:
        IntegrityError: it is 512 MiB or more, which the format can't hold.
    """
    if len(data) >= LENGTH_LIMIT:
        raise IntegrityError(f"a record of {len(data)} bytes: RecordIO holds less than {LENGTH_LIMIT}")
    cuts = list(_aligned_magic(data))
    if not cuts:
        return FRAME.pack(MAGIC, len(data)) + data + bytes(-len(data) % 4)
    parts = []
    start = 0
    for number, cut in enumerate([*cuts, len(data)]):
        piece = data[start:cut]
        cflag = 1 if number == 0 else 3 if number == len(cuts) else 2
        parts.append(FRAME.pack(MAGIC, cflag << 29 | len(piece)) + piece + bytes(-len(piece) % 4))
        start = cut + 4
    return b"".join(parts)


def image_record(label: int, identity: int, image: bytes) -> bytes:
    """The record of an image with one label."""
    return frame(HEADER.pack(0, label, identity, 0) + image)


def _aligned_magic(data: bytes) -> Iterator[int]:
    position = data.find(MAGIC_BYTES)
    while position >= 0:
        if position % 4 == 0:
            yield position
            position = data.find(MAGIC_BYTES, position + 4)
        else:
            position = data.find(MAGIC_BYTES, position + 1)


def read_records(file: Readable, name: str) -> Iterator[Record]:
    """Every record of a RecordIO file of images, in order.

    Raises:
        IntegrityError: the file is not whole records with one label each; `name` is named.
    """
    offset = 0
    while True:
        parts: list[bytes] = []
        end = offset
        while True:
            head = file.read(FRAME.size)
            if not head and not parts:
                return
            if len(head) < FRAME.size:
                raise IntegrityError(f"{name}: cut short at byte {end}: run pack again")
            magic, word = FRAME.unpack(head)
            cflag, length = word >> 29, word & (LENGTH_LIMIT - 1)
            if magic != MAGIC or cflag not in ((2, 3) if parts else (0, 1)):
                raise IntegrityError(f"{name}: no record begins at byte {end}: run pack again")
            padded = length + -length % 4
            piece = file.read(padded)
            if len(piece) < padded:
                raise IntegrityError(f"{name}: cut short at byte {end}: run pack again")
            parts.append(piece[:length])
            end += FRAME.size + padded
            if cflag in (0, 3):
                break
        yield _record(name, offset, end, MAGIC_BYTES.join(parts))
        offset = end


def _record(name: str, offset: int, end: int, data: bytes) -> Record:
    if len(data) < HEADER.size:
        raise IntegrityError(f"{name}: the record at byte {offset} is too short for an image: run pack again")
    flag, label, identity, identity2 = HEADER.unpack_from(data)
    if flag != 0 or identity2 != 0:
        raise IntegrityError(f"{name}: the record at byte {offset} has no single label: not made by pack")
    return Record(offset, end, label, identity, data[HEADER.size :])
