"""The kill benchmark: where its moments are, what it counts, and itself, in small."""

from collections import Counter
from pathlib import Path

import pytest

from bench.measures import kill
from bench.rigs import losses
from bench.rigs.ours import Place
from bench.rigs.phases import DOWNLOAD, PHASES, Watch
from bench.workloads.workload import Given


def test_a_plan_is_as_long_as_asked_and_the_same_again() -> None:
    runs = kill.plan(25, seed=3)
    assert [len(aims) for aims in runs] == [10, 10, 5]
    assert runs == kill.plan(25, seed=3) != kill.plan(25, seed=4)


def test_every_phase_has_its_share_and_moments_all_over_it() -> None:
    aims = [aim for run in kill.plan(1000, seed=0) for aim in run]
    shares = Counter(aim.phase for aim in aims)
    assert set(shares) == set(PHASES)
    assert min(shares.values()) == 100
    for phase in PHASES:
        quarters = Counter(int(aim.where * 4) for aim in aims if aim.phase == phase)
        assert set(quarters) == {0, 1, 2, 3}
        assert min(quarters.values()) > shares[phase] / 8


def test_the_moments_of_a_run_are_in_the_order_of_its_phases() -> None:
    aims = kill.plan(10, seed=1)[0]
    first = [aim.phase for aim in aims].index
    assert first(DOWNLOAD) == 0
    assert first("pack: merging") < first("verify") < first("backup: packed files")


def test_the_worst_is_that_with_the_largest_share_of_its_bound() -> None:
    worst = losses.Worst()
    for value, bound in ((0, 100), (60, 100), (70, 1000), (0, 10)):
        worst.note(value, bound)
    assert (worst.value, worst.bound, worst.kills) == (60, 100, 2)


def test_what_is_downloaded_counts_by_journal_and_by_name(tmp_path: Path) -> None:
    place = Place(tmp_path / "root", tmp_path / "packed", tmp_path / "x.toml", tmp_path / "log")
    archives = place.root / "archives"
    archives.mkdir(parents=True)
    (archives / "small.tar").write_bytes(b"x" * 15)
    torn = '{"settings": {}}\n{"range": 0}\n{"range": 2}\n{"ran'
    (archives / "large.tar.journal").write_text(torn)
    watch = Watch(place, {"small.tar": 15, "large.tar": 25}, ("large.tar",), range_bytes=10)
    assert watch.counted(DOWNLOAD) == 2 + 2
    assert watch.downloaded() == 15 + 10 + 5
    assert watch.under_way() == [DOWNLOAD]


def test_a_few_kills(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.workloads.workload.SCRATCH", tmp_path)
    given = Given(archives=sample.parent / "archives", dataset=sample)
    result = kill.measure(given, kills=7, seed=2)
    assert result.met, [figure for figure in result.figures if not figure.met]
    assert result.figures[0].value == 7
