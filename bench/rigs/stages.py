"""The stages of a road over two volumes: seconds by the clock, and what went through each volume."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.report import Table
from bench.rigs.disks import Disk, Traffic, drop_caches


@dataclass(frozen=True)
class Stage:
    """One stage; `share` is the part of it that was really done: its figures are scaled up from that."""

    side: str
    name: str
    seconds: float
    work: Traffic
    dataset: Traffic
    share: float = 1.0


@dataclass
class Meter:
    """Measures stages on two volumes, each with cold caches at its start and all on the disk at its end."""

    side: str
    work: Disk
    dataset: Disk
    stages: list[Stage] = field(default_factory=list)

    @contextlib.contextmanager
    def stage(self, name: str, share: float = 1.0, start: float = 0.0) -> Iterator[None]:
        """Measure the block as the stage of that name.

        If the block does only a `share` of the stage, the figures are scaled up from that. The seconds of its
        `start` are not: the whole stage would have no more of them.
        """
        disks = (self.work, self.dataset)
        drop_caches(disks)
        before = [disk.traffic() for disk in disks]
        begun = time.perf_counter()
        yield
        drop_caches(disks)  # what is still to be written is this stage's
        seconds = start + max(0.0, time.perf_counter() - begun - start) / share
        work, dataset = (
            _scaled(disk.traffic() - old, share) for disk, old in zip(disks, before, strict=True)
        )
        self.stages.append(Stage(self.side, name, seconds, work, dataset, share))


def _scaled(traffic: Traffic, share: float) -> Traffic:
    return Traffic(
        *(
            round(amount / share)
            for amount in (traffic.read_bytes, traffic.written_bytes, traffic.reads, traffic.writes)
        )
    )


def stages_table(stages: list[Stage]) -> Table:
    """All stages, for people; bytes in MB and requests, read and written."""
    rows = []
    for stage in stages:
        done = "" if stage.share == 1 else f"scaled from {stage.share:.0%}"
        volumes = (
            f"{part.read_bytes / 1e6:.0f}/{part.written_bytes / 1e6:.0f} MB, {part.reads}/{part.writes}"
            for part in (stage.work, stage.dataset)
        )
        rows.append((stage.side, stage.name, f"{stage.seconds:.1f}", *volumes, done))
    header = ("side", "stage", "seconds", "work volume read/written", "dataset volume read/written", "note")
    return Table("Stages, with bytes and requests at each volume", header, tuple(rows))
