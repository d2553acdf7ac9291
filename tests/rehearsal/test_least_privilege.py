"""One permission taken away at a time: what no call needs is found, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal.least_privilege import needs, permissions, plain, proven, roles, superfluous, without

ROLE = "sample-prep-Role1ABCC5F0-XYZ"
WORK, PACKED = (f"arn:aws:ec2:us-east-1:123456789012:volume/vol-{digit * 17}" for digit in "12")


def call(action: str, resource: str = "*", **entry: Any) -> dict[str, Any]:
    context = {"aws:ResourceTag/dataset-role": "work" if resource == WORK else "packed"}
    checks = [{"action": action, "resource": resource, "context": context if "volume" in resource else {}}]
    return {"role": ROLE, "call": action, "allowed": True, "trial": False, "checks": checks, **entry}


def write(folder: Path, statements: list[dict[str, Any]], calls: list[dict[str, Any]]) -> Path:
    policies = {"role": ROLE, "policies": [{"Statement": statements}]}
    (folder / "policies.jsonl").write_text(json.dumps(policies) + "\n")
    (folder / "calls.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in calls))
    return folder


def allow(actions: Any, resources: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def test_every_permission_with_its_first_call(tmp_path: Path) -> None:
    statements = [allow(["ec2:AttachVolume", "ec2:CreateSnapshot"], [WORK, PACKED])]
    calls = [
        call("ec2:AttachVolume", WORK),
        call("ec2:AttachVolume", PACKED),
        call("ec2:CreateSnapshot", PACKED),
    ]
    found = needs(write(tmp_path, statements, calls))
    place = "arn:aws:ec2:REGION:ACCOUNT:volume/"
    assert found == {
        ("prep", "ec2:AttachVolume", f"{place}WORK", ""): "ec2:AttachVolume",
        ("prep", "ec2:AttachVolume", f"{place}PACKED", ""): "ec2:AttachVolume",
        ("prep", "ec2:CreateSnapshot", f"{place}WORK", ""): "",
        ("prep", "ec2:CreateSnapshot", f"{place}PACKED", ""): "ec2:CreateSnapshot",
    }
    assert superfluous(tmp_path) == [f"prep ec2:CreateSnapshot {place}WORK"]


@pytest.mark.parametrize("entry", [{"allowed": False}, {"trial": True}])
def test_refused_calls_and_trials_need_nothing(tmp_path: Path, entry: dict[str, bool]) -> None:
    logs = write(tmp_path, [allow("ssm:PutParameter")], [call("ssm:PutParameter", **entry)])
    assert superfluous(logs) == ["prep ssm:PutParameter *"]


def test_what_two_statements_allow_is_superfluous_in_each(tmp_path: Path) -> None:
    statements = [allow("ssm:PutParameter", ["a", "*"])]
    assert len(superfluous(write(tmp_path, statements, [call("ssm:PutParameter", "a")]))) == 2


def test_a_rehearsal_with_a_cluster_proves_the_roles_of_the_cluster(tmp_path: Path) -> None:
    logs = write(tmp_path, [allow("ssm:PutParameter")], [])
    assert proven(logs) == ("prep", "training")
    others = {
        "sample-cluster-HeadRole77A2-XYZ": [allow("ec2:RunInstances"), allow("s3:GetObject")],
        "sample-cluster-WorkerRole12-XYZ": [allow("s3:GetObject")],
    }
    with (logs / "policies.jsonl").open("a") as file:
        for role, statements in others.items():
            file.write(json.dumps({"role": role, "policies": [{"Statement": statements}]}) + "\n")
    launch = call("ec2:RunInstances") | {"role": "sample-cluster-HeadRole77A2-XYZ"}
    with (logs / "calls.jsonl").open("a") as file:
        file.write(json.dumps(launch) + "\n")
    assert proven(logs) == ("head", "worker")
    assert needs(logs) == {
        ("head", "ec2:RunInstances", "*", ""): "ec2:RunInstances",
        ("head", "s3:GetObject", "*", ""): "",
        ("worker", "s3:GetObject", "*", ""): "",
    }


def test_only_one_permission_is_taken_away(tmp_path: Path) -> None:
    statements = [allow(["s3:GetObject", "s3:PutObject"], ["a", "b"]), allow("s3:ListBucket")]
    (role,) = roles(write(tmp_path, statements, []))
    first = next(iter(permissions(role)))
    (policy,) = without(role.policies, first)
    kept = {(str(each["Action"]), str(each["Resource"])) for each in policy["Statement"]}
    assert (first.action, first.resource) == ("s3:GetObject", "a")
    assert kept == {
        ("s3:ListBucket", "*"),
        ("['s3:PutObject']", "['a', 'b']"),
        ("s3:GetObject", "['b']"),
    }


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (
            "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-0123456789abcdef0",
            "arn:aws:ec2:REGION:ACCOUNT:subnet/subnet-…",
        ),
        (
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:sample-cluster-TokenCB33349F-ZAS27334UAMF-aSucQM",
            "arn:aws:secretsmanager:REGION:ACCOUNT:secret:sample-cluster-Token-…",
        ),
        (
            "arn:aws:ssm:eu-west-1:210987654321:parameter/sample/x",
            "arn:aws:ssm:REGION:ACCOUNT:parameter/sample/x",
        ),
        (
            "arn:aws:s3:::sample-dataset-backupda3807ac-lqm2/sample/*",
            "arn:aws:s3:::sample-dataset-backup-…/sample/*",
        ),
        (f"arn:aws:s3:::assets/{'a' * 64}.zip", "arn:aws:s3:::assets/….zip"),
    ],
)
def test_plain(resource: str, expected: str) -> None:
    assert plain(resource) == expected
