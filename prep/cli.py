"""The command line: `python -m prep …`. Results go to standard output, everything else to standard error."""

import click

from prep import __version__, command_line
from prep.commands.export import export_command
from prep.commands.feed import command as feed_command
from prep.commands.preview import preview_command

try:
    from prep.commands.preparing import COMMANDS as PREPARING
except ModuleNotFoundError as error:  # `pip install .` installs what reading needs, and no more
    if str(error.name).partition(".")[0] == "prep":
        raise
    PREPARING, MISSING = (), error.name
else:
    MISSING = None

# The headings of --help and their commands. A name that no module has registered is left out.
SECTIONS = {
    "Plan and watch": ("plan", "status", "notify"),
    "Prepare": (
        "run", "download", "organize", "adopt", "pack", "verify", "backup", "snapshot", "restore",
    ),
    "Look and use": ("preview", "feed", "export"),
    "Data sets": ("dataset new", "dataset check"),
    "Owner of the AWS account": (
        "launch", "cluster", "snapshots", "snapshots prune", "share", "copy", "destroy",
    ),
}  # fmt: skip


@click.group(
    cls=command_line.Commands, sections=SECTIONS, missing=MISSING, context_settings=command_line.SETTINGS
)
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


cli.add_command(export_command)
cli.add_command(feed_command)
cli.add_command(preview_command)
for _command in PREPARING:
    cli.add_command(_command)


def main() -> int:
    """Run the command line and return its exit code. Every expected failure is reported in one line."""
    return command_line.run(cli, "python -m prep", script="prep")


if __name__ == "__main__":
    command_line.end(main())
