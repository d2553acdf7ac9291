"""The whole benchmark: its figures on made-up runs, and itself, in small."""

import contextlib
import dataclasses
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.measures import whole
from bench.measures.whole import Outcome
from bench.report import REPOSITORY, BenchError
from bench.results import RESULTS
from bench.rigs import peer, roads, stages
from bench.rigs.disks import GP3, MIB, SC1_BURST, Disk, Traffic, check
from bench.rigs.roads import Road
from bench.rigs.stages import Stage
from bench.workloads.workload import Given, Workload
from prep.plan.model import Work, predict

LOAD = Work(archives=780 * MIB, loose=780 * MIB, packed=625 * MIB)
LEAN = Work(LOAD.archives, 0, LOAD.packed)
WORK = Traffic(0, 1560 * MIB, 0, 2080)  # 768 KiB a write
DATASET = Traffic(1250 * MIB, 1250 * MIB, 1000, 1000)
# With loose images: 20 s for the work volume, without them 10 s, less than the link; then 10 s of tail.
LINK_SECONDS = 780 * MIB / whole.LINK


def outcome(name: str, load: Work, seconds: float, tail: float | None, link: int | None) -> Outcome:
    stage = Stage("prep", "run", seconds + 1, WORK, DATASET)
    return Outcome(name, Road(stage, seconds, tail, load.packed, MIB, 40.0), load, link)


def test_figures_of_runs() -> None:
    outcomes = (
        outcome("with loose images", LOAD, 36.0, 12.0, whole.LINK),
        outcome("without loose images", LEAN, 30.0, None, whole.LINK),
        outcome("without loose images, no backup", LEAN, 27.0, 13.0, whole.LINK),
        outcome("from a folder", LOAD, 60.0, 12.0, None),
    )
    article = [Stage("article", name, 180.0, WORK, DATASET) for name in ("download", "untar")]
    result = whole.result("made up", LOAD.archives, outcomes, article)
    predicted = [figure for figure in result.figures if figure.name.endswith("as predicted")]
    assert [figure.met for figure in predicted if figure.value is None] == [False]
    seconds, tail = (figure.value for figure in predicted[:2])
    assert seconds == pytest.approx(abs(outcomes[0].predicted.seconds / 36 - 1))
    assert tail == pytest.approx(abs(outcomes[0].predicted.tail.seconds / 12 - 1))
    values = [(figure.value, figure.met) for figure in result.figures if figure not in predicted]
    expected: list[tuple[object, bool]] = [
        (pytest.approx(36 / 30), True),
        (pytest.approx(30 / (LINK_SECONDS + 10)), False),
        (pytest.approx(27 / (LINK_SECONDS + 10)), True),
        (pytest.approx(2), True),  # no target
        (pytest.approx(1.2), True),
        (None, False),  # no merge was seen
        (pytest.approx(1.3), False),
        (pytest.approx(10), True),
        (pytest.approx(2), True),
        (pytest.approx(2), False),  # as much as with loose images
        (pytest.approx(4), True),
        (pytest.approx(768), True),
        (pytest.approx(1 / 1024), True),
    ]
    assert values == expected
    road_rows, moved_rows = (table.rows for table in result.tables[:2])
    assert [len(row) for row in road_rows] == [len(result.tables[0].header)] * 5
    assert road_rows[1][4] == ""  # no merge was seen
    assert moved_rows[0][2:] == ("0/1636 MB", "0/2080", "768", "2.00 per archive byte")
    assert result.details["roads"][0]["floor_together_seconds"] == pytest.approx(35)
    assert any("tail 1,310.7 MB / 125 MiB/s = 10.0 s" in note for note in result.details["notes"])


def recorded(road: str) -> tuple[float, float]:
    """Seconds and tail of a road, as bench/RESULTS.md has them."""
    columns = r"\| ([\d.]+) \| [\d.]+ \| [\d.]+ \| ([\d.]+) \|"
    found = re.search(rf"^\| prep run, {road} {columns}", RESULTS.read_text(), re.MULTILINE)
    assert found
    return float(found[1]), float(found[2])


