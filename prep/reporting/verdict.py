"""The verdict: whether a run is alive, slow, dead, failed or done, and what to do next.

From outside, the bucket's object and EC2 tell; on the instance, the file, the lock and systemd.
"""

from dataclasses import dataclass
from typing import Final

from prep import contract
from prep.progress import CORES, DATASET_VOLUME, LINK, UPLOAD, WORK_VOLUME, duration
from prep.reporting.document import DONE as RUN_DONE
from prep.reporting.document import FAILED as RUN_FAILED
from prep.reporting.document import FINISHED, INTERRUPTED, Document
from prep.reporting.document import RUNNING as RUN_RUNNING

NOT_BEGUN, STARTING, RUNNING, SLOW, RESTARTING = "not begun", "starting", "running", "slow", "restarting"
STOPPED, DEAD, FAILED, DONE = "stopped", "dead", "failed", "done"
BAD: Final = (STOPPED, DEAD, FAILED)

# The run writes every 15 seconds: three are missing then. A killed instance is found out within a minute.
DEAD_SECONDS = 45.0
SLOW_SECONDS = 300.0  # without a byte: longer than a server's restart, shorter than anybody's patience
# systemd starts a service a minute after its end (RestartSec in userdata/prep.sh); prep starts in seconds.
RESTART_SECONDS = 180.0
START_SECONDS = 240.0  # of an instance that was started again, until the service runs
BOOT_SECONDS = 1200.0  # of a new one, which installs prep: as long as CloudFormation waits for it
NO_RESTART = (2, 3, 5)  # RestartPreventExitStatus in userdata/prep.sh: to start again would not help
WAITS = {
    LINK: "the data set's site",
    UPLOAD: "S3",
    WORK_VOLUME: "the work volume",
    DATASET_VOLUME: "the dataset volume",
    CORES: "the cores",
}


@dataclass(frozen=True)
class Instance:
    """The prep instance as EC2 has it. checks: "ok", "impaired" … of its status checks, "" if there are none.

    up_seconds: since it was started last.
    """

    id: str
    state: str
    checks: str = ""
    up_seconds: float = 0.0


@dataclass(frozen=True)
class Place:
    """Where the run belongs, for commands. options: of `python -m prep`; region: "" if it is not known."""

    dataset: str
    options: str = ""
    region: str = ""

    @property
    def _in_region(self) -> str:
        return f" --region {self.region}" if self.region else ""

    def prep(self, command: str, more: str = "") -> str:
        """A command for this data set and these folders."""
        return " ".join(word for word in ("python -m prep", command, self.options, more) if word)

    def owner(self, command: str) -> str:
        """One of the owner's commands."""
        return f"python -m prep.owner {command} --dataset {self.dataset}{self._in_region}"

    def shell(self, instance: str) -> str:
        """What opens a shell on the instance."""
        return f"aws ssm start-session{self._in_region} --target {instance or 'INSTANCE_ID'}"

    def start(self, instance: str) -> str:
        """What starts the instance again."""
        return f"aws ec2 start-instances{self._in_region} --instance-ids {instance or 'INSTANCE_ID'}"

    def reboot(self, instance: str) -> str:
        """What reboots the instance."""
        return f"aws ec2 reboot-instances{self._in_region} --instance-ids {instance}"


@dataclass(frozen=True)
class Verdict:
    """A word, a sentence, and what to do next. ended: nothing changes by itself any more."""

    word: str
    summary: str
    next: tuple[str, ...]
    ended: bool = False

    @property
    def code(self) -> int:
        """The exit code: 1 if somebody must do something."""
        return 1 if self.word in BAD else 0


LOG = f"sudo journalctl --unit {contract.SERVICE} --lines 50"
RESET = f"sudo systemctl reset-failed {contract.SERVICE}"
START = f"sudo systemctl start {contract.SERVICE}"
WAIT = "nothing: look again in some minutes"


def from_outside(
    document: Document | None, age: float, instance: Instance | None, place: Place, deploying: bool = False
) -> Verdict:
    """The verdict on a run on an instance; `age` of the document in seconds, by S3's clock.

    deploying: CloudFormation creates or updates the Prep stack. It names a new instance only at the end, when
    the instance has told that it is ready.
    """
    if document and document.state == RUN_DONE:
        return _done(document, place, instance)
    state = instance.state if instance else "terminated"
    if deploying and state not in ("running", "pending"):
        return Verdict(STARTING, "CloudFormation makes the instance, which installs prep first", (WAIT,))
    if instance is None or state in ("terminated", "shutting-down"):
        return _gone(document, place)
    if document is None or document.instance not in ("", instance.id):
        return _no_word(instance, place)
    if state in ("stopped", "stopping"):
        return _instance_stopped(document, age, instance, place)
    if age > instance.up_seconds and instance.up_seconds < START_SECONDS:
        since = duration(instance.up_seconds)
        return Verdict(STARTING, f"the instance was started {since} ago; the service starts with it", (WAIT,))
    shell = (place.shell(instance.id),)
    if document.state == RUN_RUNNING:
        if age <= DEAD_SECONDS:
            return _at_work(document)
        checks = f"; EC2's checks of it: {instance.checks}" if instance.checks not in ("", "ok") else ""
        return Verdict(
            DEAD,
            f"no sign of life for {duration(age)}, although the instance is {instance.state}{checks}",
            (
                "if only the process was killed, systemd starts it again within two minutes; else look:",
                *shell,
                LOG,
                "if no shell opens:",
                place.reboot(instance.id),
            ),
            ended=age > START_SECONDS,
        )
    return _not_running(document, age, (*shell, RESET, START), RESTART_SECONDS)


