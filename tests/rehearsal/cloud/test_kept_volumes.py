"""What a deleted stack leaves of its volumes, and a new stack that begins from it: the bytes come along."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rehearsal.operator.account import Cloud, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)


def deploy(cloud: Cloud, name: str, **properties: Any) -> str:
    """A stack with one volume; returns its id."""
    volume = {
        "Type": "AWS::EC2::Volume",
        "DeletionPolicy": "Snapshot",
        "Properties": {
            "AvailabilityZone": "us-east-1b",
            "Encrypted": True,
            "Tags": [{"Key": "dataset-role", "Value": "work"}],
            **properties,
        },
    }
    template = json.dumps({"Resources": {"Work": volume}})
    cloud.client("cloudformation").create_stack(StackName=name, TemplateBody=template)
    found = cloud.client("cloudformation").describe_stack_resource(StackName=name, LogicalResourceId="Work")
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def bytes_of(cloud: Cloud, volume: str) -> Path:
    return cloud.folder / "volumes" / f"{volume}.img"


def test_a_new_stack_goes_on_where_the_deleted_one_was(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    first = deploy(cloud, "first", Size=1)
    with bytes_of(cloud, first).open("r+b") as disk:
        disk.write(b"half a download")
    cloud.client("cloudformation").delete_stack(StackName="first")
    assert not bytes_of(cloud, first).exists()
    (snapshot,) = ec2.describe_snapshots(Filters=[{"Name": "tag:dataset-role", "Values": ["work"]}])[
        "Snapshots"
    ]
    name = snapshot["SnapshotId"]
    wait_until(
        "the snapshot",
        10,
        lambda: ec2.describe_snapshots(SnapshotIds=[name])["Snapshots"][0]["State"] == "completed",
    )
    second = deploy(cloud, "second", Size=2, SnapshotId=name)
    (volume,) = ec2.describe_volumes(VolumeIds=[second])["Volumes"]
    assert (volume["Size"], volume["SnapshotId"], volume["Encrypted"]) == (2, name, True)
    with bytes_of(cloud, second).open("rb") as disk:
        assert disk.read(15) == b"half a download"
    assert bytes_of(cloud, second).stat().st_size == 2 << 30
