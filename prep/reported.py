"""A run that reports on itself: docs/status.md. Its failure for good is reported by `notify --failed`."""

from collections.abc import Callable
from pathlib import Path

from prep.aws import clients
from prep.errors import PrepError
from prep.job import Job
from prep.notify import Machine
from prep.reporting import places
from prep.reporting.places import Put
from prep.reporting.reporter import Subject, give_up, reporting
from prep.run import run
from prep.stages.status import STAGES
from prep.state.layout import Layout
from prep.state.receipts import Receipt

Note = Callable[[str], None]


def run_and_report(job: Job, machine: Machine) -> list[Receipt]:
    """Do every stage that is not done, and write all the time how far that is."""
    left_out = {
        "organize": not job.with_organize,
        "backup": not job.bucket,
        "snapshot": not job.volume,
    }
    subject = Subject(
        job.description.name,
        [stage for stage in STAGES if not left_out.get(stage)],
        {archive.file: archive.bytes for archive in job.description.archives},
        machine.instance,
        machine.paid,
    )
    put = _put(job.bucket, job.description.name, job.progress.note)
    with reporting(subject, job.layout, job.progress, put):
        return run(job)


def report_failure(
    dataset: str, root: Path, bucket: str | None, machine: Machine, error: str, note: Note
) -> None:
    """Write that the service has failed for good. If that fails, it is noted, and does no harm."""
    subject = Subject(dataset, [], {}, machine.instance, machine.paid)
    try:
        give_up(Layout(root, root).status, _put(bucket, dataset, note), subject, error)
    except (PrepError, OSError) as failure:
        note(f"status: can't be written: {failure}")


def _put(bucket: str | None, dataset: str, note: Note) -> Put | None:
    """What writes into the bucket; None without one, or without credentials."""
    if not bucket:
        return None
    try:
        return places.put_into(clients.s3_at_once(), bucket, dataset)
    except PrepError as error:
        note(f"status: can't be written to the bucket: {error}")
        return None
