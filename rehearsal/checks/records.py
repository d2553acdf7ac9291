"""The judge's reader of RecordIO files: written from the format's description, nothing of `prep` in it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_MAGIC: Final = 0xCED7230A
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_HEADER: Final = struct.Struct("<IfQQ")


@dataclass(frozen=True)
class Record:
    """An image record: where it starts in the file, what its header says, and the image file's bytes."""

    offset: int
    label: float
    id: int
    id2: int
    payload: bytes


def read_records(path: Path) -> Iterator[Record]:
    """Every record from the first byte to the last; ValueError where the file isn't records end to end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            yield _read(file, path)


def read_record(file: BinaryIO, offset: int, path: Path) -> Record:
    """The record at `offset` of the open file; `path` names it in errors."""
    file.seek(offset)
    return _read(file, path)


def _read(file: BinaryIO, path: Path) -> Record:
    offset = file.tell()
    flag, data = _part(file, path)
    if flag == _FIRST:
        parts = [data]
        while flag != _LAST:
            flag, data = _part(file, path)
            if flag not in (_MIDDLE, _LAST):
                raise ValueError(f"{path.name}: record at {offset} has a part of kind {flag} within")
            parts.append(data)
        # The writer split the data where it held the magic number, and left that out.
        data = struct.pack("<I", _MAGIC).join(parts)
    elif flag != _WHOLE:
        raise ValueError(f"{path.name}: record at {offset} starts with a part of kind {flag}")
    if len(data) < _HEADER.size:
        raise ValueError(f"{path.name}: record at {offset} has {len(data)} bytes: no room for its header")
    count, label, number, number2 = _HEADER.unpack_from(data)
    start = _HEADER.size
    if count:
        if count * 4 > len(data) - start:
            raise ValueError(
                f"{path.name}: record at {offset} says {count} labels, more than it has room for"
            )
        label = struct.unpack_from("<f", data, start)[0]
        start += count * 4
    return Record(offset, label, number, number2, data[start:])


def _part(file: BinaryIO, path: Path) -> tuple[int, bytes]:
    offset = file.tell()
    head = file.read(8)
    if len(head) < 8:
        raise ValueError(f"{path.name}: ends within a record's head at {offset}")
    magic, coded = struct.unpack("<II", head)
    if magic != _MAGIC:
        raise ValueError(f"{path.name}: no record at {offset} (found {magic:#010x})")
    length = coded & ((1 << 29) - 1)
    padded = (length + 3) & ~3
    data = file.read(padded)
    if len(data) < padded:
        raise ValueError(f"{path.name}: ends within the record at {offset}")
    if any(data[length:]):
        raise ValueError(f"{path.name}: record at {offset} isn't padded with zeros")
    return coded >> 29, data[:length]
