"""Notices: what the owner is told by e-mail when all is done, or when the service has given up."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prep import contract, prices, summary
from prep.aws.errors import aws_errors
from prep.errors import IntegrityError, PrepError
from prep.job import Job
from prep.progress import one_line
from prep.stages.status import STAGES, status
from prep.state import receipts
from prep.state.files import write_whole
from prep.state.receipts import Receipt
from prep.usage import so_far

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

LOG_LINES = 10  # of the service's log, in a notice of a failure
LOG_WIDTH = 400  # characters of such a line
SEARCHED_LINES = 200  # among which the last error is looked for


@dataclass(frozen=True)
class Machine:
    """The prep instance: its ID, what is paid for by the hour, as in contract.ENV_MACHINE, and its Region."""

    instance: str
    paid: str
    region: str = ""

    @property
    def in_region(self) -> str:
        """The option that names the Region in a command; empty if it is not known."""
        return f" --region {self.region}" if self.region else ""


@dataclass(frozen=True)
class Notice:
    """Subject and text. A subject has less than 100 characters and no line break.

    https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """

    subject: str
    text: str


def of_run(job: Job, done: Sequence[Receipt], machine: Machine) -> Notice:
    """The notice about a run that has done everything; its receipt is the last of `done`."""
    name = job.description.name
    lines = [
        f"The data set {name} is ready.",
        "",
        summary.of_run(job, done),
        *summary.rows("cost", [_cost(done[-1].counts["parts"], machine)]),
        *summary.rows("a month", _monthly(job, done, machine)),
    ]
    return Notice(f"Data set {name}: ready", "\n".join(lines))


def of_failure(job: Job, log: Sequence[str], machine: Machine) -> Notice:
    """The notice about a service that has failed and is not started again; `log` is the end of its log."""
    found = status(job.layout)
    stages = ", ".join(f"{stage} {found[stage]['state']}" for stage in STAGES)
    cost = _cost(so_far(job.layout.usage)["parts"], machine)
    return _failure(job.description.name, log, machine, stages, [cost])


def of_failure_alone(name: str, log: Sequence[str], machine: Machine) -> Notice:
    """The same where the folders can't be looked at, because an option or the description is wrong."""
    return _failure(name, log, machine, "not known", [])


def _failure(name: str, log: Sequence[str], machine: Machine, stages: str, cost: Sequence[str]) -> Notice:
    hour = prices.machine_hour(machine.paid)
    idle = [f"about ${hour:.2f} an hour as long as the instance runs"] if hour else []
    lines = [
        f"The preparation of the data set {name} has failed. It does not start again by itself.",
        "",
        *summary.rows("error", [last_error(log)]),
        *summary.rows("stages", [stages]),
        *summary.rows("cost", [*cost, *idle]),
        *summary.rows("to do", _remedy(machine)),
        *summary.rows("log", [line[:LOG_WIDTH] for line in log[-LOG_LINES:]]),
    ]
    return Notice(f"Data set {name}: failed", "\n".join(lines))


def service_log(service: str = contract.SERVICE) -> list[str]:
    """The last lines of a service's log; none where there is no journal."""
    command = ["journalctl", "--unit", service, "--lines", str(SEARCHED_LINES)]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [*command, "--output", "cat", "--no-pager"], capture_output=True, check=False
        )
    except OSError:
        return []
    text = done.stdout.decode(errors="replace")
    return [line for line in map(one_line, text.splitlines()[-SEARCHED_LINES:]) if line.strip()]


def last_run(job: Job) -> list[Receipt]:
    """The receipts of the last run.

    Raises:
        IntegrityError: there is no complete run.
    """
    found = [receipts.read(job.layout, stage) for stage in (*STAGES, "run")]
    if found[-1] is None:
        raise IntegrityError(
            f"notify: there is no complete run in {job.layout.root}: do the command run first"
        )
    return [receipt for receipt in found if receipt]


def send(sns: "SNSClient", topic: str, notice: Notice) -> None:
    """Publish a notice.

    Raises:
        AwsError: SNS refuses it or fails.
    """
    with aws_errors(f"publish to {topic}"):
        sns.publish(TopicArn=topic, Subject=notice.subject, Message=notice.text)


def send_once(sns: "SNSClient", topic: str, job: Job, done: Sequence[Receipt], machine: Machine) -> None:
    """Publish the notice about a run, unless that has happened. A failure is noted, and does no harm."""
    marker, finished = job.layout.notified, done[-1].finished
    try:
        if marker.exists() and marker.read_text() == finished:
            return
        send(sns, topic, of_run(job, done, machine))
        write_whole(marker, finished.encode())
    except (PrepError, OSError) as error:
        job.progress.note(f"no notice was sent: {error}")


def _cost(parts: Mapping[str, Mapping[str, Any]], machine: Machine) -> str:
    """What these parts of a run have cost."""
    hours = sum(float(part["seconds"]) for part in parts.values()) / 3600
    hour = prices.machine_hour(machine.paid)
    if hour is None:
        return f"not known for {machine.paid or 'this machine'}"
    note = f"list prices of us-east-1, {prices.load().date}"
    # Instances of the type T may use surplus credits, which prep does not know of.
    if machine.paid.startswith("t"):
        note += ", without surplus credits"
    return f"about ${hours * hour:.2f}: {hours:.1f} hours of {machine.paid} ({note})"


def _monthly(job: Job, done: Sequence[Receipt], machine: Machine) -> list[str]:
    by_stage = {receipt.stage: receipt for receipt in done}
    lines = []
    if "snapshot" in by_stage:
        mount = job.layout.root if job.snapshot_of == "work" else job.layout.packed
        lines.append(
            f"about ${prices.stored_month('snapshot', shutil.disk_usage(mount).used):.2f} for the snapshot"
        )
    if "backup" in by_stage:
        size = sum(int(facts.get("bytes", 0)) for facts in by_stage["backup"].outputs.values())
        lines.append(f"about ${prices.stored_month('bucket', size):.2f} for the backup")
    volumes = prices.volumes_month(machine.paid)
    if volumes:
        last = prices.stored_month("snapshot", shutil.disk_usage(job.layout.root).used)
        lines += [
            f"about ${volumes:.2f} for the volumes, until you run on your own machine:",
            f"python -m prep.owner destroy --dataset {job.description.name} --stack prep{machine.in_region}",
            f"then about ${last:.2f} for the last snapshot of the work volume, until you delete it: "
            "the backup has the same",
        ]
    return lines or ["nothing on AWS"]


def last_error(log: Sequence[str]) -> str:
    """The last line that prep wrote as an error; the last line of all after a kill."""
    return last_line(log).removeprefix("error: ")


def last_line(log: Sequence[str]) -> str:
    """The same, as it stands in the log: an error of prep begins with "error: "."""
    errors = [line for line in log if line.startswith("error: ")]
    return (errors or list(log) or ["there is no log"])[-1]


def _remedy(machine: Machine) -> list[str]:
    return [
        "correct the cause that the error names; then start the service again, and it continues:",
        f"aws ssm start-session{machine.in_region} --target {machine.instance or 'INSTANCE_ID'}",
        f"sudo systemctl reset-failed {contract.SERVICE}",
        f"sudo systemctl start {contract.SERVICE}",
    ]
