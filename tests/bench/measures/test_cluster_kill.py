"""The cluster-kill benchmark: where its moments are, and itself, in small."""

from pathlib import Path

import pytest

from bench.measures import cluster_kill
from bench.workloads.workload import Given
from tests.prep.bulk import bulk


def test_a_plan_is_as_long_as_asked_and_the_same_again() -> None:
    cases = cluster_kill.plan(20, seed=3)
    assert len(cases) == 20
    assert cases == cluster_kill.plan(20, seed=3) != cluster_kill.plan(20, seed=4)
    assert cases[:5] == cluster_kill.plan(5, seed=3)


def test_workers_nodes_and_drivers_are_killed_in_both_phases() -> None:
    cases = cluster_kill.plan(20, seed=1)
    assert [case.node for case in cases] == [number % 3 == 2 for number in range(20)]
    for node in (True, False):
        turns = {(case.first.phase, case.driver.phase) for case in cases if case.node == node}
        assert turns == set(cluster_kill.TURNS)
    for case in cases:
        assert case.first.phase != case.driver.phase or case.first.share <= case.driver.share
        assert 0 < case.first.share < 1


def test_three_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker and the driver while units are dealt, and while ranges are merged; a node, and the driver."""
    toml = bulk(tmp_path / "set", 40, 500_000)
    monkeypatch.setattr("bench.workloads.workload.SCRATCH", tmp_path / "scratch")
    given = Given(archives=toml.parent / "archives", dataset=toml)
    result = cluster_kill.measure(given, kills=3, seed=2)
    assert result.met, [figure for figure in result.figures if not figure.met]
    assert (result.figures[0].value, result.figures[1].value) == (3, 3)
    killed = {what.partition(",")[0] for what, _ in result.tables[0].rows}
    assert killed == {"driver", "node", "worker"}
