"""Notices, published to the embedded SNS, which delivers them to a queue in place of a mailbox."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from prep import contract, notify, prices
from prep.datasets import description
from prep.errors import DescriptionError
from prep.notify import Machine
from tests.prep.commands import run
from tests.prep.small_sets import TINY, job, place_archives, write_folders

MACHINE = Machine("i-0123456789abcdef0", "t2.large,sc1=1000,gp3=200")
LOG = [
    "error: download: HTTP 503: run again later",
    "error: download: https://example.org/a.tar: refused the credentials: correct the secret",
    "dataset-prep.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
    "dataset-prep.service: Failed with result 'exit-code'.",
]


class Mailbox:
    """A topic and what it delivers."""

    def __init__(self) -> None:
        sns, self._sqs = boto3.client("sns"), boto3.client("sqs")
        self.topic = sns.create_topic(Name="notices")["TopicArn"]
        self._queue = self._sqs.create_queue(QueueName="mailbox")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        arn = attributes["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)

    def read(self) -> list[tuple[str, str]]:
        """Subject and text of what has come since the last call."""
        found = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
        bodies: list[dict[str, Any]] = [json.loads(message["Body"]) for message in found]
        return [(body["Subject"], body["Message"]) for body in bodies]


@pytest.fixture
def mailbox(aws: str) -> Mailbox:
    assert aws
    return Mailbox()


@pytest.fixture
def options(aws: str, tmp_path: Path) -> dict[str, str | None]:
    """The variables of the service for a tiny data set whose archives are in place."""
    assert aws
    toml = write_folders(tmp_path / "set", TINY)
    place_archives(toml, tmp_path / "root")
    boto3.client("s3").create_bucket(Bucket="notice-bucket")
    return {
        contract.ENV_DATASET: str(toml),
        contract.ENV_ROOT: str(tmp_path / "root"),
        contract.ENV_PACKED: str(tmp_path / "packed"),
        contract.ENV_SOURCE: str(toml.parent / "archives"),
        contract.ENV_BUCKET: "notice-bucket",
        contract.ENV_INSTANCE: MACHINE.instance,
        contract.ENV_MACHINE: MACHINE.paid,
    }


def test_a_run_that_did_something_is_told_once(
    mailbox: Mailbox, options: dict[str, str | None], tmp_path: Path
) -> None:
    options |= {contract.ENV_TOPIC: mailbox.topic}
    first = run("run", env=options)
    assert first.returncode == 0, first.stderr
    ((subject, text),) = mailbox.read()
    assert subject == "Data set tiny: ready"
    assert text.startswith("The data set tiny is ready.\n\n")
    assert first.stdout.strip() in text  # what was made, what needs attention, what comes next
    assert "train: 6 images" in text
    assert "about $0.00: 0.0 hours of t2.large,sc1=1000,gp3=200 (list prices of us-east-1, 20" in text
    assert "about $31.00 for the volumes, until you run on your own machine:" in text
    assert " python -m prep.owner destroy --dataset tiny --stack prep --region us-east-1\n" in text
    assert run("run", env=options).returncode == 0
    assert mailbox.read() == []
    (tmp_path / "packed" / "train.rec").unlink()
    assert run("run", env=options).returncode == 0
    assert len(mailbox.read()) == 1


def test_a_topic_that_is_gone_does_no_harm(mailbox: Mailbox, options: dict[str, str | None]) -> None:
    done = run("run", env=options | {contract.ENV_TOPIC: mailbox.topic + "-gone"})
    assert done.returncode == 0, done.stderr
    assert "no notice was sent: publish to arn:aws:sns:" in done.stderr
    # And the next run, which finds all done, tells what was not told.
    assert run("run", env=options | {contract.ENV_TOPIC: mailbox.topic}).returncode == 0
    assert [subject for subject, _ in mailbox.read()] == ["Data set tiny: ready"]


def test_an_environment_is_in_the_names(mailbox: Mailbox, options: dict[str, str | None]) -> None:
    names = options | {contract.ENV_ENVIRONMENT: "dev", contract.ENV_TOPIC: mailbox.topic}
    done = run("run", env=names)
    assert done.returncode == 0, done.stderr
    ((subject, text),) = mailbox.read()
    assert subject == "Data set tiny-dev: ready"
    folders = f"--root {options[contract.ENV_ROOT]} --packed {options[contract.ENV_PACKED]}"
    assert f"--environment dev {folders} --against s3://notice-bucket" in text
    keys = [found["Key"] for found in boto3.client("s3").list_objects_v2(Bucket="notice-bucket")["Contents"]]
    assert {key.split("/")[0] for key in keys} == {"tiny-dev"}
    checked = run("verify", "--against", "s3://notice-bucket", env=names)
    assert checked.returncode == 0, checked.stderr


def test_an_environment_that_can_not_be(options: dict[str, str | None]) -> None:
    done = run("status", env=options | {contract.ENV_ENVIRONMENT: "a/b"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: environment 'a/b': must be at most 15 lower-case letters")


def test_an_environment_that_makes_the_name_too_long() -> None:
    described = replace(description.load("ilsvrc2012"), name="a" * 27)
    assert described.in_environment("qa").name == f"{'a' * 27}-qa"
    with pytest.raises(DescriptionError, match="a-dev has more than 30 characters"):
        described.in_environment("dev")


def test_a_failure_is_told_with_its_reason(
    mailbox: Mailbox, options: dict[str, str | None], tmp_path: Path
) -> None:
    """The journal's command is replaced by one that prints a log: tests have no service."""
    journalctl = tmp_path / "bin" / "journalctl"
    journalctl.parent.mkdir()
    journalctl.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(LOG) + "\nEND\n")
    journalctl.chmod(0o755)
    path = f"{journalctl.parent}:{os.environ['PATH']}"
    done = run("notify", "--failed", "--topic", mailbox.topic, env=options | {"PATH": path})
    assert done.returncode == 0, done.stderr
    ((subject, text),) = mailbox.read()
    assert subject == "Data set tiny: failed"
    assert done.stdout.strip() == text
    assert "error      " + LOG[1].removeprefix("error: ") in text
    assert "stages     download not begun, organize not begun," in text
    assert "about $0.00: 0.0 hours of t2.large" in text
    assert "about $0.14 an hour as long as the instance runs" in text
    assert f"aws ssm start-session --region us-east-1 --target {MACHINE.instance}" in text
    assert "sudo systemctl reset-failed dataset-prep.service" in text
    assert "Failed with result 'exit-code'." in text
    stored = boto3.client("s3").get_object(Bucket="notice-bucket", Key="tiny/status.json")["Body"].read()
    status = json.loads(stored)
    assert (status["state"], status["gave_up"]) == ("failed", True)
    assert status["error"] == LOG[1].removeprefix("error: ")
    assert (status["instance"], status["machine"]) == (MACHINE.instance, MACHINE.paid)
    assert (tmp_path / "root" / ".prep" / "journals" / "status.json").read_bytes() == stored


