"""The data set in another Region and in another account: by the commands of the account's owner."""

# ruff: noqa: S603 (fixed commands)

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rehearsal import findings, leftovers
from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import REPOSITORY, Cloud
from rehearsal.operator.cdk import Cdk
from rehearsal.preparation import Road, zones
from rehearsal.steps.forbidden.scene import OTHER_ACCOUNT
from rehearsal.steps.training import launch

OTHER_REGION = "eu-west-1"
# What the deployment elsewhere is made without: it has no prep instance, and keys of its own.
ONLY_HERE = ("key", "work_snapshot", "dataset_snapshot", "prep_zone")


def settings_elsewhere(road: Road) -> dict[str, str]:
    return {name: value for name, value in road.settings.items() if name not in ONLY_HERE}


def another_region(road: Road) -> None:
    """`prep.owner copy` there; then the stacks without Prep, and an instance with the data mounted."""
    there = replace(road.cloud, region=OTHER_REGION)
    with road.narrator.step(f"prep.owner copy --to {OTHER_REGION}"):
        copied = owner(road, road.cloud, "copy", "--to", OTHER_REGION)
        road.narrator.note(copied["snapshot"])
    _mount(road, there, "another Region")


def another_account(road: Road) -> None:
    """`prep.owner share`, once the key's policy lets the account use it; there, a copy and the stacks."""
    there = road.cloud.as_role(f"arn:aws:iam::{OTHER_ACCOUNT}:role/operator", "operator")
    with road.narrator.step(f"prep.owner share --account {OTHER_ACCOUNT}"):
        wanted = _statements_wanted(road)
        _allow(road, wanted)
        shared = owner(road, road.cloud, "share", "--account", OTHER_ACCOUNT)
        road.narrator.note(shared["snapshot"])
    with road.narrator.step(f"prep.owner copy, in account {OTHER_ACCOUNT}"):
        words = ["--snapshot", shared["snapshot"], "--to", there.region, "--manifest", shared["manifest"]]
        copied = owner(road, there, "copy", *words)
        road.narrator.note(copied["snapshot"])
    _mount(road, there, "another account")


def owner(road: Road, cloud: Cloud, command: str, *words: str) -> dict[str, Any]:
    """The result of one of the owner's commands, with credentials of this account and Region.

    Raises RehearsalError with the command's own message.
    """
    done = _run(road, cloud, command, *words)
    if done.returncode != 0:
        raise RehearsalError(
            f"prep {command} failed: {done.stderr.splitlines()[-1]}", done.stderr.splitlines()
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _run(road: Road, cloud: Cloud, command: str, *words: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "prep.owner", command, "--dataset", road.name, "--json", "--no-progress"]
    environment = cloud.environment(Path("/nonexistent"))
    return subprocess.run(
        [*program, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=environment,
        timeout=120,
    )


def _statements_wanted(road: Road) -> list[dict[str, Any]]:
    """What the refusal of `prep.owner share` tells to add to the policy of the snapshot's key."""
    refused = _run(road, road.cloud, "share", "--account", OTHER_ACCOUNT)
    _, found, text = refused.stderr.rpartition("then run again: ")
    if refused.returncode == 0 or not found:
        why = "prep.owner share: did not ask for the key's policy to be changed"
        raise RehearsalError(why, refused.stderr.splitlines()[-5:])
    statements: list[dict[str, Any]] = json.loads(text)
    return statements


def _allow(road: Road, statements: list[dict[str, Any]]) -> None:
    kms = road.cloud.client("kms")
    snapshot = road.cloud.client("ec2").describe_snapshots(SnapshotIds=[road.subject.published()])
    key = snapshot["Snapshots"][0]["KmsKeyId"]
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"] += statements
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def _mount(road: Road, cloud: Cloud, where: str) -> None:
    """Deploys Dataset and Training there, launches an instance, and removes all that again."""
    with _deployed(road, cloud, where) as there:
        gpus = launch(there)
        findings.own_volume(there.subject, gpus[0], road.narrator)
        cloud.client("ec2").terminate_instances(InstanceIds=gpus)
    leftovers.nothing_else(cloud, road.name, there.before, road.narrator)


@contextmanager
def _deployed(road: Road, cloud: Cloud, where: str) -> Iterator[Road]:
    settings = settings_elsewhere(road) | {"region": cloud.region, "account": cloud.account}
    before = leftovers.listing(cloud)
    with tempfile.TemporaryDirectory(prefix="rehearsal-cdk-") as home:
        folder = road.cdk.folder / f"{cloud.account}-{cloud.region}"
        cdk = Cdk(folder, cloud.environment(Path(home)), road.narrator, zones(cloud))
        wishes = replace(road.wishes, instances=(1,))
        there = replace(road, cloud=cloud, cdk=cdk, settings=settings, wishes=wishes, before=before)
        stacks = ("Dataset", "Training")
        with road.narrator.step(f"cdk bootstrap and deploy Dataset Training, in {where}"):
            cdk.synthesize(settings)
            cdk.bootstrap(cloud.account, cloud.region)
            cdk.deploy(*stacks)
            road.narrator.note("")
        yield there
        with road.narrator.step(f"cdk destroy, in {where}"):
            cdk.destroy(*stacks)
            road.narrator.note("")
