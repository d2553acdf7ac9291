"""Pack, page cache warm: `python -m prep pack` from archives against im2rec.py from class folders.

Both are timed as whole processes and read the same images from a warm cache, in turn, so that whatever else
happens on the machine happens to both. im2rec.py is taken at the number of workers at which it is fastest.

Each ratio is given twice: of the whole processes, and without the start of each (the interpreter's and
imports; for im2rec.py, the time of a run on an empty list). A start takes seconds, once: it matters on this
small set, and not on ImageNet.

The bare loop shows how much time goes to other things than the images: it runs `prep.images.prepare` over the
same bytes in memory, in threads, with no archive, order, file or check. (At 480 nearly every image of
ILSVRC2012's sizes is packed as it is, and the loop has nothing to do: there it is shown, without a target.)
"""

import os
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from bench.report import BenchError, Figure, Result, Table
from bench.rigs import ours, peer
from bench.rigs.disks import MIB, SC1_BURST
from bench.workloads import photographs
from bench.workloads.photographs import Plan
from bench.workloads.workload import Given, Workload, scratch
from prep.images.prepare import Target, UnreadableImageError, prepare

PLAN = Plan(classes=40, images_per_class=105, validation_images=200)
SETTINGS = (
    (480, 95, 3.0, None),
    (256, 90, 1.25, 0.85),
)  # resize, quality, ratio to im2rec.py, to the bare loop
NEAR = 1.1  # worker counts this close to the fastest stay in the race after the first round

# Runs one contender and returns (images packed, seconds, seconds without the interpreter's start).
Contender = Callable[[], tuple[int, float, float]]


@dataclass(frozen=True)
class Rate:
    """Images per second over some rounds; `inner` is without the interpreter's start and imports."""

    images: int
    rates: tuple[float, ...]
    inner: float

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.rates)


def measure(given: Given, rounds: int) -> Result:
    """Both settings; each contender runs `rounds` times beside a first time that does not count."""
    data = photographs.workload(given, "photographs", PLAN)
    folders = data.folders()
    memory = [(folders / name).read_bytes() for _, name in data.listing()]  # which warms the cache as well
    for split in data.truth.splits:
        split.archive.read_bytes()
    figures: list[Figure] = []
    rows: list[tuple[str, ...]] = []
    for resize, quality, to_peer, to_loop in SETTINGS:
        rates = _race(_contenders(data, folders, memory, Target(resize, quality)), rounds)
        best = max((name for name in rates if name.startswith("im2rec")), key=lambda name: rates[name].median)
        settings = f"--resize {resize} --quality {quality}"
        prep, loop, other = rates["prep pack"], rates["bare loop"], rates[best]
        peer_unit, loop_unit = "times im2rec.py", "of its rate"
        name = f"pack, {settings}"
        figures += [
            Figure(name, prep.median / other.median, peer_unit, to_peer, note=f"at {best}"),
            Figure(f"{name}, both without their start", prep.inner / other.inner, peer_unit),
            Figure(f"{name}, beside the bare loop", prep.median / loop.median, loop_unit, to_loop),
            Figure(f"{name}, beside the bare loop, without start", prep.inner / loop.inner, loop_unit),
        ]
        rows += [
            (
                settings,
                name,
                str(rate.images),
                f"{rate.median:.0f}",
                f"{min(rate.rates):.0f} to {max(rate.rates):.0f}",
                f"{rate.inner:.0f}",
            )
            for name, rate in rates.items()
        ]
    header = ("settings", "contender", "images", "images/s", "least to most", "without start")
    facts = {"rounds": rounds, "notes": [_cold(data)]}
    return Result("pack", data.text, tuple(figures), facts, (Table("Rates", header, tuple(rows)),))


def _cold(data: Workload) -> str:
    """What the rates mean where the archives come from a cold disk."""
    image = data.archive_bytes / data.images
    disk = SC1_BURST.bytes_per_second
    return (
        "what limits prep: at 480 reading, hashing and writing, as nearly every image is packed as it is; "
        "at 256 the cores, which decode, resize and encode. "
        f"A disk of {disk // MIB} MiB/s delivers {disk / image:.0f} of these images a second: "
        "less than either"
    )


def _contenders(
    data: Workload, folders: Path, memory: Sequence[bytes], target: Target
) -> dict[str, Contender]:
    listing = data.listing()
    log = scratch("logs") / f"{target.resize}.log"

    def prep() -> tuple[int, float, float]:
        place = ours.beside(scratch("pack"), data.archives, data.description)
        options = ("--resize", str(target.resize), "--quality", str(target.quality))
        ran = ours.prep(place, "pack", *options)
        inner = float(ours.receipts(ran)["pack"]["seconds"])
        return ours.packed_images(place), ran.seconds, inner

    def im2rec(workers: int) -> tuple[int, float, float]:
        prefix = scratch("im2rec") / "all"
        peer.write_list(prefix.with_suffix(".lst"), listing)
        ran = peer.im2rec(prefix, folders, target.resize, target.quality, workers, log)
        return peer.packed(prefix), ran.seconds, ran.seconds - peer_start

    def start() -> float:
        prefix = scratch("im2rec") / "none"
        peer.write_list(prefix.with_suffix(".lst"), [])
        return peer.im2rec(prefix, folders, target.resize, target.quality, 2, log).seconds

    start()
    peer_start = start()
    contenders: dict[str, Contender] = {"prep pack": prep, "bare loop": lambda: bare_loop(memory, target)}
    for workers in peer.WORKERS:
        contenders[f"im2rec.py, {peer.counted(workers)}"] = partial(im2rec, workers)
    return contenders


def _race(contenders: dict[str, Contender], rounds: int) -> dict[str, Rate]:
    """Run the contenders in turn. The first round warms up, and drops the peer's slower worker counts."""
    found: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    running = dict(contenders)
    for number in range(rounds + 1):
        for name, contend in running.items():
            os.sync()  # what the one before left to be written is not this one's to wait for
            found[name].append(contend())
        if number == 0:
            peers = {name: _rate(found[name][0]) for name in running if name.startswith("im2rec")}
            slow = {name for name, rate in peers.items() if rate * NEAR < max(peers.values())}
            running = {name: contend for name, contend in running.items() if name not in slow}
    shutil.rmtree(scratch("pack"))
    # Those dropped after the first round keep it: what they were is worth showing.
    return {name: _summary(runs[1:] or runs) for name, runs in found.items()}


def _rate(run: tuple[int, float, float]) -> float:
    return run[0] / run[1]


def _summary(runs: Sequence[tuple[int, float, float]]) -> Rate:
    return Rate(
        runs[-1][0],
        tuple(_rate(run) for run in runs),
        statistics.median(images / max(inner, 0.001) for images, _, inner in runs),
    )


def bare_loop(images: Sequence[bytes], target: Target) -> tuple[int, float, float]:
    """Prepare images that are in memory on all cores and throw the outcome away.

    Raises:
        BenchError: one of them can't be read.
    """
    cv2.setNumThreads(1)  # a thread a core is busy already
    begun = time.perf_counter()
    try:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for _ in pool.map(lambda data: len(prepare(memoryview(data), target).jpeg), images):
                pass
    except UnreadableImageError as error:
        raise BenchError(f"bare loop: an image {error}: give images that can be read") from error
    seconds = time.perf_counter() - begun
    return len(images), seconds, seconds
