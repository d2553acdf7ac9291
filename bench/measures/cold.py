"""The cold disk: the whole of ours against the article's sequence, on volumes as slow as EBS's.

Ours is run three times: `run`, which is how it is meant to be used (an archive is read once for all that is
done with it); `run` without loose images; and each stage alone, beside the article's stages. Page caches are
dropped between stages, and while a stage runs, large files leave the cache a few seconds after their use:
144 GiB would not be there on the way back either. The S3 server and the archives' server run on
this machine, on its own disk, and take their part of its cores.
"""

import contextlib
import shutil
from pathlib import Path

from bench.report import Figure, Result, Table
from bench.rigs import article, ours, roads
from bench.rigs.article import Packed
from bench.rigs.disks import check, clear
from bench.rigs.ours import Place
from bench.rigs.roads import SETTINGS, WITHOUT_ORGANIZE, Road
from bench.rigs.servers import Servers, servers
from bench.rigs.stages import Meter, Stage, stages_table
from bench.workloads import photographs
from bench.workloads.photographs import LARGE_CLASSES
from bench.workloads.workload import SCRATCH, Given, Workload, scratch

PACK_TARGET, RUN_BYTES, PACK_BYTES, DATASET_BYTES = 15.0, 3.1, 2.1, 4.2


def measure(given: Given) -> Result:
    """All of it, in about ten minutes on two cores."""
    check()
    data = photographs.workload(given, "photographs-cold", LARGE_CLASSES)
    clear(SCRATCH / "cold")
    folder = scratch("cold")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        both = stack.enter_context(servers(data.archives, folder))
        with roads.volumes(data, folder, "ours") as (work, dataset):
            stages, road, images_per_second = _ours(data, Meter("prep", work, dataset), both, folder)
        with roads.volumes(data, folder, "without") as (work, dataset):
            meter = Meter("prep", work, dataset)
            lean = _without_organize(data, meter, both, folder)
            stages += meter.stages
        with roads.volumes(data, folder, "article") as (work, dataset):
            meter = Meter("article", work, dataset)
            packed = _article(data, meter, both, folder)
            stages += meter.stages
    return _result(data, stages, road, lean, images_per_second, packed)


def _result(
    data: Workload, stages: list[Stage], road: Road, lean: Road | None, rate: float, packed: Packed
) -> Result:
    archives = data.archive_bytes
    missing = "" if lean else f"prep run has no {WITHOUT_ORGANIZE}"
    figures = (
        Figure(
            "pack on a cold disk",
            rate / packed.images_per_second,
            "times im2rec.py",
            PACK_TARGET,
            note=f"{rate:.0f} against {packed.images_per_second:.0f} images/s at {packed.workers} workers",
        ),
        Figure(
            "run, bytes at the work volume",
            road.stage.work.total_bytes / archives,
            "per archive byte",
            RUN_BYTES,
            "most",
        ),
        Figure(
            "run without loose images, bytes at the work volume",
            lean.stage.work.total_bytes / archives if lean else None,
            "per archive byte",
            PACK_BYTES,
            "most",
            missing,
        ),
        Figure(
            "run, bytes at the dataset volume",
            road.stage.dataset.total_bytes / road.packed_bytes,
            "per packed byte",
            DATASET_BYTES,
            "most",
        ),
    )
    notes = [
        *roads.notes(archives),
        f"im2rec.py packed {packed.images} images; its start of {packed.start_seconds:.1f} s is taken off; "
        "images/s by workers on a few: "
        + ", ".join(f"{workers}: {rate:.0f}" for workers, rate in packed.probes.items()),
    ]
    return Result("cold", data.text, figures, {"notes": notes}, (stages_table(stages), _whole(stages)))


def _whole(stages: list[Stage]) -> Table:
    """The whole of each road."""
    whole = [stage for stage in stages if stage.name.startswith("run")]
    article_stages = [stage for stage in stages if stage.side == "article"]
    rows = [(f"prep {stage.name} (with download)", f"{stage.seconds:.0f}") for stage in whole]
    rows.append(
        ("the article's sequence (without download)", f"{sum(s.seconds for s in article_stages):.0f}")
    )
    return Table("The whole", ("road", "seconds"), tuple(rows))


def _ours(data: Workload, meter: Meter, both: Servers, folder: Path) -> tuple[list[Stage], Road, float]:
    """`run`, then its stages one by one on the archives that it fetched; also images a second of `pack`."""
    place = roads.place(data, meter, folder / "ours.log")
    with roads.held(meter):
        road = roads.run(meter, place, both, "whole-run")
        bucket = both.bucket("single-stages")
        _forget_run(place)
        for stage, options in (
            ("organize", ()),
            ("pack", SETTINGS),
            ("verify", ()),
            ("backup", ("--bucket", bucket)),
        ):
            with meter.stage(f"{stage} alone"):
                ours.prep(place, stage, *options, environment=both.environment)
        pack = next(stage for stage in meter.stages if stage.name == "pack alone")
        return meter.stages, road, ours.packed_images(place) / pack.seconds


def _without_organize(data: Workload, meter: Meter, both: Servers, folder: Path) -> Road | None:
    place = roads.place(data, meter, folder / "lean.log")
    if not ours.has_option(place, "run", WITHOUT_ORGANIZE):
        return None
    with roads.held(meter):
        return roads.run(meter, place, both, "lean-run", WITHOUT_ORGANIZE)


def _forget_run(place: Place) -> None:
    """Leave the archives and what `download` noted of them, as if no other stage had been done."""
    for path in place.root.iterdir():
        if path.name not in {"archives", ".prep"}:
            shutil.rmtree(path)
    for path in [*(place.root / ".prep").iterdir(), *(place.root / ".prep" / "journals").iterdir()]:
        if path.name in {"journals", "download.json", "checked.json"}:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.rmtree(place.packed)


def _article(data: Workload, meter: Meter, both: Servers, folder: Path) -> Packed:
    article.bring(data, meter.work)
    with roads.held(meter):
        return article.sequence(
            data, meter, folder / "article.log", both.s3.environment(), both.bucket("article")
        )
