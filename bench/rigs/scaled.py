"""`python -m bench.rigs.scaled …`: `python -m prep …` with small ranges, buckets, blocks and so on.

ImageNet has 18,000 ranges, 2,200 buckets and 2,000 blocks; of the sizes as shipped, a hundred megabytes have
two or three each, and all of their units would wait for one flush. Units of archives stay as they are: S3
takes no smaller parts.
"""

import sys
from dataclasses import dataclass

from prep.archives import passes, units
from prep.cli import main
from prep.records import buckets, merge
from prep.sources import arrival
from prep.stages import organize
from prep.state import group_commit

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The constants of prep on which it depends what a kill costs; all but two are bytes."""

    range_bytes: int  # arrival.RANGE_BYTES
    group: int  # arrival.GROUP, ranges
    window: int  # arrival.WINDOW, ranges
    memory: int  # passes.MOST_BYTES: units in memory
    worth: int  # group_commit.WORTH_BYTES
    unflushed: int  # group_commit.MOST_BYTES: units that are written and not flushed
    late: int  # organize.LATE_BYTES
    bucket: int  # buckets.BUCKET_BYTES
    block: int  # units.SMALLEST_BLOCK, of a packed file


SHIPPED = Limits(
    arrival.RANGE_BYTES,
    arrival.GROUP,
    arrival.WINDOW,
    passes.MOST_BYTES,
    group_commit.WORTH_BYTES,
    group_commit.MOST_BYTES,
    organize.LATE_BYTES,
    buckets.BUCKET_BYTES,
    units.SMALLEST_BLOCK,
)
SCALED = Limits(2 * MIB, 2, 8, 16 * MIB, 12 * MIB, 24 * MIB, 20 * MIB, 8 * MIB, 8 * MIB)


def scale() -> None:
    """Have prep use the small sizes in this process: all are read where they are used."""
    arrival.RANGE_BYTES, arrival.GROUP, arrival.WINDOW = SCALED.range_bytes, SCALED.group, SCALED.window
    passes.MOST_BYTES = SCALED.memory
    group_commit.WORTH_BYTES, group_commit.MOST_BYTES = SCALED.worth, SCALED.unflushed
    organize.LATE_BYTES = SCALED.late
    buckets.BUCKET_BYTES, merge.PACE_BYTES = SCALED.bucket, 2 * SCALED.bucket
    units.SMALLEST_BLOCK = SCALED.block


if __name__ == "__main__":
    scale()
    sys.exit(main())
