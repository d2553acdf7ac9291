"""The simulation: alone it agrees with the formula, and trouble costs what it must."""

import pytest

from bench.scale.facts import MIB
from bench.scale.model import Cluster, Phase
from bench.scale.simulation import Bucket, Line, Simulation, Trouble

CLUSTER = Cluster(nodes=4)


def phase(**changes: float) -> Phase:
    """2,000 tasks that need a core for a second each, and little else."""
    facts: dict[str, float] = {
        "tasks": 2000, "received": 1e6, "sent": 1e6, "gets": 1, "puts": 1, "core": 1.0, "reads": 0.1,
        "writes": 0.1, "heap": MIB,
    }  # fmt: skip
    return Phase("made up", **(facts | changes))  # type: ignore[arg-type]


def test_tokens_come_at_their_rate() -> None:
    bucket = Bucket(10)
    assert bucket.take(0, 10) == 0
    assert bucket.take(0, 5) == pytest.approx(0.5)
    assert bucket.take(1, 5) == 1  # five of the ten that have come were promised
    assert bucket.take(100, 20) == pytest.approx(101)  # those of a second are kept, no more


def test_a_line_moves_one_thing_after_the_other() -> None:
    line = Line(100)
    assert line.take(0, 100) == 1
    assert line.take(0.5, 100) == 2
    assert line.take(5, 100) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"received": 2e9, "core": 0.1},
        {"sent": 2e9, "core": 0.1},
        {"gets": 3000, "core": 0.1},
        {"reads": 30.0, "core": 0.1},
        {"piece": 1e9, "digest": 1e9, "core": 0.1},
    ],
    ids=["cores", "network in", "network out", "GETs", "places", "digest"],
)
def test_where_one_thing_limits_it_agrees_with_the_formula(changes: dict[str, float]) -> None:
    one = phase(**changes)
    assert Simulation(one, CLUSTER).run().seconds == pytest.approx(one.seconds(CLUSTER), rel=0.05)


def test_the_same_seed_gives_the_same_outcome() -> None:
    trouble = Trouble(spread=0.3, slow=1, lost=0.5)
    outcomes = [Simulation(phase(), CLUSTER, trouble, seed).run() for seed in (7, 7, 8)]
    assert outcomes[0] == outcomes[1] != outcomes[2]


def test_the_tasks_of_a_lost_node_are_done_again() -> None:
    lost = Trouble(lost=0.5, notice=5, replace=20)
    calm, troubled = (Simulation(phase(), CLUSTER, trouble).run() for trouble in (None, lost))
    assert calm.repeated == 0
    assert 0 < troubled.repeated <= phase().places(CLUSTER)
    assert troubled.seconds > calm.seconds


def test_pieces_that_a_chain_has_not_taken_are_lost_with_their_node() -> None:
    """The chain is slow, so most of what the node has made waits there."""
    slow = phase(tasks=200, piece=1e9, digest=1e9, core=0.1)
    troubled = Simulation(slow, CLUSTER, Trouble(lost=0.3, notice=5, replace=20)).run()
    assert troubled.repeated > slow.places(CLUSTER) / 2
    assert troubled.seconds == pytest.approx(slow.seconds(CLUSTER), rel=0.1)  # others' pieces keep it busy


def test_a_slow_node_gets_fewer_tasks_and_costs_little() -> None:
    calm, slowed = (Simulation(phase(), CLUSTER, Trouble(slow=slow)).run() for slow in (0, 1))
    assert calm.seconds < slowed.seconds < calm.seconds * 4 / 3.5 * 1.1


def test_chains_side_by_side_are_as_many_times_faster() -> None:
    one, four = (
        Simulation(phase(piece=1e9, digest=1e9, core=0.1, chains=chains), CLUSTER).run().seconds
        for chains in (1, 4)
    )
    assert four == pytest.approx(one / 4, rel=0.1)


def test_no_more_than_the_driver_allows_are_under_way() -> None:
    """A chain that is behind keeps the driver from giving out more."""
    simulation = Simulation(phase(tasks=500, piece=1e9, digest=1e8, core=0.1), CLUSTER)
    seen = []
    submit = simulation._submit

    def watch(now: float) -> None:
        submit(now)
        seen.append(simulation._running + sum(chain.behind for chain in simulation._chains))

    simulation._submit = watch  # type: ignore[method-assign]
    simulation.run()
    assert max(seen) == CLUSTER.ahead
