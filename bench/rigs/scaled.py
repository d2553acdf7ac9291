"""`python -m bench.rigs.scaled …`: `python -m prep …` with small ranges, buckets and blocks.

ImageNet has 18,000 ranges, 2,200 buckets and 2,000 blocks; of the sizes as shipped, a hundred megabytes have
two or three each. Units of archives stay as they are: S3 takes no smaller parts.
"""

import sys

from prep.archives import units
from prep.cli import main
from prep.records import buckets
from prep.sources import arrival
from prep.state import group_commit

arrival.RANGE_BYTES = 2 << 20
buckets.BUCKET_BYTES = 8 << 20
units.SMALLEST_BLOCK = 8 << 20
group_commit.WORTH_BYTES = 16 << 20
group_commit.MOST_BYTES = 32 << 20

if __name__ == "__main__":
    sys.exit(main())
