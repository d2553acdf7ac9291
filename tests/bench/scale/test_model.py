"""The model: how a data set is cut, and what limits a phase."""

from dataclasses import replace

import pytest

from bench.scale.bends import bends, digest_nodes, first, md5_nodes
from bench.scale.cases import IMAGENET, IN_SPLITS, ISSUE, MORE, ROUNDS, SIZES, plan, sized
from bench.scale.design import PRESENT, Cut, DataSet
from bench.scale.facts import GIB, MEASURED, MIB
from bench.scale.model import CORE, DIGEST, NETWORK, Cluster, Phase
from prep.cluster.ranges import plan_ranges
from prep.records.buckets import bucket_count


def test_it_cuts_as_the_code_does() -> None:
    """As many ranges as `plan_ranges` makes of buckets of the same size."""
    for data in (IMAGENET, sized(3e9), sized(3e12)):
        cut = Cut(data, PRESENT)
        assert cut.buckets == bucket_count(data.bytes)
        bucket = round(cut.packed / cut.buckets)
        made = plan_ranges("train", [1] * cut.buckets, [bucket] * cut.buckets, 0)
        assert abs(len(made) - cut.ranges) <= 1


def test_slices_grow_with_the_square_only_without_a_limit_of_buckets() -> None:
    uncapped = replace(PRESENT, most_buckets=10**9)
    small, large = sized(20e12), sized(40e12)
    assert Cut(large, PRESENT).slices / Cut(small, PRESENT).slices == pytest.approx(2, rel=0.01)
    assert Cut(large, uncapped).slices / Cut(small, uncapped).slices == pytest.approx(4, rel=0.01)


def test_two_rounds_need_the_fewest_requests_at_the_size_of_a_group_that_they_choose() -> None:
    cut = plan(ISSUE, ROUNDS).cut
    assert cut.slices < plan(ISSUE, MORE).cut.slices / 50
    assert cut.group * cut.groups >= cut.units
    for other in (cut.group // 2, cut.group * 2):
        columns = max(1, round(other * cut.unit * MEASURED.packed / cut.range_bytes))
        assert cut.units * columns + -(-cut.units // other) * cut.ranges > cut.slices


def test_what_s3_does_not_allow_is_found() -> None:
    assert "S3 allows 5" in "".join(plan(ISSUE).problems())
    assert "S3 allows 10,000" in "".join(plan(ISSUE, replace(PRESENT, most_buckets=10**9)).problems())
    assert list(plan(IMAGENET).problems()) == []
    assert list(plan(IN_SPLITS).problems()) == []


def test_a_task_that_asks_for_memory_has_fewer_beside_it() -> None:
    phase = Phase("x", 1, 0, 0, 1, 1, 1.0, 0, 0, heap=4 * GIB)
    cluster = Cluster()
    assert phase.places(cluster) == int(cluster.heap / (4 * GIB)) == 5
    assert replace(phase, heap=10 * MIB).places(cluster) == 12


@pytest.mark.parametrize(
    ("change", "limit"),
    [({"core": 100.0}, CORE), ({"received": 1e12}, NETWORK), ({"piece": 1e12, "digest": 1e9}, DIGEST)],
)
def test_the_slowest_resource_limits(change: dict[str, float], limit: str) -> None:
    phase = Phase("x", 10_000, 1e6, 1e6, 1, 1, 0.01, 0.01, 0.01, heap=MIB)
    changed = replace(phase, **change)  # type: ignore[arg-type]
    assert changed.limit(Cluster()) == limit
    assert changed.seconds(Cluster()) == max(changed.demands(Cluster()).values()) + changed.alone


def test_more_machines_do_not_make_a_digest_faster() -> None:
    few, many = (plan(SIZES[1], nodes=nodes) for nodes in (64, 256))
    assert plan(ISSUE, nodes=256).times()["deal"] < plan(ISSUE, nodes=64).times()["deal"] / 3
    assert many.times()["merge"] > 0.9 * few.times()["merge"]
    assert plan(IN_SPLITS).seconds < plan(ISSUE).seconds / 2
    assert md5_nodes() < digest_nodes() < 64


def test_bends_come_in_order_and_are_where_the_model_says() -> None:
    found = bends()
    assert [bend.size for bend in found] == sorted(bend.size for bend in found)
    part = next(bend for bend in found if bend.what == "part of an upload")
    allowed, refused = (list(plan(sized(part.size * factor)).problems()) for factor in (0.99, 1.01))
    assert not any("a part has" in problem for problem in allowed)
    assert any("a part has" in problem for problem in refused)


def test_first_is_within_a_thousandth() -> None:
    assert first(lambda size: size > 3e12) == pytest.approx(3e12, rel=1e-3)


def test_splits_are_cut_each_for_itself() -> None:
    one, forty = Cut(DataSet("", 40, 40 * 10**12), PRESENT), Cut(DataSet("", 40, 40 * 10**12, 40), PRESENT)
    assert forty.archive == one.archive / 40
    assert forty.range_bytes < one.range_bytes / 30
