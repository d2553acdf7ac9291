"""Ranges: runs of neighbouring buckets, each merged by one task, which becomes one part of an upload.

When all units are dealt, the number and the bytes of the records in every bucket are known. From them follows
where each range begins in its file, and which index its first record has, before anything is merged.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

RANGE_BYTES = 128 << 20  # of records: a merge holds them twice in memory
# S3 allows 10,000 parts of at least 5 MiB; a file has at most 4,096 buckets.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html


@dataclass(frozen=True)
class Range:
    """The buckets [begin, end) of a split, which are merged together.

    `number` counts the ranges of the split from 0, `part_number` those of their `.rec` file from 1. `part` is
    the name of the file without suffix, `first` the index of its first record in the split, `offset` where it
    begins in the file. `records` and `bytes` are those of all its records.
    """

    split: str
    part: str
    number: int
    part_number: int
    begin: int
    end: int
    first: int
    records: int
    offset: int
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def plan_ranges(
    split: str, counts: Sequence[int], sizes: Sequence[int], part_bytes: int, range_bytes: int = RANGE_BYTES
) -> list[Range]:
    """The ranges of a split, in order.

    Args:
        split: its name.
        counts: the number of records in each bucket.
        sizes: their bytes.
        part_bytes: a file ends with the bucket that brings it to this size; 0 for one file.
        range_bytes: a range ends with the bucket that brings it to this size, or with its file.
    """
    ranges: list[Range] = []
    begin = first = file_begin = part_number = files = 0
    for bucket in range(len(counts)):
        size = sum(sizes[begin : bucket + 1])
        offset = sum(sizes[file_begin:begin])
        last = bucket + 1 == len(counts)
        file_ends = last or bool(part_bytes and offset + size >= part_bytes)
        if size < range_bytes and not file_ends:
            continue
        part_number += 1
        records = sum(counts[begin : bucket + 1])
        part = f"{split}-{files:05d}" if part_bytes else split
        ranges.append(
            Range(split, part, len(ranges), part_number, begin, bucket + 1, first, records, offset, size)
        )
        first += records
        begin = bucket + 1
        if file_ends:
            files, part_number, file_begin = files + 1, 0, begin
    return ranges
