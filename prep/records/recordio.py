"""MXNet RecordIO, as dmlc-core's recordio.h and MXNet's image_recordio.h define it.

A record is `magic, cflag << 29 | length, data`, padded with zeros to a multiple of 4 bytes. All numbers are
little-endian. If the data contains the magic number at a multiple of 4 bytes, it is split there into several
records (cflag 1 for the first, 2 for those between, 3 for the last). The magic number itself is left out, and
a reader puts it back. The data of an image consists of the header `flag uint32, label float32, id uint64, id2
uint64` and the image file.
"""

import io
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
    """The part of a binary file's interface that is used here."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; fewer only at the end."""


@dataclass(frozen=True)
class Record:
    """The record of one image: its place in the file, its label and id, and the bytes of the image file."""

    offset: int
    end: int
    label: float
    id: int
    image: bytes


def frame(*pieces: bytes | memoryview) -> bytes:
    """The bytes of the pieces as one record, or as several if they contain the magic number.

    Raises:
        IntegrityError: they have 512 MiB or more, which is too much for the format.
    """
    length = sum(map(len, pieces))
    if length >= LENGTH_LIMIT:
        raise IntegrityError(
            f"a record of {length} bytes: RecordIO allows fewer than {LENGTH_LIMIT}: make the image smaller "
            "with --resize"
        )
    whole = b"".join((FRAME.pack(MAGIC, length), *pieces, bytes(-length % 4)))
    words = np.frombuffer(whole, "<u4")
    cuts = (np.flatnonzero(words[2:] == MAGIC) * 4).tolist()
    return _split(whole[FRAME.size : FRAME.size + length], cuts) if cuts else whole


def _split(data: bytes, cuts: list[int]) -> bytes:
    """The records for data that contains the magic number at the places `cuts`."""
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
    """Write the label and the id into the record of an image, in place.

    Neither can contain the magic number, which would require splitting the record: as a label it would be
    negative, and as an id it is larger than any number of images.
    """
    LABEL_AND_ID.pack_into(record, LABEL_AT, label, identity)


def read_records(file: Readable, name: str, offset: int = 0) -> Iterator[Record]:
    """Every record of a RecordIO file of images, in order.

    Args:
        file: the file, or whole records of it.
        name: with which messages begin.
        offset: where in the file the first of these records begins, in bytes.

    Raises:
        IntegrityError: the file has something other than complete records with one label each.
    """
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


def image_of(record: memoryview, where: str) -> tuple[float, int, memoryview]:
    """Label, id and image file of a record of which all bytes are there, padding included.

    Raises:
        IntegrityError: it is something else than a complete record with one label; the message begins with
            `where`.
    """
    if len(record) >= FRAME.size + HEADER.size:
        magic, word = FRAME.unpack_from(record)
        flag, label, identity, identity2 = HEADER.unpack_from(record, FRAME.size)
        whole = (magic, flag, identity2) == (MAGIC, 0, 0) and word < LENGTH_LIMIT
        if whole and FRAME.size + word + -word % 4 == len(record):
            return label, identity, record[FRAME.size + HEADER.size : FRAME.size + word]
    # In several pieces, or damaged.
    found = list(read_records(io.BytesIO(record), where))
    if len(found) != 1:
        raise IntegrityError(f"{where}: {len(found)} records in the place of one: run pack again")
    return found[0].label, found[0].id, memoryview(found[0].image)


def _record(name: str, offset: int, end: int, data: bytes) -> Record:
    if len(data) < HEADER.size:
        raise IntegrityError(f"{name}: the record at byte {offset} is too short for an image: run pack again")
    flag, label, identity, identity2 = HEADER.unpack_from(data)
    if flag != 0 or identity2 != 0:
        raise IntegrityError(
            f"{name}: the record at byte {offset} has no single label: run pack, as another program made it"
        )
    return Record(offset, end, label, identity, data[HEADER.size :])
