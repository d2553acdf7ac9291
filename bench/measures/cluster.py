"""Cluster: `pack --on ray` beside the local engine, at equal cores, against a real S3 server.

The contenders take turns. "Local, archives and packed files in S3" does the work that a cluster does: it
downloads the archives from the same S3 server, packs, and sends the packed files to it. "The tasks of the
cluster, without Ray" are the same tasks in one process: what Ray costs is the difference to that. A contender
with one core is kept to that core, and the S3 server may use the other; with two, the S3 server shares them.
The start is what the same commands need for a few images. The requests are counted in a run of their own,
because the proxy that counts them takes processor time.
"""

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from bench.report import BenchError, Figure, Result, Table
from bench.rigs import engines, shuffles
from bench.rigs.counting import Count, CountingProxy
from bench.rigs.engines import Packed, Store, Task
from bench.rigs.shuffles import Moved
from bench.workloads import photographs
from bench.workloads.photographs import Plan
from bench.workloads.workload import Given, Workload, scratch
from rehearsal.servers.s3 import s3_server

NAME = "cluster"
CLASSES, IMAGES_PER_CLASS, VALIDATION = 80, 105, 400
FEW = Plan(classes=2, images_per_class=4, validation_images=4)
SETTINGS = ((480, 95), (256, 90))
OVERHEAD = 1.25
DISK, LOCAL, RAY = (
    "local, archives and packed files on the disk",
    "local, archives and packed files in S3",
    "on Ray",
)
WITHOUT = "the tasks of the cluster, without Ray"
Contend = Callable[[Store, Task, int], Packed]
CONTENDERS: Mapping[int, Mapping[str, Contend]] = {
    1: {
        DISK: engines.on_disk,
        LOCAL: engines.through_s3,
        WITHOUT: engines.without_ray,
        RAY: engines.on_ray,
    },
    2: {DISK: engines.on_disk, LOCAL: engines.through_s3, RAY: engines.on_ray},
}
CORES = tuple(CONTENDERS)
GIB = 1 << 30


