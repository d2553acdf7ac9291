"""The external shuffle: finished records are dealt into buckets by the top bits of a keyed hash of their
name, and each bucket, small enough for memory, is sorted by that hash when all have been dealt.

Every byte moves in order: a bucket is appended to, and then read once. The order that comes out depends on
the seed and the names alone.
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
    """One finished image's record, and its place in the shuffle: by `key`, then by `name`."""

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


class Buckets:
    """The buckets of one split, files `<folder>/<number>`."""

    def __init__(self, folder: Path, count: int, sizes: Sequence[int]) -> None:
        """Cut every bucket back to its size when a unit was last committed; the rest was never whole."""
        self.count = count
        self.sizes = list(sizes) or [0] * count
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name.isdecimal() and int(path.name) < count:
                with path.open("ab") as file:
                    file.truncate(self.sizes[int(path.name)])

    def deal(self, entries: Iterable[Entry]) -> None:
        """Append entries to their buckets. Not durable yet."""
        shares: dict[int, list[bytes | memoryview]] = {}
        for entry in entries:
            name = entry.name.encode()
            shares.setdefault(entry.key * self.count >> HASH_BITS, []).extend(
                (ENTRY.pack(entry.key, len(name), len(entry.record)), name, entry.record)
            )
        with disk_errors(self._folder):
            for number, pieces in sorted(shares.items()):
                with (self._folder / str(number)).open("ab", buffering=0) as file:
                    append(file, pieces)
                    self.sizes[number] = file.tell()

    def sorted_entries(self, number: int) -> list[Entry]:
        """All entries of a bucket in order; their records can be written to."""
        if not self.sizes[number]:
            return []
        data = np.empty(self.sizes[number], np.uint8).data
        with (self._folder / str(number)).open("rb") as file:
            file.readinto(data)
            # Nobody reads it again: its memory may hold what is written next.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return sorted(_entries(data), key=itemgetter(0, 1))

    def remove(self, number: int) -> None:
        """Give the space of a bucket back, if it is still there."""
        (self._folder / str(number)).unlink(missing_ok=True)


def _entries(data: memoryview) -> Iterator[Entry]:
    position = 0
    while position < len(data):
        key, name_bytes, record_bytes = ENTRY.unpack_from(data, position)
        start = position + ENTRY.size + name_bytes
        name = str(data[position + ENTRY.size : start], "utf-8")
        yield Entry(key, name, data[start : start + record_bytes])
        position = start + record_bytes
