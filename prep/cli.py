"""The command line: `python -m prep …`. Results go to standard output, all else to standard error."""

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from prep import contract
from prep.datasets import description
from prep.errors import PrepError
from prep.job import Job
from prep.progress import Progress
from prep.stages.pack import PackSettings
from prep.stages.status import STAGES, status
from prep.state.layout import Layout
from prep.state.receipts import Receipt

INTERRUPTED = 130
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line end

Command = Callable[..., None]


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


COMMON = _options(
    click.option(
        "--dataset",
        envvar=contract.ENV_DATASET,
        default="ilsvrc2012",
        show_default=True,
        help="Name of a shipped data set description, or the path of one (.toml).",
    ),
    click.option(
        "--root",
        envvar=contract.ENV_ROOT,
        type=click.Path(path_type=Path, file_okay=False),
        default=contract.WORK_MOUNT,
        show_default=True,
        help="Folder on the work volume: archives and class folders.",
    ),
    click.option(
        "--packed",
        envvar=contract.ENV_PACKED,
        type=click.Path(path_type=Path, file_okay=False),
        default=contract.PACKED_MOUNT,
        show_default=True,
        help="Folder on the dataset volume: RecordIO files.",
    ),
    click.option("--no-progress", is_flag=True, help="Show no bars and no progress lines."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
)
DOWNLOADING = _options(
    click.option(
        "--source",
        envvar=contract.ENV_SOURCE,
        help="Where to fetch the archives from, by file name, instead of the description's URLs: a base URL, "
        "s3://BUCKET/PREFIX such as an earlier backup's, or a folder.",
    ),
    click.option(
        "--secret",
        envvar=contract.ENV_SECRET,
        help="Secrets Manager secret with the site's user name and access key. Without it they are taken "
        f"from {contract.ENV_USERNAME} and {contract.ENV_ACCESS_KEY}, if set.",
    ),
)
PACKING = _options(
    click.option(
        "--resize",
        envvar=contract.ENV_RESIZE,
        type=click.IntRange(min=0),
        default=480,
        show_default=True,
        help="Short side in pixels to which larger images are reduced; 0 keeps every size.",
    ),
    click.option(
        "--quality",
        envvar=contract.ENV_QUALITY,
        type=click.IntRange(1, 100),
        default=95,
        show_default=True,
        help="JPEG quality of images that have to be encoded.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0, max=2**64 - 1),
        default=0,
        show_default=True,
        help="Seed of the shuffle.",
    ),
    click.option(
        "--part-mib",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Size from which a split goes on in another file, <split>-00001.rec …; 0 makes one file.",
    ),
    click.option(
        "--threads", type=click.IntRange(min=1), show_default="one a core", help="Images worked on at once."
    ),
    click.option(
        "--allow-unreadable",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="How many unreadable images to leave out; the manifest names them.",
    ),
)
THREADS = click.option(
    "--threads", type=click.IntRange(min=1), show_default="one a core", help="Images decoded at once."
)
STRICT = click.option(
    "--strict", is_flag=True, help="Make an error of images that are damaged inside; verify finds them."
)
BUCKET = click.option("--bucket", envvar=contract.ENV_BUCKET, help="S3 bucket for the backup.")
SNAPSHOT = _options(
    click.option("--volume", envvar=contract.ENV_VOLUME, help="Id of the EBS volume to take a snapshot of."),
    click.option(
        "--snapshot-of",
        envvar=contract.ENV_SNAPSHOT_OF,
        type=click.Choice(["packed", "work"]),
        default="packed",
        show_default=True,
        help="Which folder that volume is mounted at: --packed or --root.",
    ),
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Prepare an image data set: from its site's archives to a volume that GPU machines train from.

    Each stage leaves a receipt and is not done twice; an interrupted one goes on where it was. `run` does
    all of them. Options can also be given by the environment variables PREP_DATASET, PREP_ROOT and so on.
    """


@cli.command("download")
@COMMON
@DOWNLOADING
def download_command(**options: Any) -> None:
    """Fetch the archives, checked by size and MD5.

    \b
    Example: PREP_USERNAME=me PREP_ACCESS_KEY=… python -m prep download --root /data
    """
    _do(options, Job.download)


@cli.command("organize")
@COMMON
def organize_command(**options: Any) -> None:
    """Write the images into class folders, ROOT/<split>/<class>/."""
    _do(options, Job.organize)


@cli.command("adopt")
@COMMON
@click.argument("copy", type=click.Path(path_type=Path, file_okay=False))
def adopt_command(copy: Path, **options: Any) -> None:
    """Link the images of Kaggle's copy of ImageNet, unpacked at COPY, into class folders.

    \b
    Example: python -m prep adopt ~/imagenet-object-localization-challenge --root ~/imagenet
             python -m prep pack --from-folders --root ~/imagenet --packed ~/imagenet-packed
    """
    _do(options, lambda job: job.adopt(copy))


@cli.command("pack")
@COMMON
@PACKING
@click.option("--from-folders", is_flag=True, help="Read the organized class folders, not the archives.")
def pack_command(**options: Any) -> None:
    """Make RecordIO files, shuffled, with index and list.

    \b
    Example: python -m prep pack --root /data --packed /dataset --resize 256 --quality 90
    """
    _do(options, Job.pack)


@cli.command("verify")
@COMMON
@THREADS
@STRICT
@click.option("--against", metavar="s3://BUCKET", help="Check the backup there by S3's checksums instead.")
def verify_command(against: str | None, **options: Any) -> None:
    """Check every record and hash of the packed files, and read a sample with MXNet."""
    if against is None:
        _do(options, Job.verify)
        return
    if not against.startswith("s3://") or not against[5:].rstrip("/"):
        raise click.BadParameter(f"{against!r} is not s3://BUCKET", param_hint="--against")
    _do(options | {"bucket": against[5:].rstrip("/")}, Job.check_backup)


@cli.command("backup")
@COMMON
@BUCKET
@click.option(
    "--loose-images",
    is_flag=True,
    help="Send the organized images one by one instead: 1.3 million requests for ImageNet, about $7.",
)
def backup_command(loose_images: bool, **options: Any) -> None:
    """Send archives, packed files and receipts to S3."""
    _do(options, Job.backup_images if loose_images else Job.backup)


@cli.command("restore")
@COMMON
@BUCKET
@click.option(
    "--what",
    type=click.Choice(["archives", "packed", "all"]),
    default="packed",
    show_default=True,
    help="What to bring back.",
)
def restore_command(what: str, **options: Any) -> None:
    """Bring archives or packed files back from the backup, each checked by its digest.

    \b
    Example: python -m prep restore --bucket my-bucket --packed /dataset
    """
    wanted = ["archives", "packed"] if what == "all" else [what]
    _do(options, lambda job: job.restore(wanted))


@cli.command("snapshot")
@COMMON
@SNAPSHOT
def snapshot_command(**options: Any) -> None:
    """Take a snapshot of the verified volume and publish its id for training instances."""
    _do(options, Job.snapshot)


@cli.command("run")
@COMMON
@DOWNLOADING
@PACKING
@STRICT
@BUCKET
@SNAPSHOT
@click.option(
    "--organize/--no-organize",
    "with_organize",
    default=True,
    show_default=True,
    help="Whether to write the class folders too; what is packed doesn't need them.",
)
def run_command(**options: Any) -> None:
    """Do every stage that is not done yet, in order.

    Without --bucket nothing is backed up, without --volume no snapshot is taken.
    """
    _do(options, Job.run)


@cli.command("status")
@COMMON
def status_command(**options: Any) -> None:
    """Say which stages are done, and how far the others are."""
    as_json = options.pop("as_json")
    found = status(_job(options, Progress(shown=False)).layout)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for stage in STAGES:
        facts = found[stage]
        more = f"  {facts['finished']}, {facts['seconds']} s" if facts["state"] == "done" else ""
        if "bytes" in facts:
            more = f"  {facts['bytes'] / 1e9:.1f} GB of the archives"
        click.echo(f"{stage:<10} {facts['state']}{more}")


def _job(options: dict[str, Any], progress: Progress) -> Job:
    options.pop("no_progress")
    packing = {key: options.pop(key) for key in ("resize", "quality", "seed", "part_mib") if key in options}
    return Job(
        description=description.load(options.pop("dataset")),
        layout=Layout(options.pop("root").absolute(), options.pop("packed").absolute()),
        progress=progress,
        settings=PackSettings(**packing),
        **options,
    )


def _do(options: dict[str, Any], stage: Callable[[Job], Receipt | list[Receipt]]) -> None:
    as_json = options.pop("as_json")
    with Progress(shown=not options["no_progress"]) as progress:
        job = _job(options, progress)
        with job.locked():
            result = stage(job)
    if as_json:
        plain = [asdict(receipt) for receipt in result] if isinstance(result, list) else asdict(result)
        click.echo(json.dumps(plain, indent=2))


def _complain(text: str) -> None:
    """One line on standard error. Servers and archives wrote parts of it: nothing may steer the terminal."""
    click.echo(f"error: {CONTROL.sub('?', text)}", err=True)


def main() -> int:
    """Run the command line and return its exit code; every expected failure is one line."""

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)  # systemd stops a service this way
    try:
        cli.main(standalone_mode=False, prog_name="python -m prep")
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _complain(error.format_message())
        return error.exit_code
    except click.Abort:
        click.echo("interrupted: run the same command again, it goes on where it was", err=True)
        if threading.active_count() > 1:
            # Threads that wait for a silent server would be waited for. What is on disk is as after a kill.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        return INTERRUPTED
    except PrepError as error:
        _complain(str(error))
        return error.exit_code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}: check --root and --packed, and who owns them")
        return PrepError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
