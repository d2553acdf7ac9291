"""`run`."""

from typing import Any

import click

from prep import notify, summary
from prep.aws import clients
from prep.commands.perform import machine, perform
from prep.job import Job
from prep.options import BUCKET, COMMON, DOWNLOADING, PACKING, SNAPSHOT, STRICT, TOPIC
from prep.reported import run_and_report
from prep.state.receipts import Receipt


@click.command("run")
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

    \b
    Example:
      python -m prep run --root ~/imagenet --packed ~/packed
      python -m prep run --dataset pets.toml --source ~/pets --no-organize
    """

    def run_and_tell(job: Job) -> list[Receipt]:
        done = run_and_report(job, machine())
        if topic:
            notify.send_once(clients.sns(job.progress.note), topic, job, done, machine())
        return done

    perform(options, run_and_tell, summary.of_run)
