"""The cold disk: the whole of ours against the article's sequence, on volumes as slow as EBS's.

Ours is run three times: `run`, which is how it is meant to be used (an archive is read once for all that is
done with it); `run` without loose images; and each stage alone, beside the article's stages. Page caches are
dropped between stages, and while a stage runs, large files leave the cache a few seconds after their use:
144 GiB would not be there on the way back either. The S3 server and the archives' server run on
this machine, on its own disk, and take their part of its cores.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3

from bench.report import BenchError, Figure, Result, Table
from bench.rigs import article, ours
from bench.rigs.article import QUALITY, RESIZE, Packed
from bench.rigs.disks import GP3, MIB, SC1_BURST, Disk, check, clear, disk
from bench.rigs.ours import Place
from bench.rigs.page_cache import forgetful
from bench.rigs.stages import Meter, Stage, stages_table
from bench.workloads import photographs
from bench.workloads.photographs import Plan
from bench.workloads.workload import SCRATCH, Given, Workload, scratch
from rehearsal.servers.s3 import S3Server, s3_server

# Classes of ImageNet's size: about 1,300 images, a tar of 148 MB. A small class makes a small unit, and a
# small unit makes small requests.
PLAN = Plan(classes=7, images_per_class=1300, validation_images=500)
PACK_TARGET, RUN_BYTES, PACK_BYTES, DATASET_BYTES = 15.0, 3.1, 2.1, 4.2
WITHOUT_ORGANIZE = "--no-organize"
ENOUGH_BYTES = 10**9  # of archives: less is no measure of a disk
SETTINGS = ("--resize", str(RESIZE), "--quality", str(QUALITY))


@dataclass(frozen=True)
class _Servers:
    """Where our runs get their archives from and send their backup to."""

    s3: S3Server
    source: str
    credentials: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return self.s3.environment() | self.credentials

    def bucket(self, name: str) -> str:
        client = boto3.client(
            "s3",
            endpoint_url=self.s3.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.s3.access_key_id,
            aws_secret_access_key=self.s3.secret_access_key,
        )
        client.create_bucket(Bucket=name)
        return name


@dataclass(frozen=True)
class _Moved:
    """A whole run: bytes at the work volume, bytes at the dataset volume, bytes packed."""

    work: int
    dataset: int
    packed: int


def measure(given: Given) -> Result:
    """All of it, in about ten minutes on two cores."""
    check()
    data = photographs.workload(given, "photographs-cold", PLAN)
    clear(SCRATCH / "cold")
    folder = scratch("cold")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        servers = stack.enter_context(_servers(data, folder))
        with _volumes(data, folder, "ours") as (work, dataset):
            stages, moved, images_per_second = _ours(data, Meter("prep", work, dataset), servers, folder)
        with _volumes(data, folder, "without") as (work, dataset):
            meter = Meter("prep", work, dataset)
            lean = _without_organize(data, meter, servers, folder)
            stages += meter.stages
        with _volumes(data, folder, "article") as (work, dataset):
            meter = Meter("article", work, dataset)
            packed = _article(data, meter, servers, folder)
            stages += meter.stages
    return _result(data, stages, moved, lean, images_per_second, packed)


def _result(
    data: Workload, stages: list[Stage], moved: _Moved, lean: _Moved | None, rate: float, packed: Packed
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
        Figure("run, bytes at the work volume", moved.work / archives, "per archive byte", RUN_BYTES, "most"),
        Figure(
            "run without loose images, bytes at the work volume",
            lean.work / archives if lean else None,
            "per archive byte",
            PACK_BYTES,
            "most",
            missing,
        ),
        Figure(
            "run, bytes at the dataset volume",
            moved.dataset / moved.packed,
            "per packed byte",
            DATASET_BYTES,
            "most",
        ),
    )
    notes = [
        f"work volume: {SC1_BURST.name}; dataset volume: {GP3.name}; held for reads and for writes each",
        f"im2rec.py packed {packed.images} images; its start of {packed.start_seconds:.1f} s is taken off; "
        "images/s by workers on a few: "
        + ", ".join(f"{workers}: {rate:.0f}" for workers, rate in packed.probes.items()),
    ]
    if archives < ENOUGH_BYTES:
        notes.append(f"{archives / 1e6:.0f} MB of archives are too few to measure a disk with: a try-out")
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


@contextlib.contextmanager
def _volumes(data: Workload, folder: Path, name: str) -> Iterator[tuple[Disk, Disk]]:
    """A work volume and a dataset volume, new and empty, with room for the article's copies."""
    place = folder / name
    place.mkdir()
    with (
        disk(place, "work", SC1_BURST, 4 * data.archive_bytes + 1024 * MIB) as work,
        disk(place, "dataset", GP3, 4 * data.archive_bytes + 1024 * MIB) as dataset,
    ):
        yield work, dataset


