"""Ranges cover all buckets, and lie where one machine would have put their records."""

import random
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from prep.archives.journal import UnitJournal
from prep.cluster.ranges import plan_ranges
from prep.progress import Progress
from prep.records.buckets import Buckets, Entry, bucket_of
from prep.records.growth import Growth
from prep.records.merge import merge
from prep.records.recordio import image_record
from prep.state.layout import Layout

SEEDS = range(40)


def some_buckets(seed: int) -> tuple[list[int], list[int]]:
    """Counts and sizes of buckets; many are empty."""
    chance = random.Random(seed)  # noqa: S311 - a test
    counts = [chance.choice([0, 0, 1, 2, 9]) for _ in range(chance.randrange(1, 60))]
    return counts, [count * chance.randrange(40, 400) for count in counts]


@pytest.mark.parametrize("seed", SEEDS)
def test_all_buckets_are_covered_once_and_in_order(seed: int) -> None:
    counts, sizes = some_buckets(seed)
    part_bytes, range_bytes = random.Random(-seed).choice([0, 500, 3000]), 700  # noqa: S311 - a test
    ranges = plan_ranges("train", counts, sizes, part_bytes, range_bytes)
    assert [each.number for each in ranges] == list(range(len(ranges)))
    assert [bucket for each in ranges for bucket in range(each.begin, each.end)] == list(range(len(counts)))
    assert ranges[0].first == 0
    for each, following in pairwise(ranges):
        assert following.first == each.first + each.records
    assert sum(each.records for each in ranges) == sum(counts)
    assert sum(each.bytes for each in ranges) == sum(sizes)
    for each in ranges:
        assert each.records == sum(counts[each.begin : each.end])
        assert each.bytes == sum(sizes[each.begin : each.end])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_parts_of_a_file_follow_each_other(seed: int) -> None:
    """As S3 demands: numbered from 1, none but the last smaller than asked for, none without an end."""
    counts, sizes = some_buckets(seed)
    for part_bytes in (0, 1, 1500):
        ranges = plan_ranges("train", counts, sizes, part_bytes, 700)
        for _, group in groupby(ranges, key=lambda each: each.part):
            parts = list(group)
            assert [each.part_number for each in parts] == list(range(1, len(parts) + 1))
            assert parts[0].offset == 0
            for each, following in pairwise(parts):
                assert following.offset == each.offset + each.bytes
                assert each.bytes >= 700
                assert each.bytes - sizes[each.end - 1] < 700  # it ends with the bucket that fills it


@pytest.mark.parametrize("part_bytes", [0, 1, 400, 2000, 1 << 40, None])
@pytest.mark.parametrize("seed", range(8))
def test_files_are_cut_where_one_machine_cuts_them(tmp_path: Path, seed: int, part_bytes: int | None) -> None:
    """Against a merge of real buckets; the last ones may be empty. None: a bucket ends just there."""
    chance, count = random.Random(seed), 12  # noqa: S311 - a test
    keys = [chance.randrange(1 << 64) >> (seed % 3) for _ in range(chance.randrange(1, 60))]
    entries = [Entry(key, f"a/{key}.jpg", image_record(b"x" * chance.randrange(200))) for key in keys]
    buckets = Buckets(tmp_path / ".packing" / "train", count, [])
    buckets.deal(entries)
    counts, sizes = [0] * count, [0] * count
    for entry in entries:
        counts[bucket_of(entry.key, count)] += 1
        sizes[bucket_of(entry.key, count)] += len(entry.record)
    part_bytes = sum(sizes[:5]) if part_bytes is None else part_bytes
    journal = UnitJournal(tmp_path / "journal", {})
    layout = Layout(tmp_path / "root", tmp_path)
    made = merge(layout, "train", buckets, {"a": 0}, journal, Progress(shown=False), Growth(), part_bytes)
    ranges = plan_ranges("train", counts, sizes, part_bytes, 300)
    files: dict[str, int] = {}
    for each in ranges:
        files[each.part] = files.get(each.part, 0) + each.bytes
        indices = (tmp_path / f"{each.part}.idx").read_text().splitlines()
        if each.records:
            assert f"{each.first}\t{each.offset}" in indices
    assert files == {part: facts[f"{part}.rec"]["bytes"] for part, facts in made.items()}


def test_no_image_at_all() -> None:
    """A file without records is one range."""
    (only,) = plan_ranges("train", [0, 0], [0, 0], 0)
    assert (only.part, only.part_number, only.begin, only.end, only.records, only.bytes) == (
        "train", 1, 0, 2, 0, 0,
    )  # fmt: skip
