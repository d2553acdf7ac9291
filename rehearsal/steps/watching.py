"""The owner watches the prep instance from a laptop: in the middle, at the end, and when it is killed."""

# ruff: noqa: S603 (fixed commands)

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import REPOSITORY, in_instance, wait_until
from rehearsal.preparation import Road
from rehearsal.steps.preparing import Service

APP, ENVIRONMENT = "/opt/dataset-prep", "/etc/dataset-prep.env"
BEGIN_SECONDS = 60.0  # for the service to start: it does that while the stacks are deployed
MOST_SECONDS = 60.0  # in which a killed instance must be called dead
PAUSE = 2.0  # between two looks, of which each takes one


def look(road: Road) -> dict[str, Any]:
    """What `python -m prep.owner status` says, and its exit code as "code"."""
    done = subprocess.run(
        [sys.executable, "-m", "prep.owner", "status", "--dataset", road.name, "--json", "--no-progress"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=dict(road.cdk.environment),
    )
    if not done.stdout:
        raise RehearsalError("python -m prep.owner status failed", done.stderr.splitlines()[-5:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"code": done.returncode}


def look_inside(road: Road, service: Service) -> dict[str, Any]:
    """What `python -m prep status` says on the instance, with the service's environment."""
    command = f"cd {APP} && set -a && . {ENVIRONMENT} && exec venv/bin/python -m prep status --json"
    done = in_instance(road.cloud, service.instance_id, "bash", "-c", command)
    if done.returncode != 0:
        raise RehearsalError("python -m prep status failed on the instance", done.stderr.splitlines()[-5:])
    found: dict[str, Any] = json.loads(done.stdout)["run"]
    return found


def in_the_middle(road: Road, service: Service) -> None:
    """The work is under way: its stages, its cost, its instance."""
    found: dict[str, Any] = {}

    def begun() -> bool:
        found.update(look(road))
        states = found["status"]["stages"].values() if found["status"] else ()
        return bool({"at work", "done"} & set(states))

    with road.narrator.step("The owner looks at the work from a laptop"):
        wait_until("a stage at work", BEGIN_SECONDS, begun)
        inside = look_inside(road, service)
    status = found["status"]
    states = status["stages"]
    right = (
        found["verdict"] == "running"
        and found["code"] == 0
        and status["instance"] == service.instance_id == found["instance"]["id"]
        and states["snapshot"] == "not begun"
        and found["cost"]["usd"] is not None
    )
    under_way = [f"{stage} {state}" for stage, state in states.items() if state != "not begun"]
    figure = f"{found['verdict']}: {', '.join(under_way)}; age {found['age_seconds']} s"
    road.narrator.check("status from a laptop, in the middle", bool(right), figure)
    same = inside["status"]["instance"] == service.instance_id
    figure = f"{inside['verdict']}: {inside['summary']}"
    what = "status on the instance, in the middle"
    road.narrator.check(what, inside["verdict"] == "running" and same, figure)


def at_the_end(road: Road) -> None:
    """All is done, whatever the instance does."""
    with road.narrator.step("The owner looks again"):
        found = look(road)
    states = set(found["status"]["stages"].values())
    following = " ".join(found["next"])
    right = (found["verdict"], found["code"], states) == ("done", 0, {"done"}) and "launch" in following
    cost = f"about ${found['cost']['usd']:.2f}"
    figure = f"{found['verdict']}, instance {found['instance']['state']}, {cost}, next: launch"
    road.narrator.check("status from a laptop, at the end", right, figure)


def called_dead(road: Road, service: Service) -> None:
    """Its processes are killed while EC2 says that the instance runs; then the whole instance is killed."""
    silent = _seconds_until_dead(
        road, "Kill the processes of an instance that goes on running", service, False
    )
    ec2 = road.cloud.client("ec2")
    ec2.stop_instances(InstanceIds=[service.instance_id])
    _start(road, service)
    stopped = _seconds_until_dead(road, "Kill the instance", service, True)
    _start(road, service)
    figure = f"after {silent:.0f} s while EC2 says running, after {stopped:.0f} s when it says stopped"
    road.narrator.check("a killed instance is called dead", max(silent, stopped) <= MOST_SECONDS, figure)


def _seconds_until_dead(road: Road, what: str, service: Service, whole: bool) -> float:
    with road.narrator.step(what):
        wait_until("a sign of life", BEGIN_SECONDS, lambda: look(road)["verdict"] == "running")
        if whole:
            os.kill(road.cloud.instance_pid(service.instance_id), signal.SIGKILL)
        else:
            state = service.state
            numbers = [str(state["supervisor"]), str(state["pid"])]
            in_instance(road.cloud, service.instance_id, "kill", "-KILL", *numbers)
        begun = time.monotonic()
        while (verdict := look(road)["verdict"]) != "dead":
            road.narrator.note(f"{verdict} after {time.monotonic() - begun:.0f} s")
            if time.monotonic() - begun > 2 * MOST_SECONDS:
                break
            time.sleep(PAUSE)
        return time.monotonic() - begun


def _start(road: Road, service: Service) -> None:
    before = road.cloud.instance_pid(service.instance_id)
    road.cloud.client("ec2").start_instances(InstanceIds=[service.instance_id])

    def is_back() -> bool:
        return road.cloud.instance_pid(service.instance_id) != before and service.state["state"] == "active"

    wait_until("the service to go on", BEGIN_SECONDS, is_back)
