"""The whole road over a paced link and on volumes as slow as EBS's, beside the least time that these allow.

`prep run` is run four times: with loose images, without them, without them and without a backup, and with
loose images from a folder on the machine's own disk, without the link. The article's sequence is run once and
downloads over the same link. The site and the S3 server run on this machine, on its own disk, and take their
part of its cores; the run without a backup shows what the uploads and the S3 server cost. The floor of a run
counts no processor time. What `prep plan` would predict for each run, from the rates of this rig, stands
beside what was measured.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.report import Figure, Result, Table
from bench.rigs import article, roads
from bench.rigs.disks import GP3, SC1_BURST, Traffic, check, clear
from bench.rigs.floor import Floor, floor, rates
from bench.rigs.roads import WITHOUT_ORGANIZE, Road
from bench.rigs.servers import Servers, servers
from bench.rigs.stages import Meter, Stage, stages_table
from bench.workloads import photographs
from bench.workloads.photographs import LARGE_CLASSES
from bench.workloads.workload import SCRATCH, Given, Workload, scratch
from prep.datasets import description
from prep.plan import machines
from prep.plan.model import Machine, Rates, Run, Work, predict
from prep.plan.plan import START_SECONDS
from prep.plan.sizes import largest_unit
from prep.state.group_commit import MOST_BYTES

LINK, CONNECTION = 64_000_000, 16_000_000  # bytes a second
OVER_FLOOR, OVER_TAIL = 1.25, 1.25
WORK_BYTES, LEAN_BYTES, DATASET_BYTES = 2.05, 1.05, 4.2
WRITE_KIB, MEMORY_GIB = 700, 1.0
WITHIN = 0.20  # of the measured seconds
# Processor seconds for a byte, of the archive site and of the S3 server on the same cores (2026-11-25).
SITE, S3 = 1.1e-9, 9.7e-9


@dataclass(frozen=True)
class Outcome:
    """A run of ours: what was measured, and the bytes and the link (bytes a second) that its floor is of."""

    name: str
    road: Road
    load: Work
    link: int | None

    @property
    def floor(self) -> Floor:
        """The least time on this rig, which holds reads and writes each for itself."""
        return floor(self.load, rates(SC1_BURST, GP3, self.link))

    @property
    def together(self) -> Floor:
        """The least time on EBS, which counts reads and writes together."""
        return floor(self.load, rates(SC1_BURST, GP3, self.link, counted_together=True))

    @property
    def predicted(self) -> Run:
        """What the model of `prep plan` says of this run on this rig."""
        return predict(self.load, rig_rates(self.link, bool(self.load.loose)))

    @property
    def ratio(self) -> float:
        """Seconds over the floor."""
        return self.road.seconds / self.floor.seconds

    @property
    def tail_ratio(self) -> float | None:
        """Seconds of the tail over the tail's part of the floor."""
        seconds = self.road.tail_seconds
        return None if seconds is None else seconds / self.floor.tail.seconds


def measure(given: Given) -> Result:
    """All of it, in about fifteen minutes on two cores."""
    check()
    data = photographs.workload(given, "photographs-cold", LARGE_CLASSES)
    images = data.image_bytes
    described = description.load(str(data.description))
    unit = max(largest_unit(split, described.classes) for split in described.splits)
    clear(SCRATCH / "whole")
    folder = scratch("whole")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        both = stack.enter_context(servers(data.archives, folder, LINK, CONNECTION))

        def ours(
            name: str, loose: int, *options: str, source: str | None = None, back_up: bool = True
        ) -> Outcome:
            plain = name.replace(" ", "-").replace(",", "")
            with _meter(data, folder, "prep", plain) as meter, roads.held(meter):
                place = roads.place(data, meter, folder / f"{plain}.log")
                bucket = plain if back_up else None
                road = roads.run(meter, place, both, bucket, *options, source=source)
            load = Work(data.archive_bytes, loose, road.packed_bytes, data.images, back_up, unit)
            return Outcome(name, road, load, None if source else LINK)

        outcomes = (
            ours("with loose images", images),
            ours("without loose images", 0, WITHOUT_ORGANIZE),
            ours("without loose images, no backup", 0, WITHOUT_ORGANIZE, back_up=False),
            ours("from a folder", images, source=str(data.archives)),
        )
        stages = _article(data, both, folder)
    return result(data.text, data.archive_bytes, outcomes, stages)


