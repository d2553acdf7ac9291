"""Reading packed files: the records of a part, checked against its index, its list and the manifest.

A part consists of the three files of one name: `<part>.rec`, `<part>.idx` and `<part>.lst`.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from prep.errors import IntegrityError
from prep.records.manifest import Manifest
from prep.records.recordio import Record, read_records
from prep.state.files import CHUNK
from prep.state.layout import Layout

Chunk = bytes | memoryview


class NamedRecord(NamedTuple):
    """A record, the name of its image (`<class>/<file>`), and its name in error messages (`where`)."""

    where: str
    name: str
    record: Record


def read_part(
    layout: Layout, part: str, first: int, facts: Manifest, chunks: Iterator[Chunk]
) -> Iterator[NamedRecord]:
    """Every record of a part, in order. The caller reads the `.rec` file, so that it can use its bytes too.

    Args:
        layout: where the packed files are.
        part: the name of the part's files, without suffix.
        first: number of the part's first record within its split.
        facts: the manifest, for the SHA-256 of the three files.
        chunks: the bytes of the `.rec` file, from its beginning.

    Raises:
        IntegrityError: a file is damaged, or the place, the number or the label of a record differs from
            the index or the list.
    """
    rec, idx, lst = layout.rec(part), layout.idx(part), layout.lst(part)
    try:
        with idx.open("rb") as places, lst.open("rb") as lines:
            files = [
                _Hashed(chunks),
                *(_Hashed(iter(partial(file.read, CHUNK), b"")) for file in (places, lines)),
            ]
            for number, record in enumerate(read_records(files[0], str(rec)), first):
                name = _check_lines(number, record, rec, files[1].line(), files[2].line())
                yield NamedRecord(f"{rec} record {number} ({name})", name, record)
            for path, file in zip((rec, idx, lst), files, strict=True):
                if file.read(1):
                    raise IntegrityError(
                        f"{path}: has more entries than {rec.name} has records: run pack again"
                    )
                check_digest(path, facts, file.digest.hexdigest())
    except OSError as error:
        raise IntegrityError(f"{error.filename}: {error.strerror}: run pack") from error


def check_digest(path: Path, facts: Manifest, sha256: str) -> None:
    """Compare a file's SHA-256 with the manifest's.

    Raises:
        IntegrityError: they differ.
    """
    expected = facts.files.get(path.name, {}).get("sha256")
    if sha256 != expected:
        raise IntegrityError(f"{path}: its SHA-256 is not that in the manifest: run pack again")


def _check_lines(number: int, record: Record, rec: Path, place: bytes, line: bytes) -> str:
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

    def line(self) -> bytes:
        while (end := self._buffer.find(b"\n", self._position)) < 0 and self._fill():
            pass
        return self.read((end + 1 if end >= 0 else len(self._buffer)) - self._position)

    def _fill(self) -> bool:
        more = next(self._chunks, b"")
        self.digest.update(more)
        self._buffer = b"".join((memoryview(self._buffer)[self._position :], more))
        self._position = 0
        return bool(more)