@pytest.mark.parametrize(
    ("name", "loose", "back_up", "link"),
    [
        ("with loose images", True, True, whole.LINK),
        ("without loose images", False, True, whole.LINK),
        ("without loose images, no backup", False, False, whole.LINK),
        ("from a folder", True, True, None),
    ],
)
def test_prediction_of_what_is_recorded(name: str, loose: bool, back_up: bool, link: int | None) -> None:
    """The workload's sizes are those of RESULTS.md, its largest archive is that of a class."""
    load = Work(1_052_938_240, 1_045_500_000 * loose, 848_391_758, 9_600, back_up, 142_600_000)
    rates = whole.rig_rates(link, loose)
    assert rates.machine
    rates = dataclasses.replace(rates, machine=dataclasses.replace(rates.machine, cores=2))
    seconds, tail = recorded(name)
    predicted = predict(load, rates)
    assert predicted.seconds == pytest.approx(seconds, rel=whole.WITHIN)
    assert predicted.tail.seconds == pytest.approx(tail, rel=whole.WITHIN)
    row = rf"\| {name} \| {predicted.seconds:.1f} s \|[^|]+\| {predicted.tail.seconds:.1f} s \|"
    assert re.search(row, (REPOSITORY / "docs" / "plan.md").read_text())


@dataclass(frozen=True)
class PlainFolder(Disk):
    """In the place of a volume on a machine that can't hold one: nothing is counted."""

    def traffic(self) -> Traffic:
        return Traffic(0, 0, 0, 0)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def plain_folders(_data: Workload, folder: Path, name: str) -> Iterator[tuple[Disk, Disk]]:
    places = [folder / name / volume for volume in ("work", "dataset")]
    for place in places:
        place.mkdir(parents=True)
    work, dataset = places
    yield PlainFolder(work, SC1_BURST, "", ""), PlainFolder(dataset, GP3, "", "")


def write_back(disks: Sequence[Disk]) -> None:
    """Have all that was written on the disks."""
    for one in disks:
        subprocess.run(["sync", "--file-system", one.mount], check=True)  # noqa: S603, S607 - coreutils


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether this machine can hold volumes and count; where it can't, folders take their place."""
    try:
        check()
    except BenchError:
        monkeypatch.setattr(whole, "check", lambda: None)
        monkeypatch.setattr(roads, "volumes", plain_folders)
        return False
    return True


def test_in_small(sample: Path, tmp_path: Path, counts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.workloads.workload.SCRATCH", tmp_path)
    monkeypatch.setattr(whole, "SCRATCH", tmp_path)
    monkeypatch.setattr(peer, "WORKERS", (2,))  # each number is a start of seconds
    # Page caches stay as they are: everything else on the machine would be slow.
    monkeypatch.setattr(stages, "drop_caches", write_back)
    monkeypatch.setattr("bench.rigs.article.drop_caches", write_back)
    given = Given(archives=sample.parent / "archives", dataset=sample)
    result = whole.measure(given)
    told = result.details["roads"]
    archives = sum(path.stat().st_size for path in given.archives.glob("*.tar")) if given.archives else 0
    names = ["with loose images", "without loose images", "without loose images, no backup", "from a folder"]
    assert [one["name"] for one in told] == names
    for one, images in zip(told, (True, False, False, True), strict=True):
        assert one["archive_bytes"] == archives
        assert bool(one["image_bytes"]) == images
        assert one["image_bytes"] < archives
        assert one["seconds"] > one["tail_seconds"] > 0
        assert one["ratio"] > 1
        assert one["peak_memory_bytes"] > MIB
        # Loose images are in files of their own, each rounded up to a block.
        least = archives + one["image_bytes"] if counts else 0
        assert one["work"]["written_bytes"] >= least
    names = [row[1] for row in result.tables[2].rows]
    assert names[:2] == ["download", "untar"]
    assert not (tmp_path / "whole").exists()