@contextlib.contextmanager
def _meter(data: Workload, folder: Path, side: str, name: str) -> Iterator[Meter]:
    with roads.volumes(data, folder, name) as (work, dataset):
        yield Meter(side, work, dataset)


def _article(data: Workload, both: Servers, folder: Path) -> list[Stage]:
    """The stages of the article's sequence, its download before them."""
    user, access_key = both.credentials["PREP_USERNAME"], both.credentials["PREP_ACCESS_KEY"]
    with _meter(data, folder, "article", "article") as meter, roads.held(meter):
        article.download(data, meter, both.source, user, access_key)
        article.sequence(data, meter, folder / "article.log", both.s3.environment(), both.bucket("article"))
        return meter.stages


def result(workload: str, archive_bytes: int, outcomes: tuple[Outcome, ...], stages: list[Stage]) -> Result:
    """The figures of our runs, the first with loose images, the second without, and the article's stages."""
    article_seconds = sum(stage.seconds for stage in stages)
    notes = [
        f"link: {LINK / 1e6:g} MB/s in all, {CONNECTION / 1e6:g} MB/s a connection",
        *roads.notes(archive_bytes),
        *(f"floor {one.name}: {one.floor.text}" for one in outcomes),
        *(
            f"floor {one.name}, with reads and writes counted together, as EBS does: {one.together.text}"
            for one in outcomes
        ),
        "seconds are those of the process, its start included; the tail goes from the begin of the merge to "
        "verify's receipt",
    ]
    details = {
        "notes": notes,
        "roads": [_as_dict(one) for one in outcomes],
        "article_seconds": article_seconds,
    }
    figures = (
        *_time_figures(outcomes, article_seconds),
        *_predicted_figures(outcomes),
        *_byte_figures(outcomes[0], outcomes[1]),
        Figure(
            "run, memory at its peak",
            max(one.road.peak_memory for one in outcomes) / 2**30,
            "GiB",
            MEMORY_GIB,
            "most",
            "the most of all runs",
        ),
    )
    tables = (_roads_table(outcomes, article_seconds), _moved_table(outcomes), stages_table(stages))
    return Result("whole", workload, figures, details, tables)


def _time_figures(outcomes: tuple[Outcome, ...], article_seconds: float) -> Iterator[Figure]:
    for one in outcomes:
        yield Figure(
            f"run {one.name}, seconds over the floor",
            one.ratio,
            "times",
            OVER_FLOOR if one.link else None,
            "most",
            f"{one.road.seconds:.1f} s over {one.floor.seconds:.1f} s",
        )
    for one in outcomes[:3]:
        tail = one.road.tail_seconds
        yield Figure(
            f"run {one.name}, tail over its floor",
            one.tail_ratio,
            "times",
            OVER_TAIL,
            "most",
            "no merge was seen" if tail is None else f"{tail:.1f} s over {one.floor.tail.seconds:.1f} s",
        )
    first = outcomes[0]
    ours = first.road.seconds
    yield Figure(
        f"the article's seconds over those of run {first.name}",
        article_seconds / ours,
        "times",
        note=f"{article_seconds:.0f} s over {ours:.0f} s",
    )


def _predicted_figures(outcomes: tuple[Outcome, ...]) -> Iterator[Figure]:
    for one in outcomes:
        predicted, tail = one.predicted, one.road.tail_seconds
        pairs = (("seconds", predicted.seconds, one.road.seconds), ("tail", predicted.tail.seconds, tail))
        for what, expected, measured in pairs:
            yield Figure(
                f"run {one.name}, {what} as predicted",
                None if measured is None else abs(expected / measured - 1),
                "away from measured",
                WITHIN,
                "most",
                "no merge was seen" if measured is None else f"{expected:.1f} s predicted, {measured:.1f} s",
            )


def rig_rates(link: int | None, loose: bool) -> Rates:
    """The rates of this rig, with its cores, for the model of `prep plan`."""
    effort = replace(machines.MEASURED, link=SITE, store=S3)
    return replace(
        rates(SC1_BURST, GP3, link),
        work_request=machines.WORK_REQUEST if loose else machines.WORK_REQUEST_LEAN,
        dataset_request=machines.DATASET_REQUEST,
        unflushed=MOST_BYTES,
        machine=Machine(len(os.sched_getaffinity(0)), effort),
        start=START_SECONDS,
    )


