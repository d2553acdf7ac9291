"""Costs: the instance while it works or idles, its volumes since the run began."""

from dataclasses import replace

import pytest

from prep.reporting.costs import cost_of
from prep.reporting.document import DONE, FAILED
from tests.prep.reporting.documents import AT_WORK

INSTANCE, VOLUMES = 0.0928, (1000 * 0.015 + 200 * 0.08) / 730


def test_so_far() -> None:
    cost = cost_of(replace(AT_WORK, began="2026-11-25T01:00:00Z"), 0)  # ten hours, one of them at work
    assert cost is not None
    assert (cost.hours, cost.volume_hours) == (1.0, 10.0)
    assert cost.usd == round(INSTANCE + 10 * VOLUMES, 2)
    assert cost.hour_usd == pytest.approx(INSTANCE + VOLUMES, abs=0.001)


def test_an_idle_instance_costs_too() -> None:
    cost = cost_of(AT_WORK, 9 * 3600, up_seconds=9 * 3600)
    assert cost is not None
    assert (cost.hours, cost.volume_hours) == (9.0, 10.0)
    before = cost_of(AT_WORK, 0, up_seconds=90 * 3600)  # what was before the run is not its cost
    assert before is not None
    assert before.hours == 1.0


@pytest.mark.parametrize(
    ("age", "earlier"),
    [
        (9 * 3600 - 60, 36_000.0),  # ten hours of work; started again, it failed after a minute
        (9 * 3600 + 60, 0.0),  # started again, it has not said a word
    ],
)
def test_work_before_the_last_start_costs_too(age: float, earlier: float) -> None:
    document = replace(
        AT_WORK,
        state=FAILED,
        began="2026-11-25T01:00:00Z",
        work_seconds=36_000.0,
        earlier_work_seconds=earlier,
    )
    cost = cost_of(document, age, up_seconds=9 * 3600)
    assert cost is not None
    assert cost.hours == 19.0


def test_nothing_is_added_when_all_is_done() -> None:
    assert cost_of(replace(AT_WORK, state=DONE), 90_000, up_seconds=90_000) == cost_of(AT_WORK, 0)


@pytest.mark.parametrize("machine", ["z9.huge,sc1=1000", "t2.large,sc9=1"])
def test_prices_that_are_not_known(machine: str) -> None:
    cost = cost_of(replace(AT_WORK, machine=machine), 0)
    assert cost is not None
    assert (cost.usd, cost.hour_usd, cost.hours) == (None, None, 1.0)


def test_a_machine_of_ones_own() -> None:
    assert cost_of(replace(AT_WORK, machine=""), 0) is None


def test_times_that_are_none() -> None:
    cost = cost_of(replace(AT_WORK, began="yesterday"), 0)
    assert cost is not None
    assert cost.volume_hours == 1.0
