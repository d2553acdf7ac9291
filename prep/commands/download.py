"""`download`."""

from typing import Any

import click

from prep.commands.perform import perform
from prep.job import Job
from prep.options import COMMON, DOWNLOADING


@click.command("download")
@COMMON
@DOWNLOADING
def download_command(**options: Any) -> None:
    """Download the archives and check their size and MD5.

    Archives that are in ROOT/archives already are checked but not downloaded. If the site asks for a user
    name and an access key, they must be in PREP_USERNAME and PREP_ACCESS_KEY, or in the secret that --secret
    names. An interrupted download continues with the byte ranges that are missing.

    \b
    Example:
      python -m prep download --root /data --secret ilsvrc2012/credentials
    """
    perform(options, Job.download)
