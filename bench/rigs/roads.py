"""Whole roads over two slow volumes: new volumes, the state in which they are measured, and `prep run`."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.rigs import ours
from bench.rigs.article import QUALITY, RESIZE
from bench.rigs.disks import GP3, MIB, SC1_BURST, Disk, disk
from bench.rigs.ours import Place
from bench.rigs.page_cache import forgetful
from bench.rigs.phases import Watch
from bench.rigs.process import peak_memory, processor_seconds
from bench.rigs.servers import Servers
from bench.rigs.stages import Meter, Stage
from bench.workloads.workload import Workload

SETTINGS = ("--resize", str(RESIZE), "--quality", str(QUALITY))
WITHOUT_ORGANIZE = "--no-organize"
ENOUGH_BYTES = 10**9  # of archives: less is no measure of a disk
VOLUMES = f"work volume: {SC1_BURST.name}; dataset volume: {GP3.name}; held for reads and for writes each"


@dataclass(frozen=True)
class Road:
    """A whole `prep run`.

    `stage` has the bytes at the volumes, and the seconds until all of them are on the disk; `seconds` are
    those of the process, with its start. `tail_seconds` are those from the begin of the merge to the receipt
    of verify; None if no merge was seen.
    """

    stage: Stage
    seconds: float
    tail_seconds: float | None
    packed_bytes: int
    peak_memory: int
    processor_seconds: float


class Observer:
    """Looks at a `prep run` from the outside while it runs."""

    def __init__(self, place: Place) -> None:
        self.peak_memory = 0
        self.processor_seconds = 0.0
        self.merge_begun: float | None = None
        self.verify_ended: float | None = None
        self._place = place
        self._watch = Watch(place, {}, ())

    def look(self, pid: int) -> None:
        """Note how the process stands."""
        self.peak_memory = max(self.peak_memory, peak_memory(pid))
        self.processor_seconds = max(self.processor_seconds, processor_seconds(pid))
        # Names of files cost less than the descriptors of the process, and this looks fifty times a second.
        if self.merge_begun is None and any(self._place.packed.glob("*.rec.partial")):
            self.merge_begun = time.perf_counter()
        if self.verify_ended is None and self._watch.done("verify"):
            self.verify_ended = time.perf_counter()

    def tail_seconds(self) -> float | None:
        """Seconds from the begin of the merge to the end of verify, or to now; None without a merge."""
        if self.merge_begun is None:
            return None
        return (self.verify_ended or time.perf_counter()) - self.merge_begun


@contextlib.contextmanager
def volumes(data: Workload, folder: Path, name: str) -> Iterator[tuple[Disk, Disk]]:
    """A work volume and a dataset volume, new and empty, with room for the article's copies."""
    home = folder / name
    home.mkdir()
    size = 4 * data.archive_bytes + 1024 * MIB
    with disk(home, "work", SC1_BURST, size) as work, disk(home, "dataset", GP3, size) as dataset:
        yield work, dataset


@contextlib.contextmanager
def held(meter: Meter) -> Iterator[None]:
    """As slow as EBS, and as forgetful as a machine with less memory than data."""
    # Loose images are many, and nobody reads them twice within a stage.
    folders = [meter.work.mount / "data" / "archives", meter.work.mount / "archives", meter.dataset.mount]
    with meter.work.held(), meter.dataset.held(), forgetful(folders):
        yield


def place(data: Workload, meter: Meter, log: Path) -> Place:
    """Where a run has its folders on two volumes."""
    return Place(meter.work.mount / "data", meter.dataset.mount / "packed", data.description, log)


def run(
    meter: Meter, where: Place, servers: Servers, bucket: str | None, *options: str, source: str | None = None
) -> Road:
    """The whole of `prep run` as one stage, from the site or `source`, backed up to the new `bucket`, if any.

    Raises:
        BenchError: it failed.
    """
    backup = ("--bucket", servers.bucket(bucket)) if bucket else ()
    addresses = ("--source", source or servers.source, *backup)
    observer = Observer(where)
    name = " ".join(["run", *options])
    with meter.stage(f"{name} from a folder" if source else name):
        ran = ours.prep(
            where,
            "run",
            *SETTINGS,
            *addresses,
            *options,
            environment=servers.environment,
            watch=observer.look,
        )
        tail = observer.tail_seconds()
    packed = sum(path.stat().st_size for path in where.packed.iterdir() if path.is_file())
    return Road(meter.stages[-1], ran.seconds, tail, packed, observer.peak_memory, observer.processor_seconds)


def notes(archive_bytes: int) -> list[str]:
    """What to know of measurements on these volumes."""
    few = f"{archive_bytes / 1e6:.0f} MB of archives are too few to measure a disk with: a try-out"
    return [VOLUMES] + ([few] if archive_bytes < ENOUGH_BYTES else [])
