"""The command: its table, its JSON, the zone, and its exit status."""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner, Result
from moto.ec2.models import ec2_backends

from preflight.cli import main
from preflight.findings import Verdict
from tests.conftest import REGION
from tests.preflight.conftest import ACCOUNT_ID, SECRET, WHO, Ready, put_secret
from tests.preflight.test_deployed import VOLUME, make_stack, set_state
from tests.stacks.conftest import REPOSITORY


def run(ready: Ready, *options: str) -> Result:
    return CliRunner().invoke(main, [*ready.options, *options])


def verdicts(result: Result) -> dict[str, str]:
    return {each["check"]: each["verdict"] for each in json.loads(result.stdout)["checks"]}


def test_account_that_is_ready(ready: Ready) -> None:
    started = time.monotonic()
    result = run(ready, "--json")
    assert time.monotonic() - started < 30  # two seconds on a machine that does nothing else
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["region"], facts["zone"], facts["fails"]) == (REGION, f"{REGION}a", 0)
    assert set(verdicts(result).values()) == {"ok"}
    names = [each["check"] for each in facts["checks"]]
    assert names == [
        *("account", "stacks", "prep zone"),
        *("CDK bootstrap", "training zones", "vCPUs training", "VPCs", "GPU image", "default EBS key"),
        *("secret", "data set site", "vCPUs prep", "TiB of gp3", "TiB of sc1", "snapshots"),
    ]
    *lines, last = result.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines] == [Verdict.OK] * len(names)
    assert last == "preflight: the deployment can begin: 0 of 15 checks fail, 0 with a warning"
    assert WHO[1] not in result.output


def test_a_cluster_is_checked_if_there_is_to_be_one(ready: Ready) -> None:
    result = run(ready, "--json", "-c", "cluster_workers=2", "-c", "cluster_instance_type=c7i.large")
    assert result.exit_code == 0, result.stderr
    found = verdicts(result)
    assert {"head zones", "worker zones", "vCPUs head", "vCPUs workers"} <= found.keys()
    assert set(found.values()) == {"ok"}


def test_training_alone_needs_nothing_of_prep(ready: Ready) -> None:
    """As in another Region: there is no secret, and snapshots that the settings name are elsewhere."""
    ready.account.secrets.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    elsewhere = ["-c", "work_snapshot=snap-00000000000000000"]
    result = run(ready, "--json", "--stacks", "Training", *elsewhere)
    assert (result.exit_code, json.loads(result.stdout)["zone"]) == (0, None), result.stderr
    assert list(verdicts(result)) == [
        *("account", "stacks", "CDK bootstrap", "training zones", "vCPUs training", "VPCs", "GPU image"),
        "default EBS key",
    ]
    for selection in ("--all", "Training Prep", "*"):
        assert {"secret", "work_snapshot"} <= verdicts(
            run(ready, "--json", f"--stacks={selection}", *elsewhere)
        ).keys()


def test_zone_of_the_volumes_is_passed_on_with_training_alone(ready: Ready) -> None:
    """Otherwise the Dataset stack would no longer export the subnet that the Prep stack uses."""
    make_stack("sample-prep", {"Work": VOLUME})
    set_state("sample-prep", "UPDATE_ROLLBACK_FAILED")  # of no concern here
    result = run(ready, "--print-zone", "--stacks", "Training")
    assert (result.exit_code, result.stdout) == (0, f"{REGION}c\n"), result.stderr


def test_snapshot_of_a_volume_that_exists_may_be_gone(ready: Ready) -> None:
    volume = ready.account.ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    snapshot = ready.account.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    make_stack("sample-prep", {"Work": VOLUME})
    (made,) = [each for each in ready.account.ec2.describe_volumes()["Volumes"] if each["VolumeId"] != volume]
    ready.account.ec2.create_tags(
        Resources=[made["VolumeId"]], Tags=[{"Key": "dataset-role", "Value": "work"}]
    )
    # moto makes no volume of a template from a snapshot.
    ec2_backends[ACCOUNT_ID][REGION].volumes[made["VolumeId"]].snapshot_id = snapshot
    ready.account.ec2.delete_snapshot(SnapshotId=snapshot)
    result = run(ready, "--json", "-c", f"work_snapshot={snapshot}")
    found = verdicts(result)
    assert (result.exit_code, found["volume work"]) == (0, "ok"), result.stderr
    assert "work_snapshot" not in found


def test_zone_alone_is_on_standard_output(ready: Ready) -> None:
    result = run(ready, "--print-zone")
    assert (result.exit_code, result.stdout) == (0, f"{REGION}a\n")
    assert "prep zone" in result.stderr


