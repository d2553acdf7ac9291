"""The command line: `python -m prep …`. Results go to standard output, everything else to standard error."""

import click

from prep import __version__, command_line
from prep.commands.adopt import adopt_command
from prep.commands.backup import backup_command
from prep.commands.dataset import dataset_group
from prep.commands.download import download_command
from prep.commands.feed import command as feed_command
from prep.commands.notify import notify_command
from prep.commands.organize import organize_command
from prep.commands.pack import pack_command
from prep.commands.plan import plan_command
from prep.commands.preview import preview_command
from prep.commands.restore import restore_command
from prep.commands.run import run_command
from prep.commands.snapshot import snapshot_command
from prep.commands.status import status_command
from prep.commands.verify import verify_command
from prep.owner.cli import COMMANDS as OWNERS_COMMANDS

# The headings of --help and their commands. A name that no module has registered is left out.
SECTIONS = {
    "Plan and watch": ("plan", "status", "notify"),
    "Prepare": (
        "run", "download", "organize", "adopt", "pack", "verify", "backup", "snapshot", "restore",
    ),
    "Look and use": ("preview", "feed", "export"),
    "Data sets": ("dataset new", "dataset check"),
    "Owner of the AWS account": ("launch", "snapshots", "snapshots prune", "share", "copy", "destroy"),
}  # fmt: skip


@click.group(cls=command_line.Commands, sections=SECTIONS, context_settings=command_line.SETTINGS)
@click.version_option(__version__, prog_name="prep")
def cli() -> None:
    """Prepare an image data set for training on AWS.

    Downloads its archives, packs the images into RecordIO files, checks them, and takes a snapshot of the
    volume that holds them, from which GPU machines get their copy.

    A finished stage is not done again unless its inputs or options change. An interrupted stage continues
    where it stopped when the same command is run again. `run` does all stages.

    Environment variables can replace options: PREP_DATASET, PREP_ROOT, PREP_PACKED, PREP_SOURCE,
    PREP_SECRET, PREP_RESIZE, PREP_QUALITY, PREP_BUCKET, PREP_VOLUME, PREP_SNAPSHOT_OF, PREP_ENVIRONMENT and
    PREP_TOPIC.

    \b
    Example:
      python -m prep run --root ~/imagenet --packed ~/packed
      python -m prep pack --help
    """


cli.add_command(adopt_command)
cli.add_command(backup_command)
cli.add_command(dataset_group)
cli.add_command(download_command)
cli.add_command(feed_command)
cli.add_command(notify_command)
cli.add_command(organize_command)
cli.add_command(pack_command)
cli.add_command(plan_command)
cli.add_command(preview_command)
cli.add_command(restore_command)
cli.add_command(run_command)
cli.add_command(snapshot_command)
cli.add_command(status_command)
cli.add_command(verify_command)
for _command in OWNERS_COMMANDS:
    cli.add_command(_command)


def main() -> int:
    """Run the command line and return its exit code. Every expected failure is reported in one line."""
    return command_line.run(cli, "python -m prep", script="prep")


if __name__ == "__main__":
    command_line.end(main())
