"""Rates over the last minute, what stands still, and for what it waits."""

from pathlib import Path

import pytest

from prep.progress import Seen
from prep.reporting.rates import Rates


def seen(part: str = "archives", waits: dict[str, float] | None = None, **done: int) -> Seen:
    """A look: `done` of 1000 for each task; an underline stands for a dot or a blank."""
    names = {"a": "a.tar", "b": "b.tar", "merge": "merge train"}
    return Seen(
        part, [], {names.get(name, name): (size, 1000) for name, size in done.items()}, waits or {}, 0, ""
    )


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


@pytest.fixture
def rates(clock: list[float]) -> Rates:
    return Rates(lambda: clock[0])


STAGES = ("download", "pack", "snapshot")


def test_of_the_last_minute(rates: Rates, clock: list[float], tmp_path: Path) -> None:
    rates.note(seen(pack=0))
    (first,) = rates.tasks({}, STAGES, tmp_path)
    assert (first.rate, first.seconds_left) == (None, None)
    for done in (100, 200, 300, 320, 340, 360, 380):  # after a minute the fast beginning does not count
        clock[0] += 20
        look = seen(pack=done)
        rates.note(look)
    (task,) = rates.tasks({}, STAGES, tmp_path)
    assert (task.rate, task.seconds_left) == (1.0, 620)
    assert (task.done, task.total, task.unit, task.stage) == (380, 1000, "bytes", "pack")


def test_a_rate_that_falls_to_zero(rates: Rates, clock: list[float], tmp_path: Path) -> None:
    for done in (0, 500, 500, 500, 500, 500):
        look = seen(pack=done)
        rates.note(look)
        clock[0] += 20
    (task,) = rates.tasks({}, STAGES, tmp_path)
    assert (task.rate, task.seconds_left) == (0.0, None)
    assert rates.still_seconds == 80


def test_archives_are_one_bar(rates: Rates, clock: list[float], tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(b"")
    archives = {"a.tar": 1000, "b.tar": None, "c.tar": 500, "d.tar": 700}
    rates.note(seen())
    clock[0] += 10
    rates.note(seen(a=100))
    clock[0] += 10
    look = seen(a=400, b=200)
    rates.note(look)
    (task,) = rates.tasks(archives, STAGES, tmp_path)
    assert (task.name, task.done, task.total) == ("download", 400 + 200 + 500, 1000 + 1000 + 500 + 700)
    assert task.rate == 50.0
    rates.note(seen(a=400))
    (unknown,) = rates.tasks(archives, STAGES, tmp_path)
    assert unknown.total is None  # nobody knows the size of b.tar yet


def test_a_bar_that_begins_anew(rates: Rates, clock: list[float], tmp_path: Path) -> None:
    rates.note(Seen("", [], {"backup": (900, 1000)}, {}, 0, ""))
    for done in (0, 10, 20):
        clock[0] += 10
        rates.note(Seen("", [], {"backup": (done, 500)}, {}, 0, ""))
    (task,) = rates.tasks({}, ("backup",), tmp_path)
    assert (task.rate, task.seconds_left) == (1.0, 480)


def test_stages_by_the_names_of_their_tasks(rates: Rates, tmp_path: Path) -> None:
    look = Seen(
        "", ["pack"], {"inventory": (1, 2), "merge x": (1, 2), "snapshot snap-1": (5, 100)}, {}, 0, ""
    )
    rates.note(look)
    (task,) = rates.tasks({}, STAGES, tmp_path)  # pack is done, inventory is no stage
    assert (task.stage, task.unit) == ("snapshot", "percent")
    assert rates.stages == {"pack", "snapshot"}


def test_what_it_waits_for(rates: Rates, clock: list[float]) -> None:
    rates.note(seen(waits={"link": 100.0}))
    clock[0] += 20
    rates.note(seen(waits={"link": 102.0, "cores": 1.0}))
    assert rates.waiting_for == ""  # a tenth of the time is no cause
    clock[0] += 20
    rates.note(seen(waits={"link": 103.0, "cores": 19.0}))
    assert rates.waiting_for == "cores"
    clock[0] += 20
    rates.note(seen(part="backup", waits={"S3": 15.0}))  # counted from zero in each part
    assert rates.waiting_for == "S3"
