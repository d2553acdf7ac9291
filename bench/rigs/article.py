"""The article's sequence on the same volumes: untar, move the validation images, im2rec.py, aws s3 cp.

im2rec.py is slow on a cold disk (that is the point), so it packs a random part of the images, and its time is
scaled up; the time that it takes to start is taken off before, in its favour.
"""

import base64
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import BenchError
from bench.rigs import peer
from bench.rigs.disks import Disk, drop_caches
from bench.rigs.process import run
from bench.rigs.stages import Meter
from bench.workloads.workload import Workload
from rehearsal.checks.truth import Split

RESIZE, QUALITY = 480, 95
PROBE_IMAGES = 150  # for each number of workers: five seconds at the 33 images/s that were seen
MEASURED_IMAGES = 1500  # about 45 seconds
PIECE = 1 << 20  # bytes of a download written at once


@dataclass(frozen=True)
class Packed:
    """How im2rec.py did: images a second, its start taken off, and at which number of workers."""

    images_per_second: float
    workers: int
    images: int
    start_seconds: float
    probes: dict[int, float]


def bring(data: Workload, work: Disk) -> None:
    """Put the archives on the work volume; getting them there is not the article's to be timed for."""
    folder = work.mount / "archives"
    folder.mkdir()
    for split in data.truth.splits:
        shutil.copy(split.archive, folder)


def download(data: Workload, meter: Meter, source: str, user: str, access_key: str) -> None:
    """Fetch the archives from a site onto the work volume, over one connection at a time, as a stage."""
    token = base64.b64encode(f"{user}:{access_key}".encode()).decode()
    with meter.stage("download"):
        folder = meter.work.mount / "archives"
        folder.mkdir()
        for split in data.truth.splits:
            request = urllib.request.Request(  # noqa: S310 - this machine's site
                f"{source}/{split.archive.name}", headers={"Authorization": f"Basic {token}"}
            )
            with (
                urllib.request.urlopen(request) as answer,  # noqa: S310 - likewise
                (folder / split.archive.name).open("wb") as file,
            ):
                shutil.copyfileobj(answer, file, PIECE)


def sequence(data: Workload, meter: Meter, log: Path, environment: dict[str, str], bucket: str) -> Packed:
    """All of it; the archives are there."""
    root = meter.work.mount
    with meter.stage("untar"):
        for split in data.truth.splits:
            _untar(root / "archives" / split.archive.name, root / split.name, split.layout)
    with meter.stage("move validation images into classes"):
        for split in data.truth.splits:
            _sort_into_classes(root / split.name, split)
    packed = _pack(data, meter, log)
    with meter.stage("upload archives"):
        for split in data.truth.splits:
            _upload(root / "archives" / split.archive.name, bucket, environment, log)
    files = sorted(meter.dataset.mount.glob("train.*"))
    begun = time.perf_counter()
    _upload(meter.dataset.mount / "train.lst", bucket, environment, log)  # next to nothing but its start
    start = len(files) * (time.perf_counter() - begun)
    with meter.stage("upload packed files", packed.images / data.images, start):
        for path in files:
            _upload(path, bucket, environment, log)
    return packed


def _untar(archive: Path, target: Path, layout: str) -> None:
    target.mkdir()
    _tar(archive, target)
    if layout == "nested":
        for inner in sorted(target.glob("*.tar")):
            folder = inner.with_suffix("")
            folder.mkdir()
            _tar(inner, folder)
            inner.unlink()


def _tar(archive: Path, target: Path) -> None:
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)  # noqa: S603, S607 - the user's tar


def _sort_into_classes(folder: Path, split: Split) -> None:
    for file, wnid in split.class_of.items():
        (folder / wnid).mkdir(exist_ok=True)
        (folder / file).rename(folder / wnid / file)


def _pack(data: Workload, meter: Meter, log: Path) -> Packed:
    """im2rec.py at each number of workers on a few images, then at the best on more; no image twice."""
    listing = data.listing()
    parts = 1 + len(peer.WORKERS)
    probe = min(PROBE_IMAGES, len(listing) // (2 * parts))
    if not probe:
        raise BenchError(f"cold: {len(listing)} images are too few: give at least {2 * parts}")
    start = _seconds(meter, "start", [], 2, log)
    probes = {}
    for number, workers in enumerate(peer.WORKERS):
        images = listing[number * probe : (number + 1) * probe]
        probes[workers] = len(images) / max(0.1, _seconds(meter, "probe", images, workers, log) - start)
    best = max(probes, key=lambda workers: probes[workers])
    begin = len(peer.WORKERS) * probe
    images = listing[begin : begin + MEASURED_IMAGES]
    prefix = meter.dataset.mount / "train"
    peer.write_list(prefix.with_suffix(".lst"), images)
    with meter.stage(f"im2rec.py, {peer.counted(best)}", len(images) / len(listing), start):
        ran = peer.im2rec(prefix, meter.work.mount, RESIZE, QUALITY, best, log)
    done = peer.packed(prefix)
    return Packed(done / max(0.1, ran.seconds - start), best, done, start, probes)


def _seconds(meter: Meter, name: str, images: Sequence[tuple[int, str]], workers: int, log: Path) -> float:
    """Seconds that im2rec.py takes with cold caches."""
    prefix = meter.dataset.mount / name
    peer.write_list(prefix.with_suffix(".lst"), images)
    drop_caches((meter.work, meter.dataset))
    seconds = peer.im2rec(prefix, meter.work.mount, RESIZE, QUALITY, workers, log).seconds
    for suffix in (".lst", ".rec", ".idx"):
        prefix.with_suffix(suffix).unlink(missing_ok=True)
    return seconds


def _upload(path: Path, bucket: str, environment: dict[str, str], log: Path) -> None:
    command = Path(sys.executable).with_name("aws")
    target = f"s3://{bucket}/{path.name}"
    run([command, "s3", "cp", "--no-progress", path, target], log, environment=environment)
    os.sync()