@contextlib.contextmanager
def _servers(data: Workload, folder: Path) -> Iterator[_Servers]:
    credentials = {"PREP_USERNAME": "bench", "PREP_ACCESS_KEY": secrets.token_hex(16)}
    with s3_server(folder / "s3") as s3:
        site = subprocess.Popen(  # noqa: S603 - this repository's
            [sys.executable, "-m", "rehearsal.servers.archive", str(data.archives)],
            env=os.environ | credentials,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        try:
            url = site.stdout.readline().strip() if site.stdout else ""
            if not url:
                raise BenchError("cold: the archives' server did not start")
            yield _Servers(s3, url, credentials)
        finally:
            site.terminate()
            site.wait(10)  # seconds; it has nothing to finish


def _ours(data: Workload, meter: Meter, servers: _Servers, folder: Path) -> tuple[list[Stage], _Moved, float]:
    """`run`, then its stages one by one on the archives that it fetched; also images a second of `pack`."""
    place = Place(
        meter.work.mount / "data", meter.dataset.mount / "packed", data.description, folder / "ours.log"
    )
    with _held(meter):
        moved = _run(meter, place, servers, "run", "whole-run")
        bucket = servers.bucket("single-stages")
        _forget_run(place)
        for stage, options in (
            ("organize", ()),
            ("pack", SETTINGS),
            ("verify", ()),
            ("backup", ("--bucket", bucket)),
        ):
            with meter.stage(f"{stage} alone"):
                ours.prep(place, stage, *options, environment=servers.environment)
        pack = next(stage for stage in meter.stages if stage.name == "pack alone")
        return meter.stages, moved, ours.packed_images(place) / pack.seconds


def _without_organize(data: Workload, meter: Meter, servers: _Servers, folder: Path) -> _Moved | None:
    place = Place(
        meter.work.mount / "data", meter.dataset.mount / "packed", data.description, folder / "lean.log"
    )
    if not ours.has_option(place, "run", WITHOUT_ORGANIZE):
        return None
    with _held(meter):
        return _run(meter, place, servers, f"run {WITHOUT_ORGANIZE}", "lean-run", WITHOUT_ORGANIZE)


def _run(meter: Meter, place: Place, servers: _Servers, name: str, bucket: str, *options: str) -> _Moved:
    """The whole of `prep run` as one stage."""
    where = ("--source", servers.source, "--bucket", servers.bucket(bucket))
    with meter.stage(name):
        ours.prep(place, "run", *SETTINGS, *where, *options, environment=servers.environment)
    stage = meter.stages[-1]
    packed = sum(path.stat().st_size for path in place.packed.iterdir() if path.is_file())
    return _Moved(stage.work.total_bytes, stage.dataset.total_bytes, packed)


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


def _article(data: Workload, meter: Meter, servers: _Servers, folder: Path) -> Packed:
    article.bring(data, meter.work)
    with _held(meter):
        return article.sequence(
            data, meter, folder / "article.log", servers.s3.environment(), servers.bucket("article")
        )


@contextlib.contextmanager
def _held(meter: Meter) -> Iterator[None]:
    """As slow as EBS, and as forgetful as a machine with less memory than data."""
    # Loose images are many, and nobody reads them twice within a stage.
    folders = [meter.work.mount / "data" / "archives", meter.work.mount / "archives", meter.dataset.mount]
    with meter.work.held(), meter.dataset.held(), forgetful(folders):
        yield
