"""`python -m prep` with units and buckets so small that a sample of a few megabytes has many of each."""

from prep import command_line
from prep.archives import units
from prep.cli import main
from prep.records import buckets
from prep.state import group_commit

units.SMALLEST = 1 << 20
buckets.BUCKET_BYTES = 4 << 20
group_commit.WORTH_BYTES = 0

if __name__ == "__main__":
    command_line.end(main())
