"""`snapshot`."""

from typing import Any

import click

from prep.commands.perform import perform
from prep.job import Job
from prep.options import COMMON, SNAPSHOT


@click.command("snapshot")
@COMMON
@SNAPSHOT
def snapshot_command(**options: Any) -> None:
    """Take an EBS snapshot and publish its ID.

    Needs packed files that verify has checked. Freezes the file system while the snapshot is started, waits
    until it is complete, and writes its ID into the SSM parameter /<data set>/snapshot-id.

    \b
    Example:
      python -m prep snapshot --packed /dataset --volume vol-0123456789abcdef0
    """
    perform(options, Job.snapshot)
