"""`backup`."""

from typing import Any

import click

from prep.commands.perform import perform
from prep.job import Job
from prep.options import BUCKET, COMMON


@click.command("backup")
@COMMON
@BUCKET
@click.option(
    "--loose-images",
    is_flag=True,
    help="Upload each image as an object of its own instead: 1.3 million requests for ImageNet, about $7.",
)
def backup_command(loose_images: bool, **options: Any) -> None:
    """Upload archives, packed files and receipts to S3.

    Needs the archives in ROOT/archives and the packed files in PACKED. Objects that S3 already has are not
    uploaded again.

    \b
    Example:
      python -m prep backup --root /data --packed /dataset --bucket BUCKET
    """
    perform(options, Job.backup_images if loose_images else Job.backup)
