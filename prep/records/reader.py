"""Reading packed files: the records of a part, checked against its index, its list and the manifest.

A part consists of the three files of one name: `<part>.rec`, `<part>.idx` and `<part>.lst`. A run is any
number of records that follow each other in a part, with their lines in the index and in the list.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from prep.archives.units import LoadedUnit, read_block
from prep.datasets.description import Split
from prep.errors import IntegrityError
from prep.records.growth import WholePart
from prep.records.recordio import Readable, Record, read_records
from prep.state.files import CHUNK, drop_cached

Chunk = bytes | memoryview


class NamedRecord(NamedTuple):
    """A record, the name of its image (`<class>/<file>`), and its name in error messages (`where`)."""

    where: str
    name: str
    record: Record


class Lines(Protocol):
    """The part of a binary file's interface that is used of an index or a list."""

    def readline(self) -> bytes:
        """The next line with its end; what is left if it has none; "" when nothing is left."""


@dataclass
class ReadBack:
    """How many bytes of `.rec` files were read, and how many of these came from memory, not from the disk."""

    bytes: int = 0
    from_memory: int = 0
    seconds: float = 0.0  # waited for them


def read_part(
    part: WholePart,
    split: Split,
    first: int,
    block_bytes: int,
    give: Callable[[LoadedUnit], bool],
    read_back: ReadBack,
) -> Iterator[NamedRecord]:
    """Every record of a part, in order; every block of the `.rec` file is given away as well.

    Args:
        part: the part, which may still grow.
        split: the split that it is of.
        first: number of the part's first record within its split.
        block_bytes: how much of the `.rec` file is read at a time.
        give: takes each block as it is read.
        read_back: counts the bytes.

    Raises:
        IntegrityError: a file is damaged, or the place, the number or the label of a record differs from
            the index or the list.
    """
    rec = part.paths["rec"]
    files = {kind: _Hashed(_chunks(part, kind)) for kind in ("idx", "lst")}
    blocks = _ahead(_blocks(part, split, block_bytes, read_back), read_back)
    files["rec"] = _Hashed(_given(blocks, give))
    yield from read_run(files["rec"], files["idx"], files["lst"], str(rec), first)
    for kind, file in files.items():
        check_end(file, part.paths[kind], rec.name)
        check_digest(part.paths[kind], file.digest.hexdigest(), part.sha256(kind))


def read_run(
    rec: Readable, idx: Lines, lst: Lines, name: str, first: int, offset: int = 0
) -> Iterator[NamedRecord]:
    """Every record of a run, in order, compared with its lines.

    Args:
        rec: the records.
        idx: their lines in the index.
        lst: their lines in the list.
        name: of the `.rec` file, with which messages begin.
        first: number of the first record within its split.
        offset: where it begins in the `.rec` file, in bytes.

    Raises:
        IntegrityError: something else than whole records is there, or the place, the number or the label of
            a record differs from the index or the list.
    """
    for number, record in enumerate(read_records(rec, name, offset), first):
        image = _check_lines(number, record, name, idx.readline(), lst.readline())
        yield NamedRecord(f"{name} record {number} ({image})", image, record)


def check_end(file: Readable, name: Path | str, rec_name: str) -> None:
    """Check that nothing of a file is left when all records have been read.

    Raises:
        IntegrityError: it has more.
    """
    if file.read(1):
        raise IntegrityError(f"{name}: has more entries than {rec_name} has records: run pack again")


def _chunks(part: WholePart, kind: str) -> Iterator[bytes]:
    with part.open(kind) as file:
        offset = 0
        while (end := part.wait_for(kind, offset + 1)) > offset:
            chunk = file.read(min(CHUNK, end - offset))
            offset += len(chunk)
            yield chunk


def _given(blocks: Iterator[LoadedUnit], give: Callable[[LoadedUnit], bool]) -> Iterator[memoryview]:
    for block in blocks:
        give(block)
        yield block.data


def _ahead(blocks: Iterator[LoadedUnit], read_back: ReadBack) -> Iterator[LoadedUnit]:
    """The blocks, the next one being read while one is worked on: so the disk doesn't wait."""
    pool = ThreadPoolExecutor(1, "read ahead")
    try:
        following = pool.submit(next, blocks, None)
        while True:
            begun = time.monotonic()
            block = following.result()
            read_back.seconds += time.monotonic() - begun
            if block is None:
                return
            following = pool.submit(next, blocks, None)
            yield block
    finally:
        # What it reads or waits for is of no use any more; nobody waits for it in turn.
        pool.shutdown(wait=False, cancel_futures=True)


def _blocks(part: WholePart, split: Split, size: int, read_back: ReadBack) -> Iterator[LoadedUnit]:
    """The `.rec` file, block by block, from the disk and not from memory."""
    with part.open("rec") as file:
        # No readahead past a block: `drop_cached` would drop it, and it would be read twice.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        offset = index = 0
        while (end := min(offset + size, part.wait_for("rec", offset + size))) > offset:
            read_back.bytes += end - offset
            read_back.from_memory += drop_cached(file.fileno(), offset, end - offset)
            yield read_block(file, part.paths["rec"], split, index, offset, end - offset)
            offset, index = end, index + 1


def check_digest(path: Path | str, found: str, expected: str | None) -> None:
    """Compare a file's SHA-256 with the manifest's.

    Raises:
        IntegrityError: they differ.
    """
    if found != expected:
        raise IntegrityError(f"{path}: its SHA-256 is not that in the manifest: run pack again")


def _check_lines(number: int, record: Record, rec: str, place: bytes, line: bytes) -> str:
    """Check the lines of a record in `.idx` and `.lst`, and return its name."""
    if place != f"{number}\t{record.offset}\n".encode() or record.id != number:
        raise IntegrityError(
            f"{rec}: record {number} at byte {record.offset} differs from the index: run pack again"
        )
    try:
        index, label, name = line.decode().rstrip("\n").split("\t")
        if (int(index), float(label)) == (number, record.label):
            return name
    except ValueError:
        pass
    raise IntegrityError(f"{rec}: record {number} differs from the list: run pack again")


class _Hashed:
    """A file that is read once, chunk by chunk, and the SHA-256 of the bytes read so far."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self.digest = hashlib.sha256()
        self._chunks = chunks
        self._buffer = b""
        self._position = 0

    def read(self, size: int, /) -> bytes:
        while len(self._buffer) - self._position < size and self._fill():
            pass
        data = self._buffer[self._position : self._position + size]
        self._position += len(data)
        return data

    def readline(self) -> bytes:
        while (end := self._buffer.find(b"\n", self._position)) < 0 and self._fill():
            pass
        return self.read((end + 1 if end >= 0 else len(self._buffer)) - self._position)

    def _fill(self) -> bool:
        more = next(self._chunks, b"")
        self.digest.update(more)
        self._buffer = b"".join((memoryview(self._buffer)[self._position :], more))
        self._position = 0
        return bool(more)
