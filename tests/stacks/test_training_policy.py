"""What the role of a training instance allows, by the rehearsal's judge: itself and its own volumes."""

from collections.abc import Mapping
from typing import Any

import pytest

from rehearsal.cloud.call import Call
from rehearsal.cloud.calls import checks
from rehearsal.cloud.judge import Check, allowed
from stacks import policies

EC2 = "arn:aws:ec2:us-east-1:123456789012"
ARNS = policies.Arns(EC2, "arn:aws:ec2:us-east-1::snapshot", "arn:parameter")
MINE, OTHER = "i-0mine", "i-0other"
OWN = {"dataset": "tiny", "dataset-role": "restored", "dataset-instance": f"{EC2}:instance/{MINE}"}
FOREIGN = OWN | {"dataset-instance": f"{EC2}:instance/{OTHER}"}
TRAINING = {"dataset": "tiny", "dataset-role": "training"}
TAGS: Mapping[str, Mapping[str, str]] = {
    MINE: TRAINING,
    OTHER: TRAINING,
    "vol-own": OWN,
    "vol-foreign": FOREIGN,
    "vol-prep": {"dataset": "tiny", "dataset-role": "packed"},
    "vol-odd": {},
    "snap-tiny": {"dataset": "tiny"},
    "snap-pets": {"dataset": "pets"},
    "snap-cats": {"dataset": "cats"},
}


class Account:
    """An account with the resources of TAGS."""

    account_id = "123456789012"

    def resource_context(self, resource_id: str) -> dict[str, str]:
        context = {f"aws:ResourceTag/{key}": value for key, value in TAGS[resource_id].items()}
        context |= {f"ec2:ResourceTag/{key}": value for key, value in TAGS[resource_id].items()}
        return context | ({"ec2:InstanceID": resource_id} if resource_id.startswith("i-") else {})

    def secret_arn(self, name_or_arn: str) -> str:
        return name_or_arn

    def stack_arn(self, name_or_arn: str) -> str:
        return name_or_arn

    def ec2_key(self, resource_id: str) -> str:  # noqa: ARG002 - nothing is encrypted with a key of one's own
        return ""

    def volumes_at(self, instance_id: str, devices: list[str]) -> list[str]:
        return ["vol-own" if instance_id == MINE else "vol-foreign" for _ in devices]


def may(action: str, *, copies: bool = True, **params: str) -> bool:
    """Whether the instance MINE may make this call."""
    parameters = ["arn:aws:ssm:us-east-1:123456789012:parameter/tiny/snapshot-id"]
    grants = policies.training(ARNS, "tiny", ["tiny", "pets"], parameters, copies=copies)
    statements = [
        {
            "Effect": "Allow",
            "Action": list(grant.actions),
            "Resource": list(grant.resources),
            "Condition": grant.conditions or {},
        }
        for grant in grants
    ]
    caller = {"ec2:SourceInstanceARN": f"{EC2}:instance/{MINE}"}
    service, _, name = action.partition(":")
    found = checks(
        Call(service, name, "us-east-1", {key.replace("_", "."): v for key, v in params.items()}), Account()
    )
    whole = [Check(each.action, each.resource, {**each.context, **caller}) for each in found]
    return all(allowed([{"Statement": statements}], each) for each in whole)


def new(**tags: str) -> dict[str, str]:
    """The parameters of a call that makes a volume with these tags, given as dataset_role and so on."""
    params = {"TagSpecification_1_ResourceType": "volume", "VolumeType": "gp3"}
    for number, (key, value) in enumerate(({k.replace("_", "-"): v for k, v in tags.items()}).items(), 1):
        params |= {
            f"TagSpecification_1_Tag_{number}_Key": key,
            f"TagSpecification_1_Tag_{number}_Value": value,
        }
    return params


