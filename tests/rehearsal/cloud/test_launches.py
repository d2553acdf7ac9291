"""RunInstances: what a caller must be allowed, by a launch template and by the request."""

from typing import Any

import pytest

from rehearsal.cloud.call import Call
from rehearsal.cloud.judge import Check
from rehearsal.cloud.launches import Template, run_instances

EC2 = "arn:aws:ec2:us-east-1:123456789012"
DATA: dict[str, Any] = {
    "ImageId": "resolve:ssm:/aws/service/image",
    "InstanceType": "m5.large",
    "SecurityGroupIds": ["sg-1"],
    "IamInstanceProfile": {"Arn": "arn:profile"},
    "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": True}}],
    "TagSpecifications": [
        {"ResourceType": "instance", "Tags": [{"Key": "dataset", "Value": "sample"}]},
        {"ResourceType": "volume", "Tags": [{"Key": "dataset", "Value": "sample"}]},
    ],
}
RAY = {  # as Ray's autoscaler asks
    "LaunchTemplate.LaunchTemplateId": "lt-1",
    "LaunchTemplate.Version": "1",
    "MinCount": "1",
    "MaxCount": "2",
    "SubnetId": "subnet-1",
    "TagSpecification.1.ResourceType": "instance",
    "TagSpecification.1.Tag.1.Key": "ray-cluster-name",
    "TagSpecification.1.Tag.1.Value": "sample",
}


class Account:
    """An account with one launch template, whose instances' role is "worker"."""

    account_id = "123456789012"

    def __init__(self, **more: Any) -> None:
        self._data = DATA | more

    def resource_context(self, resource_id: str) -> dict[str, str]:
        return {"aws:ResourceTag/id": resource_id}

    def launch_template(self, name_or_id: str, version: str) -> Template | None:
        return Template("lt-1", self._data) if (name_or_id, version) == ("lt-1", "1") else None

    def profile_role(self, name_or_arn: str) -> str:
        return "arn:role/worker" if name_or_arn == "arn:profile" else ""

    def own_key(self, name: str | None) -> str:
        return f"arn:key/{name}" if name else ""


def found(params: dict[str, str], **more: Any) -> dict[tuple[str, str], Check]:
    checks = run_instances(Call("ec2", "RunInstances", "us-east-1", params), Account(**more))
    return {(check.action, check.resource): check for check in checks}


def test_every_resource_of_a_launch_from_a_template() -> None:
    assert set(found(RAY)) == {
        ("ec2:RunInstances", f"{EC2}:instance/*"),
        ("ec2:RunInstances", f"{EC2}:volume/*"),
        ("ec2:RunInstances", f"{EC2}:network-interface/*"),
        ("ec2:RunInstances", f"{EC2}:subnet/subnet-1"),
        ("ec2:RunInstances", f"{EC2}:security-group/sg-1"),
        ("ec2:RunInstances", f"{EC2}:launch-template/lt-1"),
        ("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/*"),
        ("ec2:CreateTags", f"{EC2}:instance/*"),
        ("ec2:CreateTags", f"{EC2}:volume/*"),
        ("ssm:GetParameters", "arn:aws:ssm:us-east-1::parameter/aws/service/image"),
        ("iam:PassRole", "arn:role/worker"),
    }


def test_condition_keys_of_what_is_made() -> None:
    checks = found(RAY)
    instance = checks["ec2:RunInstances", f"{EC2}:instance/*"].context
    assert instance["ec2:LaunchTemplate"] == f"{EC2}:launch-template/lt-1"
    assert instance["ec2:InstanceType"] == "m5.large"
    assert instance["aws:RequestTag/dataset"] == "sample"
    assert instance["aws:RequestTag/ray-cluster-name"] == "sample"
    assert instance["aws:TagKeys"] == ["dataset", "ray-cluster-name"]
    volume = checks["ec2:RunInstances", f"{EC2}:volume/*"].context
    assert (volume["ec2:VolumeSize"], volume["ec2:Encrypted"]) == ("8", "true")
    assert checks["ec2:CreateTags", f"{EC2}:volume/*"].context["ec2:CreateAction"] == "RunInstances"
    assert checks["iam:PassRole", "arn:role/worker"].context == {"iam:PassedToService": "ec2.amazonaws.com"}


@pytest.mark.parametrize(
    ("asked", "kind", "resource"),
    [
        ({}, "instance", "*"),
        ({"InstanceType": "p4d.24xlarge"}, "instance", "*"),
        ({"SecurityGroupId.1": "sg-2"}, "security-group", "sg-2"),
        ({"BlockDeviceMapping.1.Ebs.VolumeSize": "9"}, "volume", "*"),
    ],
)
def test_what_the_request_overrides_is_not_the_templates(
    asked: dict[str, str], kind: str, resource: str
) -> None:
    check = found(RAY | asked)["ec2:RunInstances", f"{EC2}:{kind}/{resource}"]
    assert check.context["ec2:IsLaunchTemplateResource"] == ("false" if asked else "true")


def test_the_subnet_of_the_request_is_not_the_templates() -> None:
    check = found(RAY)["ec2:RunInstances", f"{EC2}:subnet/subnet-1"]
    assert check.context["ec2:IsLaunchTemplateResource"] == "false"


def test_an_own_key_of_the_root_volume() -> None:
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"KmsKeyId": "k"}}
    checks = found(RAY, BlockDeviceMappings=[disk])
    assert {action for action, resource in checks if resource == "arn:key/k"} == {
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    }


def test_a_launch_without_a_template() -> None:
    checks = found({"ImageId": "ami-1", "InstanceType": "m5.large"})
    image = checks["ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-1"]
    assert "ec2:LaunchTemplate" not in image.context
    assert not [action for action, _ in checks if action in ("iam:PassRole", "ec2:CreateTags")]
