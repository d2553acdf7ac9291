"""Dealing: the task that a worker does with one unit of an archive.

It writes one object with the unit's entries, bucket by bucket, and then the unit's journal. For each bucket
that is not empty, the object has two lengths, the entries, and the originals: a line with name, size and
CRC-32 of each image in the archive, which verify compares. So a merge gets its buckets of a unit with one
read.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from prep.archives.inventory import original_line
from prep.archives.units import Image, Unit, lands, read_unit
from prep.cluster.transfer import read_parallel
from prep.cluster.work import Work, unit_name
from prep.datasets.classes import class_of_file
from prep.errors import ClusterError, IntegrityError
from prep.images.messages import messages_kept
from prep.records.buckets import bucket_of, key_of, pieces_of
from prep.records.dealing import Outcome, prepare_images, unit_facts

CHUNK = struct.Struct("<II")  # bytes of entries, bytes of originals
TABLES = ("ends", "counts", "sizes")
MEMORY = 160 << 20, 4  # bytes of a worker, and times its unit: a little more than `bench scale` has measured


class BoundaryError(IntegrityError):
    """A unit can't be read: its boundaries are wrong, or the archive is.

    `number` is the unit's; `landed` says whether its members end where it ends.
    """

    def __init__(self, message: str, number: int, landed: bool) -> None:
        super().__init__(message)
        self.number = number
        self.landed = landed

    def __reduce__(self) -> tuple[Any, ...]:
        """All of it reaches the driver."""
        return BoundaryError, (str(self), self.number, self.landed)


def deal(
    work: Work, split_name: str, number: int, unit: Unit, last: bool, only_read: bool, keep: bool
) -> tuple[dict[str, Any] | None, Any]:
    """Deal a unit.

    Args:
        work: the job.
        split_name: the split.
        number: the unit's number within the split.
        unit: its place in the archive.
        last: whether it is the last one of the archive.
        only_read: it is dealt already, and only its bytes are wanted.
        keep: return its bytes, for the digest of the archive.

    Returns its facts, as its journal has them but with arrays, and its bytes (uint8) or None.

    Raises:
        BoundaryError: the unit does not consist of whole members.
        IntegrityError, SourceChangedError, AwsError: as when an archive is read.
        ClusterError: this machine would make other bytes than the one that began the job.
    """
    made_with = work.settings.made_with()
    if made_with != work.made_with:
        raise ClusterError(
            f"node {socket.gethostname()}: its codec is {made_with['codec']}, that of the driver is "
            f"{work.made_with['codec']}: install the same packages on all nodes, then run again"
        )
    data = read_parallel(work.archives[split_name].read_into, unit.offset, unit.size)
    facts = None if only_read else _deal(work, split_name, number, unit, last, data.data)
    return facts, data if keep else None


def _deal(
    work: Work, split_name: str, number: int, unit: Unit, last: bool, data: memoryview
) -> dict[str, Any]:
    split = work.splits[split_name]
    cv2.setNumThreads(1)
    class_of = class_of_file(split, work.devkit)
    try:
        loaded = read_unit(data.toreadonly(), work.archives[split_name].path, split, class_of, unit, last)
    except IntegrityError as error:
        landed = lands(data, work.archives[split_name].path, unit, last)
        raise BoundaryError(str(error), number, landed) from error
    with messages_kept():
        outcomes = prepare_images(loaded.images, work.settings)
    count = work.buckets[split_name]
    pieces, tables = shuffle(loaded.images, outcomes, count, work.settings.seed)
    work.doing.put(unit_name(split_name, number, "entries"), b"".join(pieces))
    place = {"unit": unit.archive, "offset": unit.offset, "size": unit.size}
    facts = place | unit_facts(split, loaded.images, outcomes) | tables
    work.doing.put_json(unit_name(split_name, number, "json"), facts)
    return with_arrays(facts)


def memory_for(unit: Unit) -> int:
    """The memory that dealing this unit takes, in bytes."""
    return MEMORY[0] + MEMORY[1] * unit.size


def with_arrays(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts with the tables about the buckets as arrays (int64), a quarter of the size of lists."""
    return facts | {table: np.array(facts[table], np.int64) for table in TABLES}


def shuffle(
    images: Sequence[Image], outcomes: Sequence[Outcome], count: int, seed: int
) -> tuple[list[bytes | memoryview], dict[str, list[int]]]:
    """The unit's entries and originals, bucket by bucket, and the tables about its buckets.

    Returns the pieces of the object, and {"ends", "counts", "sizes"}: for each bucket where it ends in the
    object, and the number and the bytes of its records.
    """
    entries: list[list[bytes | memoryview]] = [[] for _ in range(count)]
    originals: list[list[bytes]] = [[] for _ in range(count)]
    counts, sizes = [0] * count, [0] * count
    for image, outcome in zip(images, outcomes, strict=True):
        bucket = bucket_of(key_of(seed, image.name), count)
        originals[bucket].append(original_line(image).encode())
        if outcome.entry:
            entries[bucket] += pieces_of(outcome.entry)
            counts[bucket] += 1
            sizes[bucket] += len(outcome.entry.record)
    pieces: list[bytes | memoryview] = []
    ends, end = [], 0
    for bucket in range(count):
        if originals[bucket]:
            lines = b"".join(originals[bucket])
            size = sum(map(len, entries[bucket]))
            pieces += [CHUNK.pack(size, len(lines)), *entries[bucket], lines]
            end += CHUNK.size + size + len(lines)
        ends.append(end)
    return pieces, {"ends": ends, "counts": counts, "sizes": sizes}
