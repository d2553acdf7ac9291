"""`verify`."""

from typing import Any

import click

from prep.commands.on_ray import refuse_addresses, verify_on_ray
from prep.commands.perform import perform
from prep.job import Job
from prep.options import ANYWHERE, STRICT, THREADS


@click.command("verify")
@ANYWHERE
@THREADS
@STRICT
@click.option(
    "--against",
    metavar="s3://BUCKET",
    help="Check the backup in this bucket instead: compare the checksums that S3 keeps, download nothing.",
)
def verify_command(**options: Any) -> None:
    """Check every record and checksum of the packed files.

    Compares the files in PACKED with MANIFEST.json and with the inventory of the archives, which pack has
    written into ROOT; does not read the archives again. Then reads a sample of the records with MXNet.

    With --on ray, many machines check the packed files that `pack --on ray` has left in S3.

    \b
    Example:
      python -m prep verify --root /data --packed /dataset
      python -m prep verify --against s3://BUCKET
      python -m prep verify --on ray --packed s3://b/packed
    """
    if options.pop("on") == "ray":
        verify_on_ray(options)
        return
    refuse_addresses(options)
    against = options.pop("against")
    if against is None:
        perform(options, Job.verify)
        return
    if not against.startswith("s3://") or not against[5:].rstrip("/"):
        raise click.BadParameter(f"{against!r} is not s3://BUCKET", param_hint="--against")
    perform(options | {"bucket": against[5:].rstrip("/")}, Job.check_backup)
