"""The shuffle alone, through S3 and through Ray's object store, each on a new cluster of two CPUs."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.report import Table
from bench.rigs.engines import Meter, Store
from bench.rigs.process import run
from bench.rigs.ray_head import ray_head
from bench.workloads.workload import scratch

GIB = 1 << 30
OBJECT_STORE = 2 * GIB  # bytes, for each node: all slices fit


@dataclass(frozen=True)
class Shape:
    """A shuffle: units, ranges, and bytes of a slice, which each unit has for each range."""

    name: str
    units: int
    ranges: int
    slice_bytes: int

    @property
    def bytes(self) -> int:
        """All slices."""
        return self.units * self.ranges * self.slice_bytes


# ImageNet has about 1,000 units and 1,000 ranges: so its slices are small, and there are many.
SHAPES = (Shape("few large slices", 80, 8, 1_400_000), Shape("slices as ImageNet's", 64, 110, 125_000))
# Name, whether through S3, nodes of the cluster.
WAYS = (
    ("S3", True, 1),
    ("object store, one machine", False, 1),
    ("object store, two machines", False, 2),
)


@dataclass(frozen=True)
class Moved:
    """One shuffle: seconds of writing and reading, processor seconds of Ray and of the S3 server."""

    shape: Shape
    way: str
    write: float
    read: float
    ours: float
    server: float

    @property
    def seconds(self) -> float:
        """Both."""
        return self.write + self.read


def shuffles(there: Store, shapes: Sequence[Shape] = SHAPES) -> Iterator[Moved]:
    """Each shape by each way."""
    for shape in shapes:
        for way, through_s3, nodes in WAYS:
            yield _shuffle(there, shape, way, through_s3, nodes)


def _shuffle(there: Store, shape: Shape, way: str, through_s3: bool, nodes: int) -> Moved:
    environment = there.server.environment()
    sizes = ("--units", shape.units, "--ranges", shape.ranges, "--slice", shape.slice_bytes)
    with (
        there.bucket() as bucket,
        ray_head(2 // nodes, environment, nodes=nodes, object_store=OBJECT_STORE) as head,
        Meter(there, head.pids) as meter,
    ):
        words = ["-m", "bench.rigs.shuffle", "--address", head.address, *map(str, sizes)]
        words += ["--bucket", bucket] if through_s3 else []
        log = scratch("shuffle") / "shuffle.log"
        told = json.loads(
            run([sys.executable, *words], log, environment=environment | dict(head.environment)).output
        )
    return Moved(shape, way, told["write"], told["read"], meter.ours, meter.server)


def table(moved: Sequence[Moved]) -> Table:
    """What each took."""
    rows = tuple(
        (
            one.shape.name,
            f"{one.shape.units} x {one.shape.ranges} x {one.shape.slice_bytes / 1e3:,.0f} KB",
            one.way,
            f"{one.write:.1f}",
            f"{one.read:.1f}",
            f"{one.shape.bytes / 1e6 / one.seconds:,.0f}",
            f"{one.ours:.1f}",
            f"{one.server:.1f}",
        )
        for one in moved
    )
    header = (
        "slices", "units x ranges x bytes", "through", "write, s", "read, s", "MB/s",
        "processor s, Ray", "processor s, S3 server",
    )  # fmt: skip
    return Table("The shuffle alone, on two CPUs", header, rows)
