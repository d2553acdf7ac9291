"""`organize`."""

from typing import Any

import click

from prep.commands.perform import perform
from prep.job import Job
from prep.options import COMMON


@click.command("organize")
@COMMON
def organize_command(**options: Any) -> None:
    """Write the images into class folders.

    Reads the archives in ROOT/archives, and writes each image as a file into ROOT/<split>/<class>/. Also
    unpacks the bounding box annotations, if the data set has any, into ROOT/bounding_boxes.

    \b
    Example:
      python -m prep organize --root /data
    """
    perform(options, Job.organize)
