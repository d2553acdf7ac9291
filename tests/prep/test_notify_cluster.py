"""Notices about the work of a cluster: what the owner is told, and what is kept of it in S3."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import boto3
import pytest

from prep import contract
from prep.state.receipts import Receipt
from tests.prep.commands import Environment, run
from tests.prep.test_notify import MACHINE, Mailbox, mailbox

__all__ = ["mailbox"]  # a fixture
BUCKET = "notice-bucket"
PACKED = f"s3://{BUCKET}/tiny/packed"
LOG = ["pack: 3 of 5 units", "error: pack: n01/a.jpg: cut short: get it again", "status=5/NOTINSTALLED"]


@pytest.fixture
def service(aws: str, tmp_path: Path) -> Environment:
    """The environment of the cluster's service; a command in place of the journal's prints a log."""
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    journalctl = tmp_path / "journalctl"
    lines = "\n".join(LOG)
    journalctl.write_text(
        f"#!/bin/sh\ncase $* in *dataset-cluster.service*) cat <<'END'\n{lines}\nEND\nesac\n"
    )
    journalctl.chmod(0o755)
    return {
        contract.ENV_DATASET: "/opt/dataset-prep/tiny.toml",
        contract.ENV_PACKED: PACKED,
        contract.ENV_INSTANCE: MACHINE.instance,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }


def kept() -> str:
    """The object beside the packed files."""
    key = "tiny/packed/.prep/notice.txt"
    return boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()


def put_receipt(stage: str, seconds: float) -> None:
    receipt = Receipt(stage, {}, {}, {}, {"train": 1200, "validation": 50}, seconds)
    boto3.client("s3").put_object(
        Bucket=BUCKET, Key=f"tiny/packed/.prep/{stage}.json", Body=json.dumps(asdict(receipt)).encode()
    )


def test_the_end_of_the_work(mailbox: Mailbox, service: Environment) -> None:
    put_receipt("pack", 600.0)
    put_receipt("verify", 65.0)
    done = run("notify", "--on", "ray", "--topic", mailbox.topic, env=service)
    assert done.returncode == 0, done.stderr
    ((subject, text),) = mailbox.read()
    assert subject == "Data set tiny: packed by the cluster"
    assert text.startswith("The data set tiny is packed and verified.\n\n")
    assert f"made       train 1200; validation 50, in {PACKED}/" in text
    assert "took       pack 10 min 00 s, verify 1 min 05 s" in text
    assert f"python -m prep restore --bucket {BUCKET} --packed /dataset" in text
    assert "python -m prep.owner cluster --dataset tiny --region us-east-1 --stop" in text
    assert (done.stdout.strip(), kept()) == (text, f"{subject}\n\n{text}\n")


@pytest.mark.parametrize("stages", [[], ["pack"]])
def test_nothing_is_told_of_work_that_is_not_done(
    mailbox: Mailbox, service: Environment, stages: list[str]
) -> None:
    for stage in stages:
        put_receipt(stage, 1.0)
    done = run("notify", "--on", "ray", "--topic", mailbox.topic, env=service)
    assert (done.returncode, done.stdout, mailbox.read()) == (5, "", [])
    missing = "verify" if stages else "pack"
    assert done.stderr == (
        f"error: notify: {PACKED}/.prep/{missing}.json: no receipt: do {missing} --on ray first\n"
    )


def test_a_failure(mailbox: Mailbox, service: Environment) -> None:
    done = run("notify", "--on", "ray", "--failed", "--topic", mailbox.topic, env=service)
    assert done.returncode == 0, done.stderr
    ((subject, text),) = mailbox.read()
    assert subject == "Data set tiny: the cluster failed"
    assert f"error      {LOG[1].removeprefix('error: ')}" in text
    assert "           python -m prep.owner cluster --dataset tiny --region us-east-1\n" in text
    assert f"log        {LOG[0]}" in text
    assert kept() == f"{subject}\n\n{text}\n"


def test_without_a_topic_it_is_kept(service: Environment) -> None:
    assert run("notify", "--on", "ray", "--failed", env=service).returncode == 0
    assert kept().startswith("Data set tiny: the cluster failed\n")


def test_a_folder_is_no_address(service: Environment) -> None:
    done = run("notify", "--on", "ray", "--packed", "/dataset", env=service)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: /dataset: must be an address like s3://bucket/prefix")
    done = run("notify", env=service)
    assert done.returncode == 2
    assert "give a folder, or add --on ray" in done.stderr
