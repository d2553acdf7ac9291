"""Merging: what a worker does with one range of buckets, and with the pieces of an index or a list."""

import base64
import hashlib
import io
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import IO, Any, cast

import numpy as np

from prep.aws.errors import aws_errors
from prep.cluster.dealing import CHUNK
from prep.cluster.place import AT_ONCE, Place, client
from prep.cluster.ranges import Range
from prep.cluster.work import PACKING, Work, inventory_name, range_name, unit_name
from prep.errors import IntegrityError
from prep.records.buckets import entries_in
from prep.records.merge import address_entries
from prep.state.memory_file import MemoryFile

MEMORY = (
    160 << 20,
    2.5,
)  # bytes of a worker, and times its range: a little more than `bench scale` has measured


def memory_for(size: int) -> int:
    """The memory that merging or checking a range of so many bytes takes, in bytes."""
    return MEMORY[0] + int(MEMORY[1] * size)


@dataclass(frozen=True)
class Slice:
    """The bytes of a range in the object of one unit."""

    unit: int
    offset: int
    size: int


def merge(
    work: Work, range_: Range, slices: Sequence[Slice], labels: dict[str, int], upload: str
) -> tuple[dict[str, Any], Any]:
    """Merge a range: read it from the units, sort it, send it as a part of its `.rec` file.

    Returns its facts, as its journal has them, and its records (uint8), for the digest of the file.

    Raises:
        IntegrityError: two images have the same name, or an object of a unit is not what it was.
        AwsError: S3 refuses or fails.
    """
    chunks = _read(work, range_, slices)
    entries = sorted((entry for chunk in chunks for entry in entries_in(chunk[0])), key=itemgetter(0, 1))
    if (len(entries), sum(len(entry.record) for entry in entries)) != (range_.records, range_.bytes):
        raise IntegrityError(
            f"{work.doing.url(unit_name(range_.split, 0, 'entries'))} and others: range {range_.number} has "
            f"{len(entries)} records, should have {range_.records} of {range_.bytes} bytes: remove "
            f"{work.packed.url(PACKING)} and run again"
        )
    made = address_entries(range_.split, entries, labels, range_.first, range_.offset)
    records = np.empty(range_.bytes, np.uint8)
    _copy(made.records, records.data)
    number = range_.number
    work.doing.put(range_name(range_.split, number, "idx"), made.idx)
    work.doing.put(range_name(range_.split, number, "lst"), made.lst)
    work.packed.put(inventory_name(range_.split, number), b"".join(chunk[1] for chunk in chunks))
    part = _send_part(work.packed, range_, upload, records.data)
    facts = part | {"range": range_.as_json(), "upload": upload, "idx": len(made.idx), "lst": len(made.lst)}
    work.doing.put_json(range_name(range_.split, number, "json"), facts)
    return facts, records


def _read(work: Work, range_: Range, slices: Sequence[Slice]) -> list[tuple[memoryview, memoryview]]:
    """The entries and the originals of each bucket of each unit."""
    data = np.empty(sum(each.size for each in slices), np.uint8)
    places = np.cumsum([0, *(each.size for each in slices)]).tolist()

    def read(number: int) -> None:
        each = slices[number]
        name = unit_name(range_.split, each.unit, "entries")
        work.doing.read_into(name, each.offset, data.data[places[number] : places[number + 1]])

    with ThreadPoolExecutor(AT_ONCE, "read") as pool:
        list(pool.map(read, range(len(slices))))
    return [chunk for start, end in pairwise(places) for chunk in _chunks(data.data[start:end])]


def _chunks(data: memoryview) -> Iterator[tuple[memoryview, memoryview]]:
    position = 0
    while position < len(data):
        entries, originals = CHUNK.unpack_from(data, position)
        start = position + CHUNK.size
        middle, position = start + entries, start + entries + originals
        yield data[start:middle], data[middle:position]


def _copy(records: Sequence[memoryview], target: memoryview) -> None:
    position = 0
    for record in records:
        target[position : position + len(record)] = record
        position += len(record)


def _send_part(packed: Place, range_: Range, upload: str, data: memoryview) -> dict[str, Any]:
    """Send the part, and return its ETag and checksum. S3 compares the checksum with what arrives."""
    name = f"{range_.part}.rec"
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    with aws_errors(f"upload part {range_.part_number} of {packed.url(name)}"):
        part = client().upload_part(
            Bucket=packed.bucket,
            Key=packed.key(name),
            UploadId=upload,
            PartNumber=range_.part_number,
            Body=cast(IO[bytes], MemoryFile(data)),
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=checksum,
        )
    return {"etag": part["ETag"], "checksum": checksum, "bytes": len(data)}


def join(packed: Place, doing: Place, pieces: Sequence[str], name: str) -> dict[str, Any]:
    """Write an object that consists of the pieces in `doing`, in order.

    Returns its size in bytes and its SHA-256.

    Raises:
        AwsError, IntegrityError: S3 refuses or fails, or a piece is not there.
    """
    joined = _Joined(doing, pieces)
    with aws_errors(f"write {packed.url(name)}"):
        client().upload_fileobj(cast(IO[bytes], joined), packed.bucket, packed.key(name))
    return {"bytes": joined.size, "sha256": joined.digest.hexdigest()}


class _Joined(io.RawIOBase):
    """Objects as one file, read once; its size and SHA-256 so far."""

    def __init__(self, doing: Place, pieces: Sequence[str]) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._pieces = _ahead(doing, pieces)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Exactly `size` bytes, or all that are left; fewer only at the end."""
        found: list[memoryview] = []
        missing = sys.maxsize if size is None or size < 0 else size
        while missing and (self._left or self._more()):
            found.append(self._left[:missing])
            self._left = self._left[missing:]
            missing -= len(found[-1])
        data = b"".join(found)
        self.size += len(data)
        self.digest.update(data)
        return data

    def _more(self) -> bool:
        """Take the next piece that is not empty; False at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._left = memoryview(piece)
        return True


def _ahead(doing: Place, pieces: Sequence[str]) -> Iterator[bytes]:
    """The objects in order; the next ones are on their way while one is used."""
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(AT_ONCE, "join") as pool:
        for piece in pieces:
            waiting.append(pool.submit(doing.get, piece))
            if len(waiting) == AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
