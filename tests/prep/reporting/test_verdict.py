"""The verdict: every state of a run, an instance and a service, and what each says to do."""

from dataclasses import replace
from typing import Any

import pytest

from prep.reporting.document import FAILED, INTERRUPTED, Document, Mishap
from prep.reporting.verdict import DEAD_SECONDS, Instance, Place, Verdict, from_inside, from_outside
from tests.prep.reporting.documents import ALL_DONE, AT_WORK

ID = AT_WORK.instance
PLACE = Place("pets", "--dataset pets", "us-east-1")
UP = Instance(ID, "running", "ok", 7200.0)
STOPPED = replace(UP, state="stopped", checks="")
ENDED = replace(AT_WORK, state=FAILED, error="download: HTTP 503: run again later", exit_code=4)


def outside(document: Document | None, age: float, instance: Instance | None) -> Verdict:
    return from_outside(document, age, instance, PLACE)


@pytest.mark.parametrize(
    ("document", "age", "instance", "word", "ended"),
    [
        (AT_WORK, 10, UP, "running", False),
        (AT_WORK, DEAD_SECONDS, UP, "running", False),
        (AT_WORK, DEAD_SECONDS + 1, UP, "dead", False),  # systemd may still start the service again
        (AT_WORK, 300, UP, "dead", True),
        (AT_WORK, 10, STOPPED, "dead", True),  # EC2 knows before the status is old
        (AT_WORK, 10, replace(UP, state="terminated"), "dead", True),
        (AT_WORK, 10, None, "dead", True),
        (replace(AT_WORK, still_seconds=299), 10, UP, "running", False),
        (replace(AT_WORK, still_seconds=301), 10, UP, "slow", False),
        (replace(AT_WORK, still_seconds=301), 50, UP, "dead", False),
        # Stopped and started again: the status is older than the start.
        (AT_WORK, 900, replace(UP, up_seconds=30), "starting", False),
        (AT_WORK, 900, replace(UP, up_seconds=300), "dead", True),
        (replace(AT_WORK, state=INTERRUPTED), 900, replace(UP, up_seconds=30), "starting", False),
        (replace(AT_WORK, state=INTERRUPTED), 900, STOPPED, "stopped", True),
        (replace(AT_WORK, state=INTERRUPTED), 30, UP, "restarting", False),
        (replace(AT_WORK, state=INTERRUPTED), 900, UP, "stopped", True),
        (ENDED, 30, UP, "restarting", False),
        (ENDED, 300, UP, "failed", True),
        (replace(ENDED, exit_code=3), 30, UP, "failed", True),
        (replace(ENDED, gave_up=True), 30, UP, "failed", True),
        (ENDED, 30, STOPPED, "failed", True),
        (ALL_DONE, 9000, UP, "done", True),
        (ALL_DONE, 9000, STOPPED, "done", True),
        (ALL_DONE, 9000, None, "done", True),
        (None, 0, replace(UP, up_seconds=600), "starting", False),
        (None, 0, UP, "failed", True),
        (None, 0, STOPPED, "stopped", True),
        (None, 0, None, "not begun", True),
        # The status is that of the instance before this one.
        (AT_WORK, 10, replace(UP, id="i-9", up_seconds=60), "starting", False),
        (replace(ENDED, gave_up=True), 10, replace(UP, id="i-9", up_seconds=60), "starting", False),
        (ALL_DONE, 10, replace(UP, id="i-9", up_seconds=60), "done", True),
    ],
)
def test_from_outside(
    document: Document | None, age: float, instance: Instance | None, word: str, ended: bool
) -> None:
    found = outside(document, age, instance)
    assert (found.word, found.ended) == (word, ended)
    assert found.code == (1 if word in ("dead", "failed", "stopped") else 0)
    assert found.summary
    assert all(found.next)


@pytest.mark.parametrize("document", [None, AT_WORK, replace(ENDED, gave_up=True)])
@pytest.mark.parametrize("instance", [None, STOPPED, replace(UP, state="terminated")])
def test_while_cloudformation_makes_the_instance(
    document: Document | None, instance: Instance | None
) -> None:
    found = from_outside(document, 900, instance, PLACE, deploying=True)
    assert (found.word, found.ended) == ("starting", False)
    assert "make deploy" not in " ".join(found.next)