def owned(dataset: str = "tiny", role: str = "restored", instance: str = MINE) -> dict[str, str]:
    return new(dataset=dataset, dataset_role=role, dataset_instance=f"{EC2}:instance/{instance}")


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("ssm:GetParameter", {"Name": "/tiny/snapshot-id"}),
        ("ec2:DescribeVolumes", {}),
        ("ec2:DescribeVolumeStatus", {}),
        ("ec2:CreateVolume", {"SnapshotId": "snap-tiny"} | owned()),
        ("ec2:CreateVolume", {"SnapshotId": "snap-pets"} | owned("pets")),
        ("ec2:CopyVolumes", {"SourceVolumeId": "vol-foreign"} | owned()),
        ("ec2:AttachVolume", {"VolumeId": "vol-own", "InstanceId": MINE}),
        ("ec2:DetachVolume", {"VolumeId": "vol-own", "InstanceId": MINE}),
        ("ec2:DeleteVolume", {"VolumeId": "vol-own"}),
        ("ec2:ModifyInstanceAttribute", {"InstanceId": MINE, "BlockDeviceMapping_1_DeviceName": "/dev/sdf"}),
        ("ec2:CreateTags", {"ResourceId_1": MINE, "Tag_1_Key": "dataset-state", "Tag_1_Value": "ready"}),
        ("ec2:CreateTags", {"ResourceId_1": MINE, "Tag_1_Key": "dataset-reason", "Tag_1_Value": "x"}),
    ],
)
def test_what_it_needs(action: str, params: dict[str, Any]) -> None:
    assert may(action, **params)


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("ssm:GetParameter", {"Name": "/cats/snapshot-id"}),
        ("ec2:CreateVolume", {"SnapshotId": "snap-cats"} | owned()),
        ("ec2:CreateVolume", {"SnapshotId": "snap-tiny"}),
        ("ec2:CreateVolume", {"SnapshotId": "snap-tiny"} | owned("cats")),
        ("ec2:CreateVolume", {"SnapshotId": "snap-tiny"} | owned(role="packed")),
        ("ec2:CreateVolume", {"SnapshotId": "snap-tiny"} | owned(instance=OTHER)),
        ("ec2:CopyVolumes", {"SourceVolumeId": "vol-prep"} | owned()),
        ("ec2:CopyVolumes", {"SourceVolumeId": "vol-odd"} | owned()),
        ("ec2:CopyVolumes", {"SourceVolumeId": "vol-foreign"} | owned(instance=OTHER)),
        ("ec2:CopyVolumes", {"SourceVolumeId": "vol-foreign"}),
        ("ec2:AttachVolume", {"VolumeId": "vol-own", "InstanceId": OTHER}),
        ("ec2:AttachVolume", {"VolumeId": "vol-foreign", "InstanceId": MINE}),
        ("ec2:AttachVolume", {"VolumeId": "vol-prep", "InstanceId": MINE}),
        ("ec2:DetachVolume", {"VolumeId": "vol-foreign", "InstanceId": OTHER}),
        ("ec2:DeleteVolume", {"VolumeId": "vol-foreign"}),
        ("ec2:DeleteVolume", {"VolumeId": "vol-prep"}),
        ("ec2:DeleteSnapshot", {"SnapshotId": "snap-tiny"}),
        ("ec2:ModifyInstanceAttribute", {"InstanceId": OTHER, "BlockDeviceMapping_1_DeviceName": "/dev/sdf"}),
        ("ec2:ModifyInstanceAttribute", {"InstanceId": MINE, "UserData_Value": "x"}),
        ("ec2:ModifyInstanceAttribute", {"InstanceId": MINE, "Attribute": "disableApiTermination"}),
        ("ec2:CreateTags", {"ResourceId_1": OTHER, "Tag_1_Key": "dataset-state", "Tag_1_Value": "ready"}),
        ("ec2:CreateTags", {"ResourceId_1": MINE, "Tag_1_Key": "dataset-role", "Tag_1_Value": "prep"}),
        (
            "ec2:CreateTags",
            {"ResourceId_1": "vol-foreign", "Tag_1_Key": "dataset-instance", "Tag_1_Value": "x"},
        ),
        ("ec2:TerminateInstances", {"InstanceId_1": OTHER}),
    ],
)
def test_what_it_may_not(action: str, params: dict[str, Any]) -> None:
    assert not may(action, **params)


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("ec2:CopyVolumes", {"SourceVolumeId": "vol-foreign"} | owned()),
        ("ec2:DescribeVolumeStatus", {}),
    ],
)
def test_copies_only_if_the_setting_asks_for_them(action: str, params: dict[str, Any]) -> None:
    assert not may(action, copies=False, **params)
