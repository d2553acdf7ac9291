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

import numpy as np

from prep.errors import IntegrityError

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
LENGTH_LIMIT = 1 << 29  # exclusive
FRAME = struct.Struct("<II")
HEADER = struct.Struct("<IfQQ")
LABEL_AND_ID = struct.Struct("<fQ")
LABEL_AT = FRAME.size + 4  # bytes into an image's record


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


def frame(*pieces: bytes | memoryview) -> bytes:
    """The pieces' bytes as one record, or several where they hold the magic number.

    Raises:
        IntegrityError: they are 512 MiB or more, which the format can't hold.
    """
    length = sum(map(len, pieces))
    if length >= LENGTH_LIMIT:
        raise IntegrityError(f"a record of {length} bytes: RecordIO holds less than {LENGTH_LIMIT}")
    whole = b"".join((FRAME.pack(MAGIC, length), *pieces, bytes(-length % 4)))
    words = np.frombuffer(whole, "<u4")
    cuts = (np.flatnonzero(words[2:] == MAGIC) * 4).tolist()
    return _split(whole[FRAME.size : FRAME.size + length], cuts) if cuts else whole


def _split(data: bytes, cuts: list[int]) -> bytes:
    """Several records of data that holds the magic number at those places."""
    parts = []
    start = 0
    for number, cut in enumerate([*cuts, len(data)]):
        piece = data[start:cut]
        cflag = 1 if number == 0 else 3 if number == len(cuts) else 2
        parts.append(FRAME.pack(MAGIC, cflag << 29 | len(piece)) + piece + bytes(-len(piece) % 4))
        start = cut + 4
    return b"".join(parts)


def image_record(image: bytes | memoryview, label: int = 0, identity: int = 0) -> bytes:
    """The record of an image with one label."""
    return frame(HEADER.pack(0, label, identity, 0), image)


def address(record: memoryview, label: int, identity: int) -> None:
    """Give an image's record its label and id, in place.

    Neither can hold the magic number, at which the record would have to be split anew: as a label it is
    negative, and there are fewer images than that.
    """
    LABEL_AND_ID.pack_into(record, LABEL_AT, label, identity)


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
