"""The command line: `python -m prep …`. Results go to standard output, everything else to standard error."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from prep import command_line, contract, notify, summary
from prep.aws import clients
from prep.commands.preview import preview_command
from prep.datasets import description
from prep.errors import PrepError
from prep.job import Job
from prep.options import BUCKET, COMMON, DOWNLOADING, PACKING, SNAPSHOT, STRICT, THREADS, TOPIC
from prep.owner.cli import COMMANDS as OWNERS_COMMANDS
from prep.progress import Progress, one_line
from prep.run import run
from prep.stages.pack import PackSettings
from prep.stages.status import STAGES, status
from prep.state.layout import Layout
from prep.state.receipts import Receipt


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Prepare an image data set: download its archives, pack the images into RecordIO files, and take a
    snapshot of the volume that holds them, from which GPU machines get their copy.

    A finished stage is not done again unless its inputs or options change. An interrupted stage continues
    where it stopped when the same command is run again. `run` does all stages.

    Environment variables can replace options: PREP_DATASET, PREP_ROOT, PREP_PACKED, PREP_SOURCE,
    PREP_SECRET, PREP_RESIZE, PREP_QUALITY, PREP_BUCKET, PREP_VOLUME, PREP_SNAPSHOT_OF, PREP_ENVIRONMENT and
    PREP_TOPIC.
    """


for _command in OWNERS_COMMANDS:
    cli.add_command(_command)
cli.add_command(preview_command)


@cli.command("download")
@COMMON
@DOWNLOADING
def download_command(**options: Any) -> None:
    """Download the archives and check their size and MD5.

    Archives that are in ROOT/archives already are checked but not downloaded. If the site asks for a user
    name and an access key, they must be in PREP_USERNAME and PREP_ACCESS_KEY, or in the secret that --secret
    names. An interrupted download continues with the byte ranges that are missing.

    \b
    Example: PREP_USERNAME=me PREP_ACCESS_KEY=… python -m prep download --root /data
    """
    _do(options, Job.download)


@cli.command("organize")
@COMMON
def organize_command(**options: Any) -> None:
    """Write the images into class folders.

    Reads the archives in ROOT/archives, and writes each image as a file into ROOT/<split>/<class>/. Also
    unpacks the bounding box annotations, if the data set has any, into ROOT/bounding_boxes.
    """
    _do(options, Job.organize)


@cli.command("adopt")
@COMMON
@click.argument("copy", type=click.Path(path_type=Path, file_okay=False))
def adopt_command(copy: Path, **options: Any) -> None:
    """Link Kaggle's copy of ImageNet into class folders.

    COPY is the folder into which you unpacked the copy: it contains ILSVRC/ and LOC_synset_mapping.txt. It
    must be on the same disk as ROOT, because its images are hard-linked into ROOT/<split>/<class>/, not
    copied. pack --from-folders then packs them.

    \b
    Example: python -m prep adopt ~/imagenet-object-localization-challenge --root ~/imagenet
             python -m prep pack --from-folders --root ~/imagenet --packed ~/imagenet-packed
    """
    _do(options, lambda job: job.adopt(copy))


@cli.command("pack")
@COMMON
@PACKING
@click.option("--from-folders", is_flag=True, help="Read the class folders instead of the archives.")
def pack_command(**options: Any) -> None:
    """Pack the images into shuffled RecordIO files.

    Reads the archives in ROOT/archives or, with --from-folders, the class folders. Writes into PACKED, for
    each split, <split>.rec with its index (.idx) and its list (.lst), then classes.tsv and MANIFEST.json.

    \b
    Example: python -m prep pack --root /data --packed /dataset --resize 256 --quality 90
    """
    _do(options, Job.pack)


@cli.command("verify")
@COMMON
@THREADS
@STRICT
@click.option(
    "--against",
    metavar="s3://BUCKET",
    help="Check the backup in this bucket instead: compare the checksums that S3 keeps, download nothing.",
)
def verify_command(against: str | None, **options: Any) -> None:
    """Check every record and checksum of the packed files.

    Compares the files in PACKED with MANIFEST.json and with the inventory of the archives, which pack has
    written into ROOT; does not read the archives again. Then reads a sample of the records with MXNet.
    """
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
    help="Upload each image as an object of its own instead: 1.3 million requests for ImageNet, about $7.",
)
def backup_command(loose_images: bool, **options: Any) -> None:
    """Upload archives, packed files and receipts to S3.

    Needs the archives in ROOT/archives and the packed files in PACKED. Objects that S3 already has are not
    uploaded again.
    """
    _do(options, Job.backup_images if loose_images else Job.backup)


