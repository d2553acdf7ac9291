"""`pack`."""

from typing import Any

import click

from prep.commands.on_ray import pack_on_ray, refuse_addresses
from prep.commands.perform import perform
from prep.job import Job
from prep.options import ANYWHERE, PACKING, SOURCE


@click.command("pack")
@ANYWHERE
@PACKING
@SOURCE
@click.option("--from-folders", is_flag=True, help="Read the class folders instead of the archives.")
def pack_command(**options: Any) -> None:
    """Pack the images into shuffled RecordIO files.

    Reads the archives in ROOT/archives or, with --from-folders, the class folders. Writes into PACKED, for
    each split, <split>.rec with its index (.idx) and its list (.lst), then classes.tsv and MANIFEST.json.

    With --on ray, many machines do it: the archives are read from S3, and the packed files are written to S3.
    They have the same bytes. `restore` brings them to a dataset volume.

    \b
    Example:
      python -m prep pack --root /data --packed /dataset --resize 256 --quality 90
      python -m prep pack --on ray --source s3://b/archives --packed s3://b/packed
    """
    if options.pop("on") == "ray":
        pack_on_ray(options)
    else:
        refuse_addresses(options)
        perform(options, Job.pack)
