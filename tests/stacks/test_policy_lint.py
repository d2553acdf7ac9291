"""The linter of policies finds real mistakes, and finds none in the templates."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stacks import policy_lint
from tests.stacks.conftest import REPOSITORY, Synthesis
from tests.stacks.intrinsics import Templates

EC2 = "arn:aws:ec2:us-east-1:123456789012"
VOLUMES, INSTANCES = f"{EC2}:volume/*", f"{EC2}:instance/*"


def found(action: str | list[str], resource: str | list[str], **condition: dict[str, str]) -> list[str]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    return list(policy_lint.check_statement(statement | {"Condition": condition}))


@pytest.mark.parametrize("name", ["defaults", "custom"])
def test_templates_have_no_findings(name: str, request: pytest.FixtureRequest) -> None:
    synthesis: Synthesis = request.getfixturevalue(name)
    assert len(list(Templates(synthesis.folder).statements())) > 15
    assert policy_lint.lint(synthesis.folder) == []


@pytest.mark.parametrize(
    ("action", "resource", "condition", "finding"),
    [
        ("ec2:AttachVolumes", VOLUMES, {}, "ec2:AttachVolumes: no such action"),
        ("ec3:AttachVolume", VOLUMES, {}, "ec3:AttachVolume: no such action"),
        ("ec2:Destroy*", VOLUMES, {}, "ec2:Destroy*: no such action"),
        (
            "ec2:CreateVolume",
            VOLUMES,
            {"StringEquals": {"aws:ResourceTag/dataset": "x"}},  # a volume has no tags before it is made
            "ec2:CreateVolume: has no condition key aws:ResourceTag/dataset on volume",
        ),
        (
            "ec2:DeleteVolume",
            VOLUMES,
            {"StringEquals": {"ec2:CreateAction": "CreateVolume"}},
            "ec2:DeleteVolume: has no condition key ec2:CreateAction on volume",
        ),
        (
            "ec2:AttachVolume",
            [VOLUMES, INSTANCES],
            {"NumericLessThan": {"ec2:VolumeSize": "9"}},
            "ec2:AttachVolume: has no condition key ec2:VolumeSize on instance",
        ),
        (
            "ec2:DescribeVolumes",
            "*",
            {"StringEquals": {"aws:ResourceTag/dataset": "x"}},
            "ec2:DescribeVolumes: has no condition key aws:ResourceTag/dataset",
        ),
        (
            "s3:GetObject",
            "arn:aws:s3:::bucket",
            {},
            "s3:GetObject: none of its resources (accesspointobject, object) is named",
        ),
        ("s3:ListBucket", "arn:aws:s3:::bucket/*", {}, "s3:ListBucket: none of its resources"),
        ("ec2:DescribeVolumes", VOLUMES, {}, "ec2:DescribeVolumes: none of its resources (* only"),
        (
            ["s3:GetObject", "ec2:DeleteVolume"],
            ["arn:aws:s3:::b/*", VOLUMES, INSTANCES],
            {},
            f"{INSTANCES}: a resource of none of the actions",
        ),
        ("ec2:DeleteVolume", VOLUMES, {"StringIs": {"aws:SourceIp": "x"}}, "StringIs: no such operator"),
    ],
)
def test_mistake_is_found(
    action: str | list[str], resource: str | list[str], condition: dict[str, dict[str, str]], finding: str
) -> None:
    assert any(line.startswith(finding) for line in found(action, resource, **condition))


@pytest.mark.parametrize(
    ("action", "resource", "condition"),
    [
        ("ec2:CopyVolumes", VOLUMES, {"StringEquals": {"aws:RequestTag/dataset": "x"}}),  # of October 2025
        ("ec2:AttachVolume", INSTANCES, {"ArnEquals": {"ec2:SourceInstanceARN": "x"}}),
        ("ec2:DescribeVolumes", "*", {"StringEquals": {"ec2:Region": "us-east-1"}}),
        ("s3:*", ["arn:aws:s3:::b", "arn:aws:s3:::b/*"], {"Bool": {"aws:SecureTransport": "false"}}),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:1:secret:a/b-??????", {}),
        ("ssm:GetParameter", "arn:aws:ssm:us-east-1:1:parameter/a/b", {}),
    ],
)
def test_right_statement_has_no_finding(
    action: str, resource: str | list[str], condition: dict[str, dict[str, str]]
) -> None:
    assert found(action, resource, **condition) == []


def test_command_names_the_place(defaults: Synthesis, tmp_path: Path) -> None:
    shutil.copytree(defaults.folder, tmp_path / "templates")
    path = tmp_path / "templates" / "Training.template.json"
    path.write_text(path.read_text().replace('"ec2:DetachVolume"', '"ec2:RemoveVolume"'))
    command = [sys.executable, "-m", "tests.stacks.policy_lint", str(path.parent)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 1
    (role,) = (
        name
        for name, resource in json.loads(path.read_text())["Resources"].items()
        if resource["Type"] == "AWS::IAM::Policy"
    )
    assert f"Training/{role}: ec2:RemoveVolume: no such action" in done.stderr.splitlines()


def test_exception_needs_its_finding(defaults: Synthesis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(policy_lint.EXCEPTIONS, "Prep/X: no more", "a reason")
    assert policy_lint.lint(defaults.folder) == ["an exception that is none any more: Prep/X: no more"]


def test_function_without_a_sample_is_an_error(tmp_path: Path) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Fn::FindInMap": ["a", "b", "c"]}}
    policy = {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": {"Statement": [statement]}}}
    (tmp_path / "A.template.json").write_text(json.dumps({"Resources": {"P": policy}}))
    with pytest.raises(ValueError, match="no sample for"):
        policy_lint.lint(tmp_path)