def from_inside(
    document: Document | None, age: float, locked: bool, service: str | None, place: Place
) -> Verdict:
    """The verdict on a run in folders of this machine.

    locked: whether a process holds the folders; service: what systemd says of the service, if there is one.
    """
    if locked:
        if document and document.state == RUN_RUNNING and age <= DEAD_SECONDS:
            return _at_work(document)
        return Verdict(RUNNING, "a command of prep is at work in these folders", (WAIT,))
    if document is None:
        return Verdict(NOT_BEGUN, "no run has begun in these folders", (place.prep("run"),))
    if document.state == RUN_DONE:
        return _done(document, place, None)
    if service in ("activating", "active", "reloading"):
        why = f": {document.error}" if document.error else ""
        return Verdict(
            RESTARTING, f"the last process has ended; systemd starts the service again{why}", (WAIT,)
        )
    again = _same_command(place) if service is None else (LOG, RESET, START)
    if document.state == RUN_RUNNING:
        return Verdict(
            DEAD,
            "the process ended without a word: it was killed, or memory ran out",
            ("start it again; it continues where it stopped:", *again),
            ended=True,
        )
    return _not_running(document, age, again, 0.0)


def _at_work(document: Document) -> Verdict:
    if document.still_seconds < SLOW_SECONDS:
        part = f": {document.part}" if document.part else ""
        return Verdict(RUNNING, f"at work{part}", ("nothing: it continues by itself",))
    what = WAITS.get(document.waiting_for, "")
    if not what and document.part == "snapshot":
        what = "EBS, which takes the snapshot"
    on = f": it waits for {what}" if what else ""
    said = f"; the last retry: {document.last_retry.text}" if document.retries else ""
    return Verdict(
        SLOW,
        f"alive, but nothing has moved for {duration(document.still_seconds)}{on}{said}",
        ("nothing yet: what fails is tried again, and a run that can't go on ends with an error",),
    )


def _done(document: Document, place: Place, instance: Instance | None) -> Verdict:
    following = []
    if "snapshot" in document.stages:
        following += ["launch training instances:", place.owner("launch --count 1")]
        if instance and instance.state not in ("terminated", "shutting-down"):
            following += ["remove the prep instance and its volumes:", place.owner("destroy --stack prep")]
    elif "backup" in document.stages:
        following += ["compare the backup with what was packed:"]
        following += [place.prep("verify", "--against s3://BUCKET")]
    else:
        following += ["the packed files are ready to be read; to back them up:"]
        following += [place.prep("backup", "--bucket BUCKET")]
    still = ""
    if instance and instance.state == "running":
        still = "; the instance is still running, and costs money"
    missing = [stage for stage, state in document.stages.items() if state != FINISHED]
    but = f" but {', '.join(missing)}: the log says why; run again to make it" if missing else ""
    return Verdict(DONE, f"all is done{but}{still}", tuple(following), ended=True)


def _gone(document: Document | None, place: Place) -> Verdict:
    if document is None:
        return Verdict(
            NOT_BEGUN, "there is no prep instance, and no run has begun", ("make deploy",), ended=True
        )
    return Verdict(
        DEAD,
        "the prep instance is gone, and the work is not done",
        (
            "if its volumes are still there: make deploy",
            "if the Prep stack was deleted, this names the settings to continue with:",
            place.owner("destroy --dry-run"),
        ),
        ended=True,
    )


def _no_word(instance: Instance, place: Place) -> Verdict:
    """The instance that is there has not written a status yet."""
    if instance.state in ("stopped", "stopping"):
        return Verdict(
            STOPPED,
            f"the instance is {instance.state}, and has begun nothing",
            ("start it:", place.start(instance.id)),
            ended=True,
        )
    if instance.up_seconds < BOOT_SECONDS:
        since = duration(instance.up_seconds)
        return Verdict(STARTING, f"the instance was started {since} ago; it installs prep first", (WAIT,))
    return Verdict(
        FAILED,
        f"no status {duration(instance.up_seconds)} after the start: the boot has failed, or the instance "
        "can't write to the bucket",
        ("look:", place.shell(instance.id), "sudo tail /var/log/cloud-init-output.log", LOG),
        ended=True,
    )


def _instance_stopped(document: Document, age: float, instance: Instance, place: Place) -> Verdict:
    again = ("start it again; the work continues where it stopped:", place.start(instance.id))
    if document.state == RUN_FAILED:
        return Verdict(
            FAILED,
            f"{document.error} (the instance is {instance.state})",
            ("correct what the error names; then start the instance:", place.start(instance.id)),
            ended=True,
        )
    if document.state == INTERRUPTED:
        return Verdict(
            STOPPED, f"the instance is {instance.state} in the middle of the work", again, ended=True
        )
    return Verdict(
        DEAD,
        f"the instance is {instance.state}, and its work ended without a word {duration(age)} ago",
        again,
        ended=True,
    )


def _not_running(document: Document, age: float, way: tuple[str, ...], restarts_within: float) -> Verdict:
    """A process that has said why it ended: by an error, or because it was told to.

    way: the commands that start it again.
    """
    lasting = document.gave_up or document.exit_code in NO_RESTART
    if not lasting and age < restarts_within:
        why = document.error or "it was told to stop, as at a reboot"
        return Verdict(RESTARTING, f"{why}: systemd starts the service again", (WAIT,))
    if document.state == INTERRUPTED:
        return Verdict(STOPPED, "it was told to stop", ("start it again; it continues:", *way), ended=True)
    return Verdict(
        FAILED,
        document.error,
        ("correct what the error names; then start it again; it continues:", *way),
        ended=True,
    )


def _same_command(place: Place) -> tuple[str, ...]:
    return (place.prep("run"),)
