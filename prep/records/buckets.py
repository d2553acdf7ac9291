"""The external shuffle: finished records are distributed over buckets by the top bits of a keyed hash of
their name. When all records are in their buckets, each bucket is read into memory and sorted by that hash.

All access is sequential: a bucket is only appended to, and then read once. The resulting order depends only
on the seed and the names.
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prep.state.files import append, disk_errors

# Bytes of archive a bucket: three are in memory during the merge, and ImageNet's 2,204 have 67 MB.
BUCKET_BYTES = 64 << 20
MOST_BUCKETS = 4096
ENTRY = struct.Struct("<QHI")  # hash, bytes of name, bytes of record
HASH_BITS = 64


class Entry(NamedTuple):
    """The record of one finished image. The shuffle sorts entries by `key`, then by `name`."""

    key: int
    name: str
    record: bytes | memoryview


def key_of(seed: int, name: str) -> int:
    """Place of an image in the shuffle: 64 bits of BLAKE2b of its name, keyed with the seed."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=seed.to_bytes(8, "big")).digest()
    return int.from_bytes(digest, "big")


def bucket_count(archive_bytes: int) -> int:
    """How many buckets an archive of that size is dealt into."""
    return max(1, min(MOST_BUCKETS, -(-archive_bytes // BUCKET_BYTES)))


def bucket_of(key: int, count: int) -> int:
    """The bucket, of that many, in which an entry with this key belongs."""
    return key * count >> HASH_BITS


def pieces_of(entry: Entry) -> tuple[bytes | memoryview, ...]:
    """An entry as it lies in a bucket; the pieces follow each other."""
    name = entry.name.encode()
    return ENTRY.pack(entry.key, len(name), len(entry.record)), name, entry.record


def sort_entries(data: memoryview) -> list[Entry]:
    """The entries in the bytes of a bucket, sorted; their records are parts of `data`."""
    return sorted(entries_in(data), key=itemgetter(0, 1))


class Buckets:
    """The buckets of one split, files `<folder>/<number>`."""

    def __init__(self, folder: Path, count: int, sizes: Sequence[int]) -> None:
        """Truncate every bucket to its size at the last commit: what follows is from an interrupted unit."""
        self.count = count
        self.sizes = list(sizes) or [0] * count
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name.isdecimal() and int(path.name) < count:
                with path.open("ab") as file:
                    file.truncate(self.sizes[int(path.name)])

    def deal(self, entries: Iterable[Entry]) -> None:
        """Append entries to their buckets. The caller must make this durable."""
        shares: dict[int, list[bytes | memoryview]] = {}
        for entry in entries:
            shares.setdefault(bucket_of(entry.key, self.count), []).extend(pieces_of(entry))
        with disk_errors(self._folder):
            for number, pieces in sorted(shares.items()):
                with (self._folder / str(number)).open("ab", buffering=0) as file:
                    append(file, pieces)
                    self.sizes[number] = file.tell()

    def sorted_entries(self, number: int) -> list[Entry]:
        """All entries of a bucket, sorted; their records are writable."""
        if not self.sizes[number]:
            return []
        data = np.empty(self.sizes[number], np.uint8).data
        with (self._folder / str(number)).open("rb") as file:
            file.readinto(data)
            # The bucket is not read again: its page cache can hold the output instead.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return sort_entries(data)

    def remove(self, number: int) -> None:
        """Remove a bucket, if it still exists."""
        (self._folder / str(number)).unlink(missing_ok=True)


def entries_in(data: memoryview) -> Iterator[Entry]:
    """The entries in the bytes of a bucket, as they lie there; their records are parts of `data`."""
    position = 0
    while position < len(data):
        key, name_bytes, record_bytes = ENTRY.unpack_from(data, position)
        start = position + ENTRY.size + name_bytes
        name = str(data[position + ENTRY.size : start], "utf-8")
        yield Entry(key, name, data[start : start + record_bytes])
        position = start + record_bytes
