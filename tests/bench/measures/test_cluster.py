"""The cluster benchmark: its figures on made-up runs, and the real thing, in small."""

from pathlib import Path

import pytest

from bench.measures import cluster
from bench.measures.cluster import DISK, LOCAL, RAY, WITHOUT, Runs, purpose
from bench.rigs import engines, shuffles
from bench.rigs.counting import Count
from bench.rigs.engines import Packed, Task
from bench.rigs.process_tree import Memory
from bench.rigs.shuffles import WAYS, Moved, Shape
from bench.workloads.workload import Workload
from rehearsal.servers.s3 import s3_server

GIB = 1 << 30


def packed(seconds: float, ours: float) -> Packed:
    files = {"train.rec": {"bytes": 1, "sha256": "0"}}
    memory = (Memory(GIB, GIB // 2), Memory(GIB // 4, GIB // 4))
    return Packed(1000, seconds, seconds, 3.0, ours, 2.0, 0.5, memory, {"pack": seconds}, files)


def runs(contender: str, cores: int, seconds: float, ours: float) -> Runs:
    """Three runs, the middle one as given; the start is a second, of the clock and of the processor."""
    found = [packed(seconds * factor, ours) for factor in (0.5, 1, 3)]
    return Runs("480/95", contender, cores, found, [packed(1.0, 1.0)] * 3)


FOUND = [
    *(runs(contender, 1, seconds, 10.0) for contender, seconds in ((DISK, 6.0), (LOCAL, 21.0), (RAY, 23.0))),
    runs(WITHOUT, 1, 21.0, 9.0),
    *(runs(contender, 2, seconds, 10.0) for contender, seconds in ((DISK, 6.0), (LOCAL, 11.0), (RAY, 15.0))),
]


def test_ratios_are_of_medians_without_the_start() -> None:
    figures = {(figure.name, figure.unit): figure for figure in cluster._ratios(FOUND)}
    two = figures["pack on Ray, 480/95, 2 cores, seconds without start", "times local in S3"]
    assert (two.value, two.met, two.note) == (1.4, False, "71 against 100 images/s")
    one = figures["pack on Ray, 480/95, 1 core, seconds without start", "times local in S3"]
    assert (one.value, one.met) == (1.1, True)
    assert figures["pack on Ray, 480/95, 2 cores, seconds with start", "times local in S3"].value == 15 / 11
    name = "pack on Ray, 480/95, 1 core, processor seconds of ours"
    assert figures[name, "times the same tasks without Ray"].value == 9 / 8


def test_result_has_a_row_for_each_contender_and_kind() -> None:
    counts = {("GetObject", "shuffle"): Count(30, 0, 3000, 0), ("PutObject", "shuffle"): Count(10, 500, 0, 1)}
    shape = Shape("few", 2, 3, 1000)
    moved = [Moved(shape, way, 1.0, 1.0 + number, 1.0, 1.0) for number, (way, *_) in enumerate(WAYS)]
    data = Workload("made up", Path(), Path())
    data.__dict__["_described"] = {"splits": {}, "classes": {"count": 2}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workload, "images", 1000)
        result = cluster.result(data, FOUND, counts, moved, 3)
    rates, requests, shuffle = result.tables
    assert len(rates.rows) == len(FOUND)
    assert all(len(row) == len(rates.header) for row in rates.rows)
    assert rates.rows[0][-3:] == ("2", "1.00", "0.50")
    assert requests.rows[-1] == ("all", "", "40", "40.00", "0", "3", "1")
    assert len(shuffle.rows) == len(WAYS)
    values = {figure.name: figure.value for figure in result.figures}
    assert values["shuffle through S3, few"] == 2 / 4
    assert values["pack on Ray, S3 requests for 1,000 images"] == 40
    assert values["pack on Ray, memory of a worker"] == 0.5


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("archives/train.tar", "archives"),
        ("packed/.packing/train/a/unit-00010.entries", "shuffle"),
        ("packed/.packing/train/a/unit-00010.json", "journal"),
        ("packed/.packing/train/3/range-00003.idx", "pieces of index, list, inventory"),
        ("packed/.prep/inventory/train-00003.tsv", "pieces of index, list, inventory"),
        ("packed/.prep/pack.json", "journal"),
        ("packed/train.rec", "packed files"),
        ("packed/train.idx", "packed files"),
    ],
)
def test_purposes(key: str, what: str) -> None:
    assert purpose(key) == what


def test_engines_make_the_same_bytes_and_are_measured(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("bench.workloads.workload.SCRATCH", tmp_path)
    data = Workload("sample", sample.parent / "archives", sample)
    task = Task(data, ("--resize", "64", "--quality", "80"), None)
    with s3_server(tmp_path / "s3") as s3:
        there = engines.store(s3, data)
        made = {
            contend.__name__: contend(there, task, 2)
            for contend in (engines.on_disk, engines.through_s3, engines.without_ray, engines.on_ray)
        }
        counts = cluster.count(there, data)
        shape = Shape("tiny", 3, 2, 200_000)
        moved = list(shuffles.shuffles(there, [shape]))
        assert there.client.list_buckets()["Buckets"][0]["Name"] == engines.ARCHIVES
        assert len(there.client.list_buckets()["Buckets"]) == 1
    files = [one.files for one in made.values()]
    assert files == [files[0]] * 4
    assert {one.images for one in made.values()} == {180}
    for one in made.values():
        assert 0 < one.inner < one.seconds
        assert one.ours > 0
        assert max(worker.resident for worker in one.workers) > 50 << 20
    assert list(made["through_s3"].steps) == ["download", "pack", "send"]
    assert made["through_s3"].server > made["on_disk"].server
    assert made["on_ray"].ray_start > 0
    assert counts["GetObject", "shuffle"].received == counts["PutObject", "shuffle"].sent
    assert counts["UploadPart", "packed files"].sent > 0
    assert [one.way for one in moved] == [way for way, *_ in WAYS]
    assert all(one.seconds > 0 for one in moved)
