"""`adopt`."""

from pathlib import Path
from typing import Any

import click

from prep.commands.perform import perform
from prep.options import COMMON, FOLDER


@click.command("adopt")
@COMMON
@click.argument("copy", type=FOLDER)
def adopt_command(copy: Path, **options: Any) -> None:
    """Link Kaggle's copy of ImageNet into class folders.

    COPY is the folder into which you unpacked the copy: it contains ILSVRC/ and LOC_synset_mapping.txt. It
    must be on the same disk as ROOT, because its images are hard-linked into ROOT/<split>/<class>/, not
    copied. pack --from-folders then packs them.

    \b
    Example:
      python -m prep adopt ~/kaggle --root ~/imagenet
      python -m prep pack --from-folders --root ~/imagenet --packed ~/packed
    """
    perform(options, lambda job: job.adopt(copy))