def test_an_update_that_leaves_the_instance_alone() -> None:
    assert from_outside(AT_WORK, 5, UP, PLACE, deploying=True).word == "running"


def test_what_to_do_after_a_failure() -> None:
    shell = f"aws ssm start-session --region us-east-1 --target {ID}"
    found = outside(replace(ENDED, gave_up=True), 600, UP)
    assert found.summary == ENDED.error
    assert found.next[1:] == (
        shell,
        "sudo systemctl reset-failed dataset-prep.service",
        "sudo systemctl start dataset-prep.service",
    )
    assert shell in outside(AT_WORK, 60, UP).next
    reboot = f"aws ec2 reboot-instances --region us-east-1 --instance-ids {ID}"
    assert outside(AT_WORK, 60, UP).next[-1] == reboot
    start = f"aws ec2 start-instances --region us-east-1 --instance-ids {ID}"
    assert start in outside(AT_WORK, 10, STOPPED).next
    assert start in outside(replace(AT_WORK, state=INTERRUPTED), 900, STOPPED).next
    assert "impaired" in outside(AT_WORK, 60, replace(UP, checks="impaired")).summary


def test_done_but_for_a_stage() -> None:
    """A preview that can't be made does not fail a run."""
    assert outside(ALL_DONE, 600, STOPPED).summary == "all is done"
    short = replace(ALL_DONE, stages={**ALL_DONE.stages, "preview": "begun"})
    words = "all is done but preview: the log says why; run again to make it"
    assert outside(short, 600, STOPPED).summary == words
    assert from_inside(short, 600, False, None, PLACE).summary == words


def test_what_to_do_after_success() -> None:
    found = outside(ALL_DONE, 600, STOPPED)
    assert "python -m prep.owner launch --count 1 --dataset pets --region us-east-1" in found.next
    assert "python -m prep.owner destroy --stack prep --dataset pets --region us-east-1" in found.next
    gone = outside(ALL_DONE, 600, None)
    assert not any("destroy" in line for line in gone.next)
    assert "costs money" in outside(ALL_DONE, 600, UP).summary


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "it waits for the data set's site"),
        ({"waiting_for": "S3"}, "it waits for S3"),
        ({"waiting_for": "", "part": "snapshot"}, "it waits for EBS, which takes the snapshot"),
        ({"retries": 2, "last_retry": Mishap("t", "HTTP 503: trying again")}, "the last retry: HTTP 503"),
        ({"waiting_for": ""}, "nothing has moved for 10 min 00 s"),
    ],
)
def test_slow_says_on_what_it_waits(changes: dict[str, Any], words: str) -> None:
    assert words in outside(replace(AT_WORK, still_seconds=600, **changes), 5, UP).summary


@pytest.mark.parametrize(
    ("document", "age", "locked", "service", "word"),
    [
        (None, 0, False, None, "not begun"),
        (None, 0, True, None, "running"),  # another command
        (AT_WORK, 5, True, None, "running"),
        (replace(AT_WORK, still_seconds=600), 5, True, None, "slow"),
        (AT_WORK, 5, False, None, "dead"),  # the lock tells, whatever the age
        (AT_WORK, 900, True, None, "running"),  # a run was killed, and another command is at work now
        (AT_WORK, 5, False, "activating", "restarting"),
        (AT_WORK, 5, False, "failed", "dead"),
        (ENDED, 5, False, "activating", "restarting"),
        (ENDED, 5, False, "failed", "failed"),
        (ENDED, 5, False, None, "failed"),
        (replace(AT_WORK, state=INTERRUPTED), 5, False, None, "stopped"),
        (ALL_DONE, 5, False, "inactive", "done"),
    ],
)
def test_from_inside(
    document: Document | None, age: float, locked: bool, service: str | None, word: str
) -> None:
    found = from_inside(document, age, locked, service, PLACE)
    assert found.word == word
    if word in ("dead", "failed", "stopped"):
        again = (
            "python -m prep run --dataset pets"
            if service is None
            else "sudo systemctl start dataset-prep.service"
        )
        assert found.next[-1] == again


def test_without_aws_the_next_step_is_a_backup() -> None:
    done = replace(ALL_DONE, stages={"download": "done", "pack": "done"}, instance="")
    assert (
        from_inside(done, 0, False, None, PLACE).next[-1]
        == "python -m prep backup --dataset pets --bucket BUCKET"
    )
