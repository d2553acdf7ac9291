"""Group commit: nothing is noted before it is flushed, all of it in order, and a failure is told."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from prep.errors import SpaceError
from prep.state import group_commit
from prep.state.group_commit import GroupCommit

LONGEST = 20.0  # seconds; what a test waits for comes in a fraction of one
A_WHILE = 0.2  # seconds in which nothing may happen


class Disk:
    """Notes what is asked of it, in order. A flush takes as long as `slow` is not set, and may fail."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.flushing, self.slow = threading.Event(), threading.Event()
        self.slow.set()
        self.failure: Exception | None = None

    def flush(self) -> None:
        self.flushing.set()
        assert self.slow.wait(LONGEST)
        if self.failure:
            raise self.failure
        self.done.append("flush")

    def note(self, entries: Sequence[int]) -> None:
        self.done.append(list(entries))

    @property
    def noted(self) -> list[int]:
        return [number for one in self.done if isinstance(one, list) for number in one]


@pytest.fixture
def disk() -> Disk:
    return Disk()


def commits(disk: Disk, worth: int | None = 0) -> GroupCommit[int]:
    return GroupCommit("test", disk.flush, disk.note, worth)


def test_in_order_and_flushed_before_it_is_noted(disk: Disk) -> None:
    made = commits(disk)
    for number in range(50):
        made.add(1, number)
    made.finish()
    assert disk.noted == list(range(50))
    assert disk.done[::2] == ["flush"] * (len(disk.done) // 2)
    assert all(isinstance(one, list) for one in disk.done[1::2])
    assert "test commit" not in {thread.name for thread in threading.enumerate()}
    made.add(1, 50)  # it goes on after that
    made.finish()
    assert disk.noted == list(range(51))


def test_one_flush_for_all_that_came_during_the_one_before(disk: Disk) -> None:
    made = commits(disk)
    disk.slow.clear()
    made.add(1, 0)
    assert disk.flushing.wait(LONGEST)
    for number in (1, 2, 3):
        made.add(1, number)
    assert disk.done == []
    disk.slow.set()
    made.finish()
    assert disk.done == ["flush", [0], "flush", [1, 2, 3]]


def test_little_waits_for_more(disk: Disk) -> None:
    made = commits(disk, worth=10)
    made.add(6, 0)
    assert not disk.flushing.wait(A_WHILE)
    made.add(6, 1)
    assert disk.flushing.wait(LONGEST)
    made.add(3, 2)
    made.finish()
    assert disk.done == ["flush", [0, 1], "flush", [2]]


def test_later_waits_for_the_end(disk: Disk) -> None:
    made = commits(disk)
    made.add(6, 0, later=True)
    made.add(6, 1, later=True)
    assert not disk.flushing.wait(A_WHILE)
    made.finish()
    assert disk.done == ["flush", [0, 1]]


@pytest.mark.parametrize("later", [False, True])
def test_no_more_than_the_most_is_not_flushed(
    disk: Disk, later: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_BYTES", 100)
    made = commits(disk)
    disk.slow.clear()
    made.add(60, 0, later)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(made.add, 60, 1, later)
        assert disk.flushing.wait(LONGEST)
        assert not wait([second], A_WHILE).done
        disk.slow.set()
        second.result(LONGEST)
    made.finish()
    assert disk.noted == [0, 1]


def test_failure_is_raised_where_it_is_added_and_at_the_end(disk: Disk) -> None:
    made = commits(disk)
    disk.failure = SpaceError("full")
    with pytest.raises(SpaceError, match="full"):  # noqa: PT012 - the first may come before it is known
        made.add(1, 0)
        made.settle()
        made.add(1, 1)
    made.settle()  # only waits
    with pytest.raises(SpaceError, match="full"):
        made.finish()
    disk.failure = None
    made.settle()
    assert disk.done == []  # nothing after a failure: its units may not be on disk


def test_failure_wakes_who_waits_for_room(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MOST_BYTES", 100)
    made = commits(disk)
    disk.slow.clear()
    made.add(60, 0)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(made.add, 60, 1)
        assert not wait([second], A_WHILE).done
        disk.failure = SpaceError("full")
        disk.slow.set()
        with pytest.raises(SpaceError, match="full"):
            second.result(LONGEST)


def test_settle_waits_for_what_is_under_way(disk: Disk) -> None:
    made = commits(disk, worth=10)
    disk.slow.clear()
    made.add(10, 0)
    made.add(1, 1)
    with ThreadPoolExecutor(1) as pool:
        settled = pool.submit(made.settle)
        assert not wait([settled], A_WHILE).done
        disk.slow.set()
        settled.result(LONGEST)
    assert disk.noted == [0, 1]
