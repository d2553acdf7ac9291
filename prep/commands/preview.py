"""The command `preview`."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from prep import contract
from prep.errors import DescriptionError, PrepError
from prep.options import AS_JSON, NO_PROGRESS, packed_in
from prep.progress import Progress
from prep.stages.preview import preview
from prep.state.layout import Layout


@click.command("preview")
@packed_in(contract.PACKED_MOUNT)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write into, such as one that is not read-only.  [default: that of --packed]",
)
@NO_PROGRESS
@AS_JSON
def preview_command(packed: Path, out: Path | None, no_progress: bool, as_json: bool) -> None:
    """Make a page and a contact sheet of the packed files.

    Writes preview.html and preview.png from the files in PACKED alone: pictures of every class, counts,
    sizes, every image that needed care, settings and hashes. The page needs no network. `run` makes both too.

    \b
    Example:
      python -m prep preview --packed /data/ilsvrc2012 --out .
    """
    layout, into = Layout(packed.absolute(), packed.absolute()), (out or packed).absolute()
    if not layout.manifest.exists():
        raise DescriptionError(
            f"preview: {packed} has no MANIFEST.json: give --packed the packed files' folder"
        )
    try:
        with Progress(shown=not no_progress) as progress:
            receipt = preview(layout, into, progress)
    except OSError as error:  # such as a volume that is mounted read-only
        where = error.filename or into
        raise PrepError(f"preview: {where}: {error.strerror}: give another folder with --out") from error
    if as_json:
        click.echo(json.dumps(asdict(receipt), indent=2))
        return
    for path in receipt.outputs:
        click.echo(path)