def test_failure_has_an_exit_status_and_a_remedy(ready: Ready) -> None:
    put_secret("someone", "wrong")
    ready.account.ssm.delete_parameter(Name="/cdk-bootstrap/hnb659fds/version")
    result = run(ready, "--json")
    assert result.exit_code == 1
    failing = {name for name, verdict in verdicts(result).items() if verdict == "fails"}
    assert failing == {"CDK bootstrap", "data set site"}
    assert "us-east-1 is not bootstrapped: run `make bootstrap`" in result.stderr
    assert "refused (HTTP 401)" in result.stderr
    assert "the deployment would fail: 2 of 15 checks fail" in result.stderr


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["-c", "resise=256"], 2, "setting resise=256: there is no such setting"),
        (["-c", "dataset"], 2, "must be NAME=VALUE"),
        (["--json", "--print-zone"], 2, "--json contains the zone"),
    ],
)
def test_wrong_option(ready: Ready, options: list[str], status: int, words: str) -> None:
    result = run(ready, *options)
    assert (result.exit_code, result.stdout) == (status, "")
    assert words in result.stderr


def test_account_of_the_settings_must_be_the_callers(ready: Ready) -> None:
    result = run(ready, "--json", "-c", "account=210987654321")
    assert (result.exit_code, verdicts(result)) == (1, {"account": "fails"})
    assert "the setting account is 210987654321" in result.stderr


def test_without_credentials(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    result = run(ready, "--json")
    assert (result.exit_code, verdicts(result)) == (1, {"account": "fails"})


def test_profile_that_does_not_exist(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    result = run(ready)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("AWS configuration: The config profile (nobody) could not be found: ")
    assert "Traceback" not in result.output


@pytest.fixture
def powerless(ready: Ready, aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ready]:
    """A caller who may not do anything. moto then judges every call by IAM."""
    iam = boto3.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    judge(aws, "0")
    yield ready
    judge(aws, "inf")


def judge(endpoint: str, after: str) -> None:
    """Let moto judge every call after so many."""
    request = urllib.request.Request(  # noqa: S310 - our own
        f"{endpoint}/moto-api/reset-auth", after.encode(), {"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(request):  # noqa: S310 - likewise
        pass


def test_permission_that_is_missing_is_named(powerless: Ready) -> None:
    result = run(powerless, "--json")
    found = {each["check"]: each for each in json.loads(result.stdout)["checks"]}
    refused = {
        name: each["remedy"] for name, each in found.items() if each["found"].startswith("not checked: you")
    }
    assert refused == {
        "stacks": "allow cloudformation:DescribeStacks",
        "CDK bootstrap": "allow ssm:GetParameter",
        "secret": "allow secretsmanager:GetSecretValue",
        "training zones": "allow ec2:DescribeAvailabilityZones",
        "vCPUs prep": "allow ec2:DescribeInstances",
        "vCPUs training": "allow ec2:DescribeInstances",
        "storage": "allow ec2:DescribeVolumes",
        "snapshots": "allow ec2:DescribeSnapshots",
        "VPCs": "allow ec2:DescribeVpcs",
        "GPU image": "allow ssm:GetParameter",
        "default EBS key": "allow ec2:GetEbsDefaultKmsKeyId",
    }
    assert {found[name]["verdict"] for name in refused} == {"warning"}
    # Nobody knows whether volumes exist: with a zone that is not theirs, the deployment would fail.
    assert (result.exit_code, found["prep zone"]["verdict"]) == (1, "fails")
    assert found["prep zone"]["remedy"].endswith("or set prep_zone to the zone of the volumes")
    assert WHO[1] not in result.output


def make_deploy(ready: Ready, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """`make deploy` with a command in place of cdk, and without installing anything."""
    cdk = folder / "cdk"
    cdk.write_text('#!/bin/sh\necho "cdk $*"\n')
    cdk.chmod(0o755)
    settings = " ".join("=".join(pair) for pair in ready.settings.items())
    kept = ["--old-file=.cache/python", "--old-file=.cache/node"]
    command = ["make", *kept, "deploy", f"CDK={cdk}", f"SETTINGS={settings}", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ARGS"))}
    return subprocess.run(  # noqa: S603 - our own
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


def test_make_deploy_passes_the_zone(ready: Ready, tmp_path: Path) -> None:
    done = make_deploy(ready, tmp_path)
    assert done.returncode == 0, done.stderr
    contexts = " ".join(f"--context {'='.join(pair)}" for pair in ready.settings.items())
    assert done.stdout == f"cdk deploy --all {contexts} --context prep_zone={REGION}a\n"
    assert "preflight: the deployment can begin" in done.stderr


def test_make_deploy_of_training_alone(ready: Ready, tmp_path: Path) -> None:
    put_secret("someone", "wrong")
    done = make_deploy(ready, tmp_path, "STACKS=Training")
    assert done.returncode == 0, done.stderr
    contexts = " ".join(f"--context {'='.join(pair)}" for pair in ready.settings.items())
    assert done.stdout.rstrip() == f"cdk deploy Training {contexts}"


def test_make_deploy_stops_if_preflight_fails(ready: Ready, tmp_path: Path) -> None:
    put_secret("someone", "wrong")
    done = make_deploy(ready, tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "preflight: the deployment would fail" in done.stderr
