"""The prep instance at work: following its service, and stopping it in the middle."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import tail, wait_until
from rehearsal.preparation import Road

SERVICE = "dataset-prep.service"
# A service that neither writes a line nor changes its state for so long is stuck.
STALL_SECONDS = 600.0
STOP_SECONDS = 90.0  # a minute's notice, for those who are logged in, and the shutdown


@dataclass(frozen=True)
class Service:
    """The prep service of one instance, or another one, seen from outside."""

    instance_id: str
    folder: Path  # the instance's
    unit: str = SERVICE

    @property
    def log(self) -> Path:
        return self.folder / "log" / f"{self.unit}.log"

    @property
    def state(self) -> dict[str, object]:
        try:
            state: dict[str, object] = json.loads(
                (self.folder / "shared" / "units" / f"{self.unit}.json").read_text()
            )
        except FileNotFoundError:  # not started yet, or just written anew
            return {"state": "inactive"}
        return state

    @property
    def ended_well(self) -> bool:
        state = self.state
        return state["state"] == "inactive" and state.get("status") == 0

    def inside(self, path: str) -> Path:
        """A path of the instance, seen from here, while it runs."""
        return Path(f"/proc/{(self.folder / 'pid').read_text()}/root{path}")


def prep_service(road: Road) -> Service:
    instance_id = road.output("prep", "InstanceId")
    return Service(instance_id, road.cloud.instance(instance_id))


def follow_prep(road: Road) -> str:
    """Waits for the prep service to end well, showing its log; returns the instance's id."""
    service = prep_service(road)
    with road.narrator.step("The prep service: download, organize, pack, verify, preview, backup, snapshot"):
        follow(road, service, lambda: service.ended_well)
    figure = f"{service.instance_id}, {service.state.get('starts')} start(s)"
    road.narrator.check("prep service ran to its end", True, figure)
    _told(road)
    if road.settings.get("when_done", "stop") == "stop":
        _stopped(road, service.instance_id)
    return service.instance_id


def _told(road: Road) -> None:
    """The owner got one message, with all that they need to know.

    Where the instance is stopped just after it has sent the message, the next run sends it again.
    """
    letters = road.mailbox.letters
    wanted = (road.subject.published(), "cost", "next")
    text = letters[0].text if letters else ""
    missing = [word for word in wanted if word not in text]
    figure = f"{len(letters)} message(s): {', '.join(letter.subject for letter in letters) or 'none'}"
    if missing:
        figure += f"; not in it: {', '.join(missing)}"
    allowed = (1, 2) if road.wishes.full else (1,)
    road.narrator.check("the owner is told that all is done", len(letters) in allowed and not missing, figure)


def _stopped(road: Road, instance_id: str) -> None:
    """Nobody pays for a machine that has nothing to do."""
    ec2 = road.cloud.client("ec2")

    def state() -> str:
        found = ec2.describe_instances(InstanceIds=[instance_id])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    with road.narrator.step("The prep instance stops itself"):
        wait_until(f"{instance_id} to stop itself", STOP_SECONDS, lambda: state() == "stopped")
    road.narrator.check("the prep instance stopped itself", True, f"{instance_id}, {state()}")


def follow(road: Road, service: Service, reached: Callable[[], bool]) -> None:
    """Waits for a moment of the service's work, showing its log.

    Raises RehearsalError if the service fails, is silent for too long, or ends before that moment.
    """
    last, since = ("", ""), time.monotonic()
    while not reached():
        state = service.state
        lines = [line for line in tail(service.log, 3) if line.strip()]
        seen = (str(state), lines[-1] if lines else "")
        if seen != last:
            last, since = seen, time.monotonic()
            road.narrator.note(seen[1].rsplit("\r")[-1].strip()[:100])
        if state["state"] == "failed" or state.get("sub") == "auto-restart":
            why = f"{service.unit} failed with status {state.get('status')}"
            raise RehearsalError(why, tail(service.log, 25))
        if service.ended_well and not reached():
            raise RehearsalError(f"{service.unit} ended before the moment to interrupt it came")
        if time.monotonic() - since > STALL_SECONDS:
            raise RehearsalError(
                f"{service.unit} was silent for {STALL_SECONDS:.0f} s", tail(service.log, 25)
            )
        time.sleep(0.1)
