"""`notify`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from prep import contract, notify, notify_cluster
from prep.aws import clients
from prep.cluster.place import Place
from prep.commands.on_ray import refuse_addresses
from prep.commands.perform import machine, make_job
from prep.errors import PrepError
from prep.options import ANYWHERE, BUCKET, SNAPSHOT, TOPIC
from prep.progress import Progress
from prep.reported import report_failure


@click.command("notify")
@ANYWHERE
@BUCKET
@SNAPSHOT
@TOPIC
@click.option("--failed", is_flag=True, help="Tell that the service has failed, with the end of its log.")
def notify_command(topic: str | None, failed: bool, **options: Any) -> None:
    """Tell the owner by e-mail that all is done, or has failed.

    The notice goes to the SNS topic --topic. `run` sends it by itself when it has done something, and the
    service when it is not started again. Prints the notice as well; without --topic, does nothing else.

    With --on ray, the notice is about the work of a cluster, and is kept in S3 as PACKED/.prep/notice.txt.

    \b
    Example:
      python -m prep notify --root /data --packed /dataset
    """
    as_json = options.pop("as_json")
    with Progress(shown=False) as progress:
        on_ray = options.pop("on") == "ray"
        if on_ray:
            notice = _notice_of_cluster(options, failed)
        elif failed:
            notice = _notice_of_failure(options, progress)
        else:
            refuse_addresses(options)
            job = make_job(options, progress)
            notice = notify.of_run(job, notify.last_run(job), machine())
        if topic:
            notify.send(clients.sns(progress.note), topic, notice)
        if on_ray:
            notify_cluster.keep(Place.parse(str(options["packed"])), notice)
    click.echo(json.dumps(asdict(notice), indent=2) if as_json else notice.text)


def _notice_of_cluster(options: dict[str, Any], failed: bool) -> notify.Notice:
    name = contract.resource_name(Path(options["dataset"]).stem, options["environment"])
    packed = Place.parse(str(options["packed"]))
    if failed:
        log = notify.service_log(contract.CLUSTER_SERVICE)
        return notify_cluster.of_failure(name, str(packed), log, machine())
    return notify_cluster.of_work(name, packed, machine())


def _notice_of_failure(options: dict[str, Any], progress: Progress) -> notify.Notice:
    """The owner must be told also if the failure is in the description, or in what is in the folders."""
    refuse_addresses(options)
    log, here = notify.service_log(), machine()
    name = contract.resource_name(Path(options["dataset"]).stem, options["environment"])
    error, bucket = notify.last_line(log), options["bucket"]
    report_failure(name, options["root"].absolute(), bucket, here, error, progress.note)
    try:
        return notify.of_failure(make_job(options, progress), log, here)
    except PrepError:
        return notify.of_failure_alone(name, log, here)
