"""`notify`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from prep import contract, notify
from prep.aws import clients
from prep.commands.perform import machine, make_job
from prep.errors import PrepError
from prep.options import BUCKET, COMMON, SNAPSHOT, TOPIC
from prep.progress import Progress
from prep.reported import report_failure


@click.command("notify")
@COMMON
@BUCKET
@SNAPSHOT
@TOPIC
@click.option("--failed", is_flag=True, help="Tell that the service has failed, with the end of its log.")
def notify_command(topic: str | None, failed: bool, **options: Any) -> None:
    """Tell the owner by e-mail that all is done, or has failed.

    The notice goes to the SNS topic --topic. `run` sends it by itself when it has done something, and the
    service when it is not started again. Prints the notice as well; without --topic, does nothing else.

    \b
    Example:
      python -m prep notify --root /data --packed /dataset
    """
    as_json = options.pop("as_json")
    with Progress(shown=False) as progress:
        if failed:
            notice = _notice_of_failure(options, progress)
        else:
            job = make_job(options, progress)
            notice = notify.of_run(job, notify.last_run(job), machine())
        if topic:
            notify.send(clients.sns(progress.note), topic, notice)
    click.echo(json.dumps(asdict(notice), indent=2) if as_json else notice.text)


def _notice_of_failure(options: dict[str, Any], progress: Progress) -> notify.Notice:
    """The owner must be told also if the failure is in the description, or in what is in the folders."""
    log, here = notify.service_log(), machine()
    name = contract.resource_name(Path(options["dataset"]).stem, options["environment"])
    error, bucket = notify.last_line(log), options["bucket"]
    report_failure(name, options["root"].absolute(), bucket, here, error, progress.note)
    try:
        return notify.of_failure(make_job(options, progress), log, here)
    except PrepError:
        return notify.of_failure_alone(name, log, here)
