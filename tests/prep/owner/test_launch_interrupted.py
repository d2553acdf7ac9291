"""Launch: whatever interrupts it, no instance is there that nobody is told of."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.prep.owner.conftest import Command
from tests.prep.owner.proxy import Call, Proxy, Refusal
from tests.prep.owner.there import instances

pytestmark = pytest.mark.usefixtures("deployed")


@pytest.mark.usefixtures("published")
def test_instance_of_a_lost_answer_is_found(call: Command, proxy: Proxy, boots: Callable[..., None]) -> None:
    """The call was made, but no answer says so: the client token leads to the instance."""
    boots("ready")
    proxy.plan = lambda each: Refusal("ExpiredToken", after=True) if each.name == "RunInstances" else None
    answer = call("launch", "--json")
    assert answer.code == 0, answer.err
    (made,) = instances()
    (found,) = answer.document["instances"]
    assert (found["instance"], found["zone"]) == (made["InstanceId"], made["Placement"]["AvailabilityZone"])
    assert f"--instance-ids {made['InstanceId']}" in answer.err


@pytest.mark.usefixtures("published")
def test_interrupted_between_repeats(call: Command, proxy: Proxy) -> None:
    """The first answer was lost; Ctrl-C comes before the call is repeated."""
    proxy.plan = lambda each: (
        Refusal("InternalError", 500, after=True) if each.name == "RunInstances" else None
    )
    answer = _interrupted(call, lambda: bool(instances()), 0.1)
    assert answer.code == 130
    assert len(proxy.named("RunInstances")) == 1
    assert f"--instance-ids {instances()[0]['InstanceId']}" in answer.err


@pytest.mark.usefixtures("published")
def test_interrupted_while_waiting(call: Command) -> None:
    """Ctrl-C leaves them running, says so, and names them."""
    answer = _interrupted(call, lambda: bool(instances()), 0.3)
    assert answer.code == 130
    running = instances()
    assert {each["State"]["Name"] for each in running} == {"running"}
    assert f"1 instances cost money until you end them: aws ec2 terminate-instances --region us-east-1 --instance-ids {running[0]['InstanceId']}" in answer.err  # fmt: skip  # noqa: E501


@pytest.mark.usefixtures("published")
def test_interrupted_while_a_call_is_under_way(call: Command, proxy: Proxy) -> None:
    """The answer is waited for: else there would be an instance that nobody knows."""
    under_way = threading.Event()

    def slowly(each: Call) -> None:
        if each.name == "RunInstances":
            under_way.set()
            time.sleep(1.0)

    proxy.plan = slowly
    answer = _interrupted(call, under_way.is_set, 0.2)
    assert answer.code == 130
    assert len(instances()) == 1
    assert instances()[0]["InstanceId"] in answer.err
    assert "launch: 1 booting" not in answer.err


def _interrupted(call: Command, when: Callable[[], bool], after: float) -> Any:
    def interrupt() -> None:
        while not when():
            time.sleep(0.02)
        time.sleep(after)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        return call("launch")
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
