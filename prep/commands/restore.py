"""`restore`."""

from typing import Any

import click

from prep.commands.perform import perform
from prep.options import BUCKET, COMMON


@click.command("restore")
@COMMON
@BUCKET
@click.option(
    "--what",
    type=click.Choice(["archives", "packed", "all"]),
    default="packed",
    show_default=True,
    help="Which files to download.",
)
def restore_command(what: str, **options: Any) -> None:
    """Download archives or packed files from the backup.

    Writes the archives into ROOT/archives and the packed files into PACKED, and checks the digest of each.
    Files that are already there are checked but not downloaded.

    \b
    Example:
      python -m prep restore --bucket BUCKET --packed /dataset
    """
    wanted = ["archives", "packed"] if what == "all" else [what]
    perform(options, lambda job: job.restore(wanted))