def _byte_figures(loose: Outcome, lean: Outcome) -> Iterator[Figure]:
    for one, target in ((loose, WORK_BYTES), (lean, LEAN_BYTES)):
        moved = one.road.stage.work.total_bytes / one.load.archives
        yield Figure(f"run {one.name}, bytes at the work volume", moved, "per archive byte", target, "most")
    moved = loose.road.stage.dataset.total_bytes / loose.load.packed
    name = f"run {loose.name}, bytes at the dataset volume"
    yield Figure(name, moved, "per packed byte", DATASET_BYTES, "most")
    size = _write_kib(loose.road.stage.work)
    note = "" if size else "nothing was written"
    yield Figure(f"run {loose.name}, a write at the work volume", size, "KiB", WRITE_KIB, note=note)


def _write_kib(traffic: Traffic) -> float | None:
    """Mean size of the write requests at a volume."""
    return traffic.written_bytes / traffic.writes / 1024 if traffic.writes else None


def _as_dict(one: Outcome) -> dict[str, object]:
    """For programs: all that was measured of a run, unrounded."""
    return {
        "name": one.name,
        "seconds": one.road.seconds,
        "until_on_disk_seconds": one.road.stage.seconds,
        "floor_seconds": one.floor.seconds,
        "floor_together_seconds": one.together.seconds,
        "ratio": one.ratio,
        "tail_seconds": one.road.tail_seconds,
        "tail_floor_seconds": one.floor.tail.seconds,
        "tail_ratio": one.tail_ratio,
        "predicted_seconds": one.predicted.seconds,
        "predicted_tail_seconds": one.predicted.tail.seconds,
        "processor_seconds": one.road.processor_seconds,
        "peak_memory_bytes": one.road.peak_memory,
        "archive_bytes": one.load.archives,
        "image_bytes": one.load.loose,
        "packed_bytes": one.load.packed,
        "work": vars(one.road.stage.work),
        "dataset": vars(one.road.stage.dataset),
    }


def _roads_table(outcomes: tuple[Outcome, ...], article_seconds: float) -> Table:
    rows: list[tuple[str, ...]] = []
    for one in outcomes:
        tail, over = one.road.tail_seconds, one.tail_ratio
        rows.append(
            (
                f"prep run, {one.name}",
                f"{one.road.seconds:.1f}",
                f"{one.floor.seconds:.1f}",
                f"{one.ratio:.2f}",
                "" if tail is None else f"{tail:.1f}",
                f"{one.floor.tail.seconds:.1f}",
                "" if over is None else f"{over:.2f}",
                f"{one.road.stage.seconds:.1f}",
                f"{one.road.processor_seconds:.1f}",
                f"{one.road.peak_memory / 2**30:.2f}",
            )
        )
    rows.append(("the article's sequence, with its download", f"{article_seconds:.1f}", *[""] * 8))
    header = (
        "road",
        "seconds",
        "floor",
        "ratio",
        "tail",
        "tail's floor",
        "tail's ratio",
        "until on the disk",
        "processor seconds",
        "peak GiB",
    )
    return Table("Roads", header, tuple(rows))


def _moved_table(outcomes: tuple[Outcome, ...]) -> Table:
    """What went through each volume."""
    rows = [
        (
            f"prep run, {one.name}",
            volume,
            f"{moved.read_bytes / 1e6:.0f}/{moved.written_bytes / 1e6:.0f} MB",
            f"{moved.reads}/{moved.writes}",
            f"{_write_kib(moved) or 0:.0f}",
            f"{moved.total_bytes / per:.2f} {unit}",
        )
        for one in outcomes
        for volume, moved, per, unit in (
            ("work", one.road.stage.work, one.load.archives, "per archive byte"),
            ("dataset", one.road.stage.dataset, one.load.packed, "per packed byte"),
        )
    ]
    header = ("road", "volume", "bytes read/written", "requests read/written", "KiB a write", "bytes")
    return Table("Bytes and requests at each volume", header, tuple(rows))
