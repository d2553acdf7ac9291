"""`python -m bench.rigs.scaled_cluster …`: `python -m prep …` with small units, buckets and ranges.

So a sample of some dozen megabytes has many of each. Only the driver uses these sizes, and tells the tasks.
"""

import sys

from prep.archives import units
from prep.cli import main
from prep.cluster import ranges
from prep.records import buckets

MIB = 1 << 20
RANGE_BYTES = 5 * MIB  # S3 takes no smaller parts, but for the last


def scale() -> None:
    """Have prep use the small sizes in this process: all are read where they are used."""
    units.SMALLEST = buckets.BUCKET_BYTES = MIB
    ranges.RANGE_BYTES = RANGE_BYTES


if __name__ == "__main__":
    scale()
    sys.exit(main())
