"""The shuffle's order depends on seed and names alone; buckets forget what was never committed."""

import random
from itertools import pairwise
from pathlib import Path

import pytest

from prep.records.buckets import Buckets, Entry, bucket_count, key_of

NAMES = [f"n{number % 7:08}/image_{number}é.JPEG" for number in range(200)]


def entries(names: list[str], seed: int = 0) -> list[Entry]:
    return [Entry(key_of(seed, name), name, name.encode() * 3) for name in names]


def order(folder: Path, names: list[str], count: int, seed: int = 0, step: int = 200) -> list[str]:
    """Names as they come out when dealt into so many buckets, `step` at a time."""
    buckets = Buckets(folder, count, [])
    for start in range(0, len(names), step):
        buckets.deal(entries(names[start : start + step], seed))
    found = [entry for number in range(count) for entry in buckets.sorted_entries(number)]
    assert all(entry.record == entry.name.encode() * 3 for entry in found)
    return [entry.name for entry in found]


def test_order_is_a_function_of_seed_and_name(tmp_path: Path) -> None:
    first = order(tmp_path / "0", NAMES, 1)
    assert sorted(first) == sorted(NAMES)
    for count in (1, 2, 8, 64):
        for step in (1, 13, 200):
            names = random.Random(step).sample(NAMES, len(NAMES))  # noqa: S311 - no secret
            assert order(tmp_path / f"{count}-{step}", names, count, step=step) == first
    assert order(tmp_path / "seed", NAMES, 8, seed=1) != first
    # The rest keeps its order when some are left out: no rank or count is in it.
    half = set(NAMES[::2])
    assert order(tmp_path / "half", NAMES[::2], 8) == [name for name in first if name in half]


def test_key_is_for_good() -> None:
    """Were it another tomorrow, a resumed run would mix two orders, and no snapshot could be made again."""
    assert key_of(0, "n01440764/n01440764_10026.JPEG") == 0x3A17_1D25_65DD_E08E
    assert key_of(7, "n01440764/n01440764_10026.JPEG") == 0xC937_A020_696D_30E0
    assert key_of(2**64 - 1, "a") != key_of(0, "a")


def test_shuffle_is_uniform(tmp_path: Path) -> None:
    """Classes are spread: as many neighbours of one class as chance has it, an image in seven."""
    names = order(tmp_path, NAMES, 8)
    neighbours = sum(one.split("/")[0] == other.split("/")[0] for one, other in pairwise(names))
    assert 10 < neighbours < 50
    places = [names.index(name) for name in NAMES[:100]]
    assert 80 < sum(places) / len(places) < 120


def test_what_was_not_committed_is_cut_off(tmp_path: Path) -> None:
    buckets = Buckets(tmp_path, 4, [])
    buckets.deal(entries(NAMES[:100]))
    committed = list(buckets.sizes)
    buckets.deal(entries(NAMES[100:]))
    assert buckets.sizes != committed
    resumed = Buckets(tmp_path, 4, committed)
    assert resumed.sizes == committed
    found = {entry.name for number in range(4) for entry in resumed.sorted_entries(number)}
    assert found == set(NAMES[:100])
    resumed.deal(entries(NAMES[100:]))
    assert resumed.sizes == buckets.sizes


def test_no_commit_at_all_means_empty(tmp_path: Path) -> None:
    Buckets(tmp_path, 2, []).deal(entries(NAMES))
    again = Buckets(tmp_path, 2, [])
    assert [again.sorted_entries(number) for number in range(2)] == [[], []]
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())


def test_remove(tmp_path: Path) -> None:
    buckets = Buckets(tmp_path, 1, [])
    buckets.deal(entries(NAMES))
    buckets.remove(0)
    buckets.remove(0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("size", "count"),
    [(1, 1), (64 << 20, 1), ((64 << 20) + 1, 2), (147_897_477_120, 2204), (1 << 50, 4096)],
)
def test_bucket_count(size: int, count: int) -> None:
    assert bucket_count(size) == count


@pytest.mark.parametrize("count", [3, 7, 2204])
def test_buckets_are_ranges_of_keys(tmp_path: Path, count: int) -> None:
    """In order, whatever their number: so the number of buckets has no part in what comes out."""
    assert order(tmp_path / "some", NAMES, count) == order(tmp_path / "one", NAMES, 1)
