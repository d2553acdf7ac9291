"""`pack`."""

from typing import Any

import click

from prep.commands.perform import perform
from prep.job import Job
from prep.options import COMMON, PACKING


@click.command("pack")
@COMMON
@PACKING
@click.option("--from-folders", is_flag=True, help="Read the class folders instead of the archives.")
def pack_command(**options: Any) -> None:
    """Pack the images into shuffled RecordIO files.

    Reads the archives in ROOT/archives or, with --from-folders, the class folders. Writes into PACKED, for
    each split, <split>.rec with its index (.idx) and its list (.lst), then classes.tsv and MANIFEST.json.

    \b
    Example:
      python -m prep pack --root /data --packed /dataset --resize 256 --quality 90
    """
    perform(options, Job.pack)
