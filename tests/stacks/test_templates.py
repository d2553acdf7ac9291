"""What matters in the templates."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.conftest import Synthesis, synthesize

USER_DATA_LIMIT = 16 * 1024  # bytes, before base64

# Whose resources can't be named: describing in EC2, and the channels of Session Manager.
ANYWHERE = re.compile(
    r"ec2:Describe\w+|ssm:UpdateInstanceInformation|ssmmessages:(Create|Open)(Control|Data)Channel"
)


@pytest.fixture(params=["defaults", "custom", "extras"])
def synthesis(request: pytest.FixtureRequest) -> Synthesis:
    made: Synthesis = request.getfixturevalue(request.param)
    return made


def text(value: Any) -> str:
    """A template's value as text, with a reference as <name>."""
    match value:
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(text(part) for part in parts)
        case {"Fn::Sub": pattern}:
            return re.sub(r"\$\{([\w:]+)\}", r"<\1>", pattern)
        case {"Ref": name} | {"Fn::ImportValue": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
    return str(value)


def user_data(synthesis: Synthesis, stack: str) -> str:
    if stack == "Prep":
        (value,) = synthesis.only("AWS::EC2::Instance")["Properties"]["UserData"].values()
    else:
        (value,) = launch_template(synthesis)["UserData"].values()
    return text(value)


def launch_template(synthesis: Synthesis) -> dict[str, Any]:
    data: dict[str, Any] = synthesis.only("AWS::EC2::LaunchTemplate")["Properties"]["LaunchTemplateData"]
    return data


def statements(synthesis: Synthesis, stack: str) -> Iterator[tuple[list[str], list[str], dict[str, Any]]]:
    """Actions, resources and conditions of each statement in the stack's role."""
    document = synthesis.only("AWS::IAM::Policy", stack)["Properties"]["PolicyDocument"]
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        actions, resources = statement["Action"], statement["Resource"]
        yield (
            _list(actions),
            [text(r) for r in _list(resources)],
            statement.get("Condition", {}),
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_cfn_lint_finds_nothing(synthesis: Synthesis) -> None:
    templates = sorted(str(path) for path in synthesis.folder.glob("*.template.json"))
    assert len(templates) == 3
    # W3010 advises against names of zones; those of `extras` are the account's.
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3010", "--", *templates]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (result.returncode, result.stdout) == (0, "")


def test_resources_are_plain_ones(synthesis: Synthesis) -> None:
    kinds = {resource["Type"] for resource in synthesis.resources().values()}
    assert not {kind for kind in kinds if "Lambda" in kind or "Custom" in kind or "NatGateway" in kind}
    assert {"AWS::S3::Bucket", "AWS::EC2::Instance", "AWS::EC2::LaunchTemplate"} <= kinds


def test_nothing_comes_in(synthesis: Synthesis) -> None:
    group = synthesis.only("AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group["Properties"]
    assert not synthesis.resources("AWS::EC2::SecurityGroupIngress")


def test_the_bucket(synthesis: Synthesis) -> None:
    bucket = synthesis.only("AWS::S3::Bucket")
    properties = bucket["Properties"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["BucketEncryption"]
    assert properties["VersioningConfiguration"]["Status"] == "Enabled"
    rule, of_status, of_shuffle = properties["LifecycleConfiguration"]["Rules"]
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] > 7
    assert of_status["Prefix"] == f"{synthesis.name}/status.json"
    assert of_status["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1
    assert of_shuffle["Prefix"] == f"{synthesis.name}/packed/.packing/"
    assert of_shuffle["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1
    assert of_shuffle["ExpiredObjectDeleteMarker"] is True
    denied = synthesis.only("AWS::S3::BucketPolicy")["Properties"]["PolicyDocument"]["Statement"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [
        statement["Condition"] for statement in denied if statement["Effect"] == "Deny"
    ]


def test_s3_is_reached_within_the_network(synthesis: Synthesis) -> None:
    endpoint = synthesis.only("AWS::EC2::VPCEndpoint")["Properties"]
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert len(endpoint["RouteTableIds"]) == len(synthesis.resources("AWS::EC2::Subnet"))


def test_volumes_outlive_their_stack_and_instance(synthesis: Synthesis) -> None:
    volumes = synthesis.resources("AWS::EC2::Volume")
    instance = synthesis.only("AWS::EC2::Instance")["Properties"]
    assert len(volumes) == 2
    for volume in volumes.values():
        assert volume["DeletionPolicy"] == volume["UpdateReplacePolicy"] == "Snapshot"
        assert volume["Properties"]["Encrypted"] is True
        assert volume["Properties"]["AvailabilityZone"] == instance["AvailabilityZone"]
    assert not synthesis.resources("AWS::EC2::VolumeAttachment")


def test_volumes_are_as_wished(defaults: Synthesis, custom: Synthesis) -> None:
    def wishes(synthesis: Synthesis) -> dict[str, tuple[int, str, int | None]]:
        volumes = [v["Properties"] for v in synthesis.resources("AWS::EC2::Volume").values()]
        roles = [{tag["Key"]: tag["Value"] for tag in v["Tags"]}["dataset-role"] for v in volumes]
        return {
            role: (v["Size"], v["VolumeType"], v.get("Iops")) for role, v in zip(roles, volumes, strict=True)
        }

    assert wishes(defaults) == {"work": (1000, "sc1", None), "packed": (200, "gp3", None)}
    assert wishes(custom) == {"work": (500, "st1", None), "packed": (100, "io2", 5000)}


def test_instances_are_closed_and_encrypted(synthesis: Synthesis) -> None:
    instance = synthesis.only("AWS::EC2::Instance")["Properties"]
    for machine in (instance, launch_template(synthesis)):
        assert machine["MetadataOptions"]["HttpTokens"] == "required"
        assert [device["Ebs"]["Encrypted"] for device in machine["BlockDeviceMappings"]] == [True]
        assert machine["IamInstanceProfile"]
        assert "KeyName" not in machine


def test_the_signal_covers_the_boot(synthesis: Synthesis) -> None:
    instance = synthesis.only("AWS::EC2::Instance")
    assert instance["CreationPolicy"] == {"ResourceSignal": {"Timeout": "PT20M"}}
    assert any("Policy" in name for name in instance["DependsOn"])


def test_a_new_setting_replaces_the_instance_and_nothing_else(defaults: Synthesis, custom: Synthesis) -> None:
    before, after = (set(s.resources(stack="Prep")) for s in (defaults, custom))
    assert len(before - after) == len(after - before) == 1
    (replaced,) = before - after
    assert defaults.resources(stack="Prep")[replaced]["Type"] == "AWS::EC2::Instance"


def test_the_launch_template_works_in_any_zone(synthesis: Synthesis) -> None:
    template = launch_template(synthesis)
    assert not {"NetworkInterfaces", "Placement", "SubnetId"} & set(template)
    assert template["SecurityGroupIds"]
    assert template["ImageId"] == (
        "resolve:ssm:/aws/service/deeplearning/ami/x86_64/"
        "base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
    )


def test_burstable_machines_are_not_held_back(defaults: Synthesis, custom: Synthesis) -> None:
    assert defaults.only("AWS::EC2::Instance")["Properties"]["CreditSpecification"] == {
        "CPUCredits": "unlimited"
    }
    assert "CreditSpecification" not in custom.only("AWS::EC2::Instance")["Properties"]


def test_the_cost_tag_is_on_everything_that_costs(synthesis: Synthesis) -> None:
    tag = {"Key": "dataset", "Value": synthesis.name}
    for kind in ("AWS::S3::Bucket", "AWS::EC2::Volume", "AWS::EC2::Instance", "AWS::EC2::VPC"):
        for resource in synthesis.resources(kind).values():
            assert tag in resource["Properties"]["Tags"], kind
    for specification in launch_template(synthesis)["TagSpecifications"]:
        assert tag in specification["Tags"]


@pytest.mark.parametrize("stack", ["Prep", "Training"])
def test_wildcards_are_conditioned(synthesis: Synthesis, stack: str) -> None:
    for actions, resources, conditions in statements(synthesis, stack):
        assert not [action for action in actions if "*" in action]
        for resource in resources:
            if resource == "*":
                assert [action for action in actions if not ANYWHERE.fullmatch(action)] == []
            elif resource.startswith("arn") and resource.endswith("/*"):
                assert conditions, f"{actions} on {resource}"


@pytest.mark.parametrize("stack", ["Prep", "Training"])
def test_nothing_can_be_destroyed(synthesis: Synthesis, stack: str) -> None:
    for actions, _, conditions in statements(synthesis, stack):
        for action in actions:
            verb = action.split(":")[1]
            if verb.startswith(("Delete", "Terminate", "Detach", "Stop")):
                assert action in ("ec2:DeleteVolume", "ec2:DetachVolume")
                assert "training" in conditions["StringEquals"].values() or (
                    conditions["StringEquals"]["aws:ResourceTag/dataset-role"] == "restored"
                )


def test_tags_are_written_only_on_what_is_being_made_or_as_outcome(synthesis: Synthesis) -> None:
    tagging = [
        (resource.rsplit(":", 1)[-1], conditions)
        for stack in ("Prep", "Training")
        for actions, resources, conditions in statements(synthesis, stack)
        if "ec2:CreateTags" in actions
        for resource in resources
    ]
    assert {kind for kind, _ in tagging} == {"snapshot/*", "volume/*", "instance/*"}
    for kind, conditions in tagging:
        if kind == "instance/*":
            assert conditions["ForAllValues:StringEquals"] == {
                "aws:TagKeys": ["dataset-state", "dataset-reason"]
            }
            assert conditions["StringEquals"]["aws:ResourceTag/dataset-role"] == "training"
        else:
            ((operator, keys),) = conditions.items()
            assert (operator, list(keys)) == ("StringEquals", ["ec2:CreateAction"])
            made = {"snapshot/*": {"CreateSnapshot"}, "volume/*": {"CreateVolume", "CopyVolumes"}}[kind]
            assert set(_list(keys["ec2:CreateAction"])) <= made


def test_the_prep_role_attaches_its_volumes_and_snapshots_one(defaults: Synthesis, custom: Synthesis) -> None:
    for synthesis, snapshot_of in ((defaults, "<Packed"), (custom, "<Work")):
        named = {
            wanted: {
                resource.rsplit("/", 1)[-1]
                for actions, resources, conditions in statements(synthesis, "Prep")
                if wanted in actions and not conditions
                for resource in resources
            }
            for wanted in ("ec2:AttachVolume", "ec2:CreateSnapshot")
        }
        volumes = {f"<{name}>" for name in synthesis.resources("AWS::EC2::Volume", "Prep")}
        assert named["ec2:AttachVolume"] == volumes
        assert named["ec2:CreateSnapshot"] == {name for name in volumes if name.startswith(snapshot_of)}


def test_the_prep_instance_attaches_only_to_itself(synthesis: Synthesis) -> None:
    (conditions,) = (
        conditions
        for actions, resources, conditions in statements(synthesis, "Prep")
        if "ec2:AttachVolume" in actions and conditions
    )
    itself = text(conditions["ArnLike"]["ec2:SourceInstanceARN"])
    assert itself.endswith(":instance/${ec2:InstanceID}")


def test_the_prep_role_reads_one_secret_and_writes_one_parameter(
    defaults: Synthesis, custom: Synthesis
) -> None:
    for synthesis, secret, parameter in (
        (defaults, "secret:ilsvrc2012/credentials-??????", "parameter/ilsvrc2012/snapshot-id"),
        (custom, "secret:site/login-??????", "parameter/tiny/snapshot-id"),
    ):
        granted = {action: r for actions, r, _ in statements(synthesis, "Prep") for action in actions}
        (resource,) = granted["secretsmanager:GetSecretValue"]
        assert resource.endswith(f":{secret}")
        (resource,) = granted["ssm:PutParameter"]
        assert resource.endswith(f":{parameter}")


@pytest.mark.parametrize("stack", ["Prep", "Training"])
def test_user_data(synthesis: Synthesis, stack: str) -> None:
    script = user_data(synthesis, stack)
    # What a reference stands for is at most 63 characters (a bucket's name): as many x as that for each.
    longest = re.sub(r"<[\w:.-]+>", "x" * 63, script)
    assert len(longest.encode()) < USER_DATA_LIMIT
    # cloud-init takes what begins with "#!" for a script. Its command `cloud-init schema` can't check one:
    # docs/aws-facts.md
    assert script.isascii()
    assert "\r" not in script
    assert "MIME-Version" not in script
    checked = subprocess.run(["bash", "-n"], input=longest, capture_output=True, text=True, check=False)  # noqa: S607
    assert (checked.returncode, checked.stderr) == (0, "")
    head = script.splitlines()
    assert head[:2] == ["#!/usr/bin/env bash", "set -euo pipefail"]
    exports = list(takewhile(lambda line: line.startswith("export "), head[2:]))
    assert len(exports) > 10
    # After the settings, code only: comments and indentation would count for the limit. The files that
    # prep.sh writes stay as they are.
    assert stack == "Prep" or not [line for line in head if line.startswith(("#", " "))][1:]


@pytest.mark.parametrize("stack", ["Prep", "Training"])
def test_user_data_holds_settings(custom: Synthesis, stack: str) -> None:
    script = user_data(custom, stack)
    work = next(name for name in custom.resources("AWS::EC2::Volume", "Prep") if name.startswith("Work"))
    expected = {
        "Prep": {
            "PREP_DATASET": "/opt/dataset-prep/tiny.toml",
            "PREP_SOURCE": "https://mirror.example.org/archives",
            "PREP_SECRET": "site/login",
            "PREP_RESIZE": "256",
            "PREP_QUALITY": "90",
            "PREP_SNAPSHOT_OF": "work",
            "PREP_VOLUME": f"'<{work}>'",
            "AWS_DEFAULT_REGION": "eu-west-1",
        },
        "Training": {
            "DATASETS": "'tiny pets'",
            "SNAPSHOT_PARAMETER": "'/*/snapshot-id'",
            "MOUNT_POINT": "/mnt/images",
            "RESTORE": "auto",
            "INSTANCE_ARNS": "'arn:aws:ec2:eu-west-1:<AWS::AccountId>:instance/'",
            "VOLUME_TYPE": "gp3",
            "VOLUME_IOPS": "16000",
            "VOLUME_THROUGHPUT": "1000",
            "INITIALIZATION_RATE": "300",
        },
    }[stack]
    exports = dict(re.findall(r"^export (\w+)=(.*)$", script, re.MULTILINE))
    assert {name: exports[name] for name in expected} == expected


def test_no_template_asks_for_a_secrets_value(synthesis: Synthesis) -> None:
    for stack in ("Dataset", "Prep", "Training"):
        template = synthesis.template(stack)
        assert "{{resolve:secretsmanager" not in json.dumps(template)
        assert not [p for p in template["Parameters"].values() if p.get("NoEcho")]


def test_outputs_are_described(synthesis: Synthesis) -> None:
    outputs = {
        name: output
        for stack in ("Dataset", "Prep", "Training")
        for name, output in synthesis.template(stack)["Outputs"].items()
        if "Export" not in output
    }
    assert set(outputs) - {"KeyArn"} == {
        *("BucketName", "SubnetIds", "SecurityGroupId"),
        *(
            "InstanceId",
            "WorkVolumeId",
            "PackedVolumeId",
            "SnapshotParameter",
            "LaunchTemplateId",
            "Datasets",
        ),
    }
    assert ("KeyArn" in outputs) == bool(synthesis.resources("AWS::KMS::Key"))
    assert all(output["Description"] for output in outputs.values())


@pytest.mark.parametrize(
    ("source", "resource"),
    [
        ("s3://mirror-bucket/sets/imagenet/", "mirror-bucket/sets/imagenet/*"),
        ("s3://mirror-bucket", "mirror-bucket/*"),
    ],
)
def test_source_in_s3_may_be_read_and_nothing_else(tmp_path: Path, source: str, resource: str) -> None:
    made = synthesize(tmp_path, {"source": source})
    policies = made.resources("AWS::IAM::Policy", "Prep").values()
    granted = [
        (statement["Action"], text(named))
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for named in (
            statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        )
        if "mirror-bucket" in text(named)
    ]
    assert granted == [("s3:GetObject", f"arn:<AWS::Partition>:s3:::{resource}")]
    assert f"export PREP_SOURCE={source}" in user_data(made, "Prep")
