"""The kill benchmark: where its moments are, what it counts, and itself, in small."""

from collections import Counter
from pathlib import Path

import pytest

from bench.measures import kill
from bench.rigs import losses
from bench.rigs.losses import Losses, Sizes
from bench.rigs.ours import Place
from bench.rigs.phases import ARRIVE, FLUSH, MERGE, PHASES, VERIFY, Watch, entries
from bench.rigs.scaled import SCALED, SHIPPED
from bench.workloads.workload import Given
from prep.archives.inventory import Inventory
from prep.archives.journal import UnitJournal
from prep.archives.units import Image, LoadedUnit, Unit
from prep.datasets.description import Archive, Split
from prep.records.buckets import Buckets, Entry
from prep.state.journal import Journal
from prep.state.layout import Layout


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
    assert [(PHASES.index(aim.phase), aim.where) for aim in aims] == sorted(
        (PHASES.index(aim.phase), aim.where) for aim in aims
    )


def test_the_worst_is_that_with_the_largest_share_of_its_bound() -> None:
    worst = losses.Worst()
    for value, bound in ((0, 100), (60, 100), (70, 1000), (0, 10)):
        worst.note(value, bound)
    assert (worst.value, worst.bound, worst.kills) == (60, 100, 2)


def test_a_loss_where_none_may_be_is_not_forgotten() -> None:
    worst = losses.Worst()
    for value in (0, 1, 0):
        worst.note(value, 0)
    assert (worst.value, worst.kills) == (1, 1)


def test_every_small_size_is_smaller() -> None:
    assert all(small < vars(SHIPPED)[name] for name, small in vars(SCALED).items())


def test_what_is_downloaded_counts_by_journal_and_by_name(tmp_path: Path) -> None:
    place = Place(tmp_path / "root", tmp_path / "packed", tmp_path / "x.toml", tmp_path / "log")
    archives = place.root / "archives"
    archives.mkdir(parents=True)
    (archives / "small.tar").write_bytes(b"x" * 15)
    torn = '{"settings": {}}\n{"range": 0}\n{"range": 2}\n{"ran\n\n\n'
    (archives / "large.tar.journal").write_text(torn)
    watch = Watch(place, {"small.tar": 15, "large.tar": 25}, ("large.tar",), range_bytes=10)
    assert watch.counted(ARRIVE) == 2 + 2
    assert watch.downloaded() == 15 + 10 + 5
    assert watch.under_way() == [ARRIVE]


def test_phases_overlap_until_the_receipts_are_there(tmp_path: Path) -> None:
    watch = watch_in(tmp_path)
    (watch.place.root / ".prep").mkdir(parents=True)
    found = []
    for stage in ("download", "organize", "pack", "verify"):
        (watch.place.root / ".prep" / f"{stage}.json").touch()
        found.append(watch.under_way())
    assert found == [[FLUSH, MERGE, VERIFY], [MERGE, VERIFY], [VERIFY], ["backup: completing"]]


def test_lines_written_ahead_are_no_entries(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", {})
    journal.append({"number": 1}, {"number": 2})
    assert entries(journal.path) == journal.entries


def watch_in(folder: Path) -> Watch:
    place = Place(folder / "root", folder / "packed", folder / "x.toml", folder / "log")
    return Watch(place, {"a.tar": 40}, ("a.tar",))


def test_what_no_journal_knows_is_lost(tmp_path: Path) -> None:
    """Of four units of ten bytes organize has noted one of three, pack two of three, the inventory all."""
    watch = watch_in(tmp_path)
    layout = Layout(watch.place.root, watch.place.packed)
    split = Split("train", Archive("a.tar", "", "0" * 32, 40), "folders", "path", 4)
    organized, dealt, sent = (
        UnitJournal(path, {}) for path in (watch.organizing, watch.packing, watch.sending)
    )
    inventory = Inventory(layout, {})
    buckets = Buckets(layout.packing / "train", 1, [])
    for number in range(4):
        unit = Unit("a.tar", number, 10 * number, 10)
        name, data = f"n/{number}.jpg", b"seven b"
        inventory.consume(LoadedUnit(unit, split, memoryview(b""), (Image(name, memoryview(data)),)))
        if number < 3:
            (layout.images("train") / "n").mkdir(parents=True, exist_ok=True)
            (layout.images("train") / name).write_bytes(data)
            buckets.deal([Entry(number, name, data)])
        if number < 2:
            dealt.commit(unit, split="train", buckets=list(buckets.sizes))
        if number < 1:
            organized.commit(unit)
            sent.commit(unit, parts=[])
    inventory.flush()
    units, images = losses.inventoried(watch)
    assert units == {("a.tar", offset): 10 for offset in (0, 10, 20, 30)}
    found = Losses()
    losses.passed(found, watch, Sizes(units, images, {}, SCALED))
    values = {kind: worst.value for kind, worst in found.worst.items()}
    assert values == {losses.WRITTEN: 2 * 7, losses.NOTED: 0, losses.DEALT: 10, losses.READ: 30}


def test_a_few_kills(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.workloads.workload.SCRATCH", tmp_path)
    given = Given(archives=sample.parent / "archives", dataset=sample)
    result = kill.measure(given, kills=7, seed=2)
    assert result.met, [figure for figure in result.figures if not figure.met]
    assert result.figures[0].value == 7