@dataclass(frozen=True)
class Runs:
    """The rounds of one contender with one setting on so many cores, and the same for a few images."""

    setting: str
    contender: str
    cores: int
    runs: Sequence[Packed]
    few: Sequence[Packed]

    @property
    def seconds(self) -> float:
        """Seconds by the clock: the median."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def start(self) -> float:
        """Seconds that the same commands need for a few images: the median."""
        return statistics.median(run.seconds for run in self.few)

    @property
    def inner(self) -> float:
        """Seconds without the start."""
        return max(0.001, self.seconds - self.start)

    @property
    def ours(self) -> float:
        """Processor seconds of ours, without the start."""
        return statistics.median(run.ours for run in self.runs) - statistics.median(
            run.ours for run in self.few
        )

    @property
    def server(self) -> float:
        """Processor seconds of the S3 server, without the start."""
        return statistics.median(run.server for run in self.runs) - statistics.median(
            run.server for run in self.few
        )

    @property
    def images(self) -> int:
        """Images of one run."""
        return self.runs[0].images


def measure(given: Given, rounds: int, scale: float) -> Result:
    """All contenders, `rounds` times; the requests once; the shuffle alone once."""
    plan = Plan(max(2, round(CLASSES * scale)), IMAGES_PER_CLASS, max(4, round(VALIDATION * scale)))
    name = "photographs-cluster" if scale == 1 else f"photographs-cluster-{scale:g}".replace(".", "-")
    data = photographs.workload(given, name, plan)
    few = photographs.workload(Given(), "photographs-few", FEW)
    with s3_server(scratch("cluster-s3")) as s3:
        there = engines.store(s3, data, few)
        found = race(there, data, few, rounds)
        counts = count(there, data)
        moved = list(shuffles.shuffles(there)) if scale == 1 else []
    return result(data, found, counts, moved, rounds)


def race(there: Store, data: Workload, few: Workload, rounds: int) -> list[Runs]:
    """Let the contenders take turns; the bytes of all must be the same."""
    runs: dict[tuple[str, str, int], list[tuple[Packed, Packed]]] = defaultdict(list)
    for number in range(rounds):
        for resize, quality in SETTINGS:
            options = ("--resize", str(resize), "--quality", str(quality))
            made = set()
            for cores in CORES:
                for name, contend in CONTENDERS[cores].items():
                    run = partial(_run, there, contend, options, cores)
                    both = run(data), run(few)
                    _say(f"round {number + 1}, {resize}/{quality}, {name}, {cores} cores", *both)
                    runs[f"{resize}/{quality}", name, cores].append(both)
                    made.add(tuple(sorted((file, facts["sha256"]) for file, facts in both[0].files.items())))
            if len(made) != 1:
                raise BenchError(f"cluster: --resize {resize}: the packed files differ: see .cache/bench")
    return [Runs(*key, [whole for whole, _ in both], [few for _, few in both]) for key, both in runs.items()]


def _say(what: str, whole: Packed, few: Packed) -> None:
    """Progress: a round takes some minutes."""
    used = f"ours {whole.ours:.1f}, S3 server {whole.server:.1f}, others {whole.others:.1f}"
    print(
        f"cluster: {what}: {whole.seconds:.1f} s (a few {few.seconds:.1f} s), processor seconds: {used}",
        file=sys.stderr,
        flush=True,
    )


def _run(there: Store, contend: Contend, options: tuple[str, ...], cores: int, data: Workload) -> Packed:
    return contend(there, Task(data, options, {0} if cores == 1 else None), cores)


def count(there: Store, data: Workload) -> Mapping[tuple[str, str], Count]:
    """The requests of `pack --on ray` with the default settings, by kind and purpose."""
    with CountingProxy(there.server.endpoint, purpose) as proxy:
        engines.on_ray(there, Task(data, (), None), 2, proxy.endpoint)
        return dict(proxy.counts)


def purpose(key: str) -> str:
    """What an object is for, by its key."""
    if key.startswith(f"{engines.ARCHIVES}/"):
        return "archives"
    if key.endswith(".entries"):
        return "shuffle"
    if "/inventory/" in key or (".packing/" in key and key.endswith((".idx", ".lst"))):
        return "pieces of index, list, inventory"
    if ".packing" in key or "/.prep" in key:
        return "journal"
    return "packed files"


def result(
    data: Workload,
    found: Sequence[Runs],
    counts: Mapping[tuple[str, str], Count],
    moved: Sequence[Moved],
    rounds: int,
) -> Result:
    """Figures and tables."""
    figures = [*_ratios(found), *_request_figures(counts, data.images), *_shuffle_figures(moved)]
    workers = [run.workers for each in found if each.contender == RAY for run in each.runs]
    most = max(one.share for some in workers for one in some) / GIB
    figures.append(
        Figure(
            "pack on Ray, memory of a worker", most, "GiB", note="its share of what several have in common"
        )
    )
    notes = [
        f"rounds: {rounds}; the values are medians; all contenders made the same bytes",
        "processor seconds are without those of the start; the S3 server runs on the same two cores",
        f"Ray {version('ray')}; before the command, its own processes start in {_ray_start(found):.1f} s, "
        "which are in none of the seconds",
        f"local in S3 is three commands, one after the other: {_steps(found)}",
    ]
    tables = [_rates(found), _requests(counts, data.images)]
    tables += [shuffles.table(moved)] if moved else []
    return Result(NAME, data.text, tuple(figures), {"notes": notes}, tuple(tables))


def _ratios(found: Sequence[Runs]) -> Iterator[Figure]:
    by_key = {(each.setting, each.contender, each.cores): each for each in found}
    for setting in dict.fromkeys(each.setting for each in found):
        for cores in reversed(CORES):
            ray, local = by_key[setting, RAY, cores], by_key[setting, LOCAL, cores]
            name = f"pack on Ray, {setting}, {cores} core{'s' if cores > 1 else ''}"
            unit = "times local in S3"
            rates = f"{ray.images / ray.inner:.0f} against {ray.images / local.inner:.0f} images/s"
            yield Figure(
                f"{name}, seconds without start", ray.inner / local.inner, unit, OVERHEAD, "most", rates
            )
            yield Figure(f"{name}, seconds with start", ray.seconds / local.seconds, unit)
            yield Figure(f"{name}, processor seconds of ours", ray.ours / max(0.001, local.ours), unit)
        ray, alone = by_key[setting, RAY, 1], by_key[setting, WITHOUT, 1]
        rates = f"{ray.images / ray.inner:.0f} against {ray.images / alone.inner:.0f} images/s"
        name, unit = f"pack on Ray, {setting}, 1 core", "times the same tasks without Ray"
        yield Figure(f"{name}, seconds without start", ray.inner / alone.inner, unit, OVERHEAD, "most", rates)
        yield Figure(f"{name}, processor seconds of ours", ray.ours / max(0.001, alone.ours), unit)


def _request_figures(counts: Mapping[tuple[str, str], Count], images: int) -> Iterator[Figure]:
    requests = sum(each.requests for each in counts.values())
    moved = sum(each.sent + each.received for each in counts.values())
    yield Figure("pack on Ray, S3 requests for 1,000 images", 1000 * requests / images, "requests")
    yield Figure("pack on Ray, bytes to and from S3 for an image", moved / images / 1000, "KB")


def _shuffle_figures(moved: Sequence[Moved]) -> Iterator[Figure]:
    for one in moved:
        store = next(each for each in moved if each.shape == one.shape and "two" in each.way)
        if one.way == "S3":
            yield Figure(
                f"shuffle through S3, {one.shape.name}",
                one.seconds / store.seconds,
                "times Ray's object store",
                note=f"{one.seconds:.1f} against {store.seconds:.1f} s on two machines",
            )


def _ray_start(found: Sequence[Runs]) -> float:
    return statistics.median(run.ray_start for each in found if each.contender == RAY for run in each.runs)


def _steps(found: Sequence[Runs]) -> str:
    local = next(each for each in found if each.contender == LOCAL and each.cores == max(CORES))
    names = local.runs[0].steps
    medians = {name: statistics.median(run.steps[name] for run in local.runs) for name in names}
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in medians.items())
    return f"{told} ({local.setting}, {local.cores} cores)"


def _rates(found: Sequence[Runs]) -> Table:
    header = (
        "settings", "contender", "cores", "images/s", "least to most", "without start", "seconds", "start",
        "processor s, ours", "processor s, S3 server", "processor s, others", "processes", "most memory, GiB",
        "its share, GiB",
    )  # fmt: skip
    return Table("Rates", header, tuple(_rate(each) for each in found))


def _rate(each: Runs) -> tuple[str, ...]:
    rates = [run.images / run.seconds for run in each.runs]
    workers = [one for run in each.runs for one in run.workers]
    return (
        each.setting,
        each.contender,
        str(each.cores),
        f"{each.images / each.seconds:.0f}",
        f"{min(rates):.0f} to {max(rates):.0f}",
        f"{each.images / each.inner:.0f}",
        f"{each.seconds:.1f}",
        f"{each.start:.1f}",
        f"{each.ours:.1f}",
        f"{each.server:.1f}",
        f"{statistics.median(run.others for run in each.runs):.1f}",
        str(max(len(run.workers) for run in each.runs)),
        f"{max(one.resident for one in workers) / GIB:.2f}",
        f"{max(one.share for one in workers) / GIB:.2f}",
    )


def _requests(counts: Mapping[tuple[str, str], Count], images: int) -> Table:
    total = Count(*(sum(getattr(each, name) for each in counts.values()) for name in vars(Count())))
    rows = [
        (
            kind,
            what,
            str(each.requests),
            f"{1000 * each.requests / images:.2f}",
            f"{each.sent / images:,.0f}",
            f"{each.received / images:,.0f}",
            str(each.failed) if each.failed else "",
        )
        for (kind, what), each in [*sorted(counts.items()), (("all", ""), total)]
    ]
    header = (
        "request", "for", "requests", "for 1,000 images", "bytes sent, an image", "bytes received, an image",
        "refused",
    )  # fmt: skip
    return Table("Requests of pack on Ray to S3, 480/95", header, tuple(rows))