def test_a_failure_of_the_description_is_told_too(
    mailbox: Mailbox, options: dict[str, str | None], tmp_path: Path
) -> None:
    (tmp_path / "set" / "tiny.toml").write_text("no TOML")
    done = run("notify", "--failed", "--topic", mailbox.topic, env=options)
    assert done.returncode == 0, done.stderr
    ((subject, text),) = mailbox.read()
    assert subject == "Data set tiny: failed"
    assert "stages     not known" in text
    assert "about $0.14 an hour as long as the instance runs" in text
    assert "sudo systemctl start dataset-prep.service" in text


def test_a_service_that_was_killed(tmp_path: Path) -> None:
    """It wrote no error: the last line of the log is what is known."""
    toml = write_folders(tmp_path / "set", TINY)
    log = ["download: 3 GB", "dataset-prep.service: Failed with result 'oom-kill'."]
    notice = notify.of_failure(job(toml, tmp_path), log, MACHINE)
    assert "error      dataset-prep.service: Failed with result 'oom-kill'." in notice.text
    assert "error      there is no log" in notify.of_failure(job(toml, tmp_path), [], MACHINE).text


def test_nothing_to_tell_yet(options: dict[str, str | None], mailbox: Mailbox) -> None:
    done = run("notify", "--topic", mailbox.topic, env=options)
    assert (done.returncode, mailbox.read()) == (5, [])
    assert done.stderr.startswith("error: notify: there is no complete run in ")


def test_the_last_run_told_again(options: dict[str, str | None], mailbox: Mailbox) -> None:
    assert run("run", env=options).returncode == 0
    done = run("notify", "--topic", mailbox.topic, "--json", env=options)
    assert done.returncode == 0, done.stderr
    assert mailbox.read() == [tuple(json.loads(done.stdout).values())]


def test_costs() -> None:
    assert prices.machine_hour(MACHINE.paid) == pytest.approx(0.0928 + (15 + 16) / 730)
    assert prices.volumes_month(MACHINE.paid) == pytest.approx(31)
    for unknown in ("", "z9.huge,sc1=1000", "t2.large,sc9=1", "t2.large,sc1=big"):
        assert prices.machine_hour(unknown) is None
    assert prices.stored_month("snapshot", 100 << 30) == pytest.approx(5)


def test_costs_that_are_not_known(tmp_path: Path) -> None:
    parts = {"archives": {"seconds": 3600.0, "waited": {}}}
    toml = write_folders(tmp_path / "set", TINY)
    work = job(toml, tmp_path)
    work.layout.usage.parent.mkdir(parents=True)
    work.layout.usage.write_text(json.dumps({"processes": 2, "parts": parts, "bytes": {}}))
    assert "cost       about $0.14: 1.0 hours of t2.large," in notify.of_failure(work, [], MACHINE).text
    failed = notify.of_failure(work, [], Machine("", "z9.huge"))
    assert "cost       not known for z9.huge" in failed.text
    assert "an hour" not in failed.text
    assert "--target INSTANCE_ID" in failed.text
