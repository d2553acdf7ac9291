"""What is packed, how the cluster cuts it, and the numbers and sizes that follow from that."""

import math
from dataclasses import dataclass
from functools import cached_property

from bench.scale.facts import GIB, LARGEST_OBJECT, LARGEST_PART, MEASURED, MOST_PARTS
from prep.cluster.boundaries import least_bytes
from prep.cluster.ranges import RANGE_BYTES
from prep.cluster.transfer import READ_BYTES
from prep.records.buckets import BUCKET_BYTES, MOST_BUCKETS

TABLES, NUMBER = 3, 8  # the driver's tables of a unit: ends, counts, sizes; bytes of a number


@dataclass(frozen=True)
class DataSet:
    """Images and bytes of archives; `splits` archives of the same size, each of which is a split."""

    name: str
    images: int
    bytes: int
    splits: int = 1


@dataclass(frozen=True)
class Design:
    """How a data set is cut.

    Attributes:
        most_buckets: of a split.
        range_bytes: a range has at least so many bytes of records.
        part_bytes: of a `.rec` file, as --part-mib says; 0 for one file.
        two_rounds: objects of units are combined before they are merged.
    """

    name: str
    most_buckets: int = MOST_BUCKETS
    range_bytes: int = RANGE_BYTES
    part_bytes: int = 0
    two_rounds: bool = False


PRESENT = Design("as it is")


@dataclass(frozen=True)
class Cut:
    """A data set as a design cuts it. All numbers but those of `splits` are of one split."""

    data: DataSet
    design: Design

    @cached_property
    def archive(self) -> float:
        """Bytes of the archive."""
        return self.data.bytes / self.data.splits

    @cached_property
    def packed(self) -> float:
        """Bytes of records."""
        return self.archive * MEASURED.packed

    @cached_property
    def unit(self) -> float:
        """Bytes of a unit."""
        return min(least_bytes(int(self.archive)), self.archive)

    @cached_property
    def units(self) -> int:
        """Units: tasks of dealing."""
        return math.ceil(self.archive / self.unit)

    @cached_property
    def unit_reads(self) -> int:
        """GETs of a task of dealing."""
        return math.ceil(self.unit / READ_BYTES)

    @cached_property
    def buckets(self) -> int:
        """Buckets."""
        wanted = math.ceil(self.archive / BUCKET_BYTES)
        if self.design.most_buckets > MOST_BUCKETS:  # a bucket is a range then
            wanted = min(wanted, int(self.packed / self.design.range_bytes))
        return max(1, min(self.design.most_buckets, wanted))

    @cached_property
    def ranges(self) -> int:
        """Ranges: tasks of merging, and parts of uploads."""
        bucket = self.packed / self.buckets
        return math.ceil(self.buckets / max(1, math.ceil(self.design.range_bytes / bucket)))

    @cached_property
    def range_bytes(self) -> float:
        """Bytes of records of a range."""
        return self.packed / self.ranges

    @cached_property
    def files(self) -> int:
        """`.rec` files."""
        return max(1, round(self.packed / self.design.part_bytes)) if self.design.part_bytes else 1

    @cached_property
    def group(self) -> int:
        """Units whose objects are combined, in the first of two rounds; 1 with one round."""
        if not self.design.two_rounds:
            return 1
        dealt = self.unit * MEASURED.packed
        # The number of requests, units * columns + ranges * groups, is smallest then.
        return max(1, min(self.units, round(math.sqrt(self.ranges * self.range_bytes / dealt))))

    @cached_property
    def groups(self) -> int:
        """Groups of units; with one round, every unit is one."""
        return math.ceil(self.units / self.group)

    @cached_property
    def columns(self) -> int:
        """Tasks that combine a group: each takes a column of the buckets, as large as a range."""
        return max(1, round(self.group * self.unit * MEASURED.packed / self.range_bytes))

    @cached_property
    def combines(self) -> int:
        """Tasks that combine objects."""
        return self.groups * self.columns if self.design.two_rounds else 0

    @cached_property
    def slices(self) -> int:
        """Ranged GETs of the shuffle."""
        if self.design.two_rounds:
            return self.units * self.columns + self.groups * self.ranges
        return self.units * self.ranges

    @cached_property
    def slice_bytes(self) -> float:
        """Mean bytes of a slice."""
        return self.packed * (2 if self.design.two_rounds else 1) / self.slices

    @cached_property
    def driver_bytes(self) -> float:
        """Memory of the driver for the tables of the units, all splits: where each bucket of each is."""
        if self.design.two_rounds:
            numbers = self.units * self.columns + self.groups * self.ranges
        else:
            numbers = self.units * self.buckets
        return TABLES * numbers * self.data.splits * NUMBER

    def impossible(self, driver_memory: float) -> list[str]:
        """What S3 or the driver's machine does not allow."""
        found = []
        if self.archive > LARGEST_OBJECT or self.packed / self.files > LARGEST_OBJECT:
            found.append("an object is larger than S3 allows")
        if self.range_bytes > LARGEST_PART:
            found.append(f"a part has {self.range_bytes / GIB:.1f} GiB, S3 allows 5")
        if self.ranges / self.files > MOST_PARTS:
            found.append(f"{self.ranges / self.files:,.0f} parts in an upload, S3 allows 10,000")
        if self.driver_bytes > driver_memory:
            found.append(
                f"the driver needs {self.driver_bytes / GIB:,.0f} GiB, has {driver_memory / GIB:.0f}"
            )
        return found