@cli.command("restore")
@COMMON
@BUCKET
@click.option(
    "--what",
    type=click.Choice(["archives", "packed", "all"]),
    default="packed",
    show_default=True,
    help="Which files to download.",
)
def restore_command(what: str, **options: Any) -> None:
    """Download archives or packed files from the backup.

    Writes the archives into ROOT/archives and the packed files into PACKED, and checks the digest of each.
    Files that are already there are checked but not downloaded.

    \b
    Example: python -m prep restore --bucket my-bucket --packed /dataset
    """
    wanted = ["archives", "packed"] if what == "all" else [what]
    _do(options, lambda job: job.restore(wanted))


@cli.command("snapshot")
@COMMON
@SNAPSHOT
def snapshot_command(**options: Any) -> None:
    """Take an EBS snapshot and publish its ID.

    Needs packed files that verify has checked. Freezes the file system while the snapshot is started, waits
    until it is complete, and writes its ID into the SSM parameter /<data set>/snapshot-id.
    """
    _do(options, Job.snapshot)


@cli.command("run")
@COMMON
@DOWNLOADING
@PACKING
@STRICT
@BUCKET
@SNAPSHOT
@TOPIC
@click.option(
    "--organize/--no-organize",
    "with_organize",
    default=True,
    show_default=True,
    help="Whether to write the class folders as well. pack does not need them.",
)
def run_command(topic: str | None, **options: Any) -> None:
    """Do all stages that are not done yet.

    The stages are download, organize, pack, verify, preview, backup and snapshot, in this order. Without
    --bucket no backup is made. Without --volume no snapshot is taken.
    """

    def run_and_tell(job: Job) -> list[Receipt]:
        done = run(job)
        if topic:
            notify.send_once(clients.sns(job.progress.note), topic, job, done, _machine())
        return done

    _do(options, run_and_tell, summary.of_run)


@cli.command("notify")
@COMMON
@BUCKET
@SNAPSHOT
@TOPIC
@click.option("--failed", is_flag=True, help="Tell that the service has failed, with the end of its log.")
def notify_command(topic: str | None, failed: bool, **options: Any) -> None:
    """Tell the owner, by an SNS topic, that all is done or that the service has failed.

    `run` does this by itself when it has done something, and the service when it is not started again. Prints
    the notice as well; without --topic, does nothing else.
    """
    as_json = options.pop("as_json")
    with Progress(shown=False) as progress:
        if failed:
            notice = _notice_of_failure(options, progress)
        else:
            job = _job(options, progress)
            notice = notify.of_run(job, notify.last_run(job), _machine())
        if topic:
            notify.send(clients.sns(progress.note), topic, notice)
    click.echo(json.dumps(asdict(notice), indent=2) if as_json else notice.text)


@cli.command("status")
@COMMON
def status_command(**options: Any) -> None:
    """Show which stages are done, and how far the others are."""
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
        click.echo(one_line(f"{stage:<10} {facts['state']}{more}"))


def _notice_of_failure(options: dict[str, Any], progress: Progress) -> notify.Notice:
    """The owner must be told also if the failure is in the description, or in what is in the folders."""
    log, machine = notify.service_log(), _machine()
    name = contract.resource_name(Path(options["dataset"]).stem, options["environment"])
    try:
        return notify.of_failure(_job(options, progress), log, machine)
    except PrepError:
        return notify.of_failure_alone(name, log, machine)


def _machine() -> notify.Machine:
    names = (contract.ENV_INSTANCE, contract.ENV_MACHINE, "AWS_DEFAULT_REGION")
    return notify.Machine(*(os.environ.get(name, "") for name in names))


def _job(options: dict[str, Any], progress: Progress) -> Job:
    options.pop("no_progress")
    packing = {key: options.pop(key) for key in ("resize", "quality", "seed", "part_mib") if key in options}
    described = description.load(options.pop("dataset"))
    environment = options.pop("environment")
    return Job(
        description=described.in_environment(environment) if environment else described,
        layout=Layout(options.pop("root").absolute(), options.pop("packed").absolute()),
        progress=progress,
        settings=PackSettings(**packing),
        **options,
    )


def _do(
    options: dict[str, Any],
    stage: Callable[[Job], Receipt | list[Receipt]],
    last_words: Callable[[Job, list[Receipt]], str] | None = None,
) -> None:
    as_json = options.pop("as_json")
    with Progress(shown=not options["no_progress"]) as progress:
        job = _job(options, progress)
        with job.locked():
            result = stage(job)
    if as_json:
        plain = [asdict(receipt) for receipt in result] if isinstance(result, list) else asdict(result)
        click.echo(json.dumps(plain, indent=2))
    elif last_words and isinstance(result, list):
        click.echo(last_words(job, result))


def main() -> int:
    """Run the command line and return its exit code. Every expected failure is reported in one line."""
    return command_line.run(cli, "python -m prep")


if __name__ == "__main__":
    command_line.end(main())
