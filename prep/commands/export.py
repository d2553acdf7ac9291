"""`export`."""

import json
from pathlib import Path

import click
from rich.filesize import decimal

from prep import contract
from prep.export.export import FORMATS, Format, export
from prep.export.index import Index
from prep.options import AS_JSON, FOLDER, NO_PROGRESS, packed_in
from prep.progress import Progress
from prep.state.layout import Layout


@click.command("export")
@packed_in(contract.PACKED_MOUNT)
@click.option("--to", "folder", type=FOLDER, required=True, help="Folder to write into.")
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option(
    "--split", "splits", multiple=True, help="Split to export; can be given again.  [default: all splits]"
)
@click.option(
    "--shard-mib",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="About the size of a tar shard. An interrupted export does at most so much again.",
)
@NO_PROGRESS
@AS_JSON
def export_command(
    packed: Path,
    folder: Path,
    form: Format,
    splits: tuple[str, ...],
    shard_mib: int,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Write the images as WebDataset shards or as a folder.

    webdataset: tar files <split>-000000.tar, <split>-000001.tar, …, which have for each image
    <class>/<image>.jpg and <class>/<image>.cls, its label.

    folders: <split>/<class>/<image>.

    The order is that of the packed files, and the same input gives the same bytes. EXPORT.json has counts and
    the SHA-256 of each shard. After an interruption, run the same command again: finished shards are kept.

    \b
    Example:
      python -m prep export --packed /data --to ~/shards --format webdataset
      python -m prep export --packed /data --to ~/images --format folders
    """
    with Progress(shown=not no_progress) as progress:
        layout = Layout(packed.absolute(), packed.absolute())
        index = export(layout, folder.absolute(), form, splits, shard_mib, progress)
    click.echo(json.dumps(index.document(), indent=2) if as_json else _human(index, folder))


def _human(index: Index, folder: Path) -> str:
    """A line for each split: what there is, and where."""
    lines = []
    for split, found in index.splits.items():
        size = decimal(sum(block.bytes for block in found.blocks))
        place = folder / split
        if index.format == "webdataset":
            last = len(found.blocks) - 1
            place = folder / (f"{split}-{{000000..{last:06}}}.tar" if last else f"{split}-000000.tar")
        state = "" if found.complete else " so far"
        lines.append(f"{split}: {found.images} images, {size}{state} in {place}")
    return "\n".join(lines)
