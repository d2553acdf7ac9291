"""Copies of volumes in the embedded AWS: the rules that EC2 documents, and an instance that takes a copy."""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.cloud.moto_gaps.copies import INITIALIZATION_SECONDS
from rehearsal.operator.account import Cloud, in_instance, wait_until
from stacks import boot, policies

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)

ZONE = "us-east-1a"
ACCOUNT = "arn:aws:ec2:us-east-1:123456789012"
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
TAGS = {"dataset": "tiny", "dataset-role": "training"}
SETTINGS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "DATASETS": "tiny",
    "SNAPSHOT_PARAMETER": "/*/snapshot-id",
    "MOUNT_POINT": "/data",
    "RESTORE": "auto",
    "VOLUME_TYPE": "gp3",
    "VOLUME_IOPS": "",
    "VOLUME_THROUGHPUT": "",
    "INITIALIZATION_RATE": "",
    "TAG_DATASET": "dataset",
    "TAG_ROLE": "dataset-role",
    "TAG_STATE": "dataset-state",
    "TAG_REASON": "dataset-reason",
    "TAG_INSTANCE": "dataset-instance",
    "TAG_SNAPSHOT": "dataset-snapshot",
    "INSTANCE_ARNS": f"{ACCOUNT}:instance/",
}


@pytest.fixture(scope="module")
def snapshot(cloud: Cloud) -> str:
    """Of a volume with a file, published as tiny's."""
    ec2 = cloud.client("ec2")
    volume = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    image = cloud.folder / "volumes" / f"{volume}.img"
    content = cloud.folder / "content"
    content.mkdir()
    (content / "train.rec").write_text("records")
    subprocess.run(["mkfs.ext4", "-q", "-L", "dataset-packed", "-d", content, image], check=True)
    specification = {"ResourceType": "snapshot", "Tags": [{"Key": "dataset", "Value": "tiny"}]}
    snapshot = ec2.create_snapshot(VolumeId=volume, TagSpecifications=[specification])["SnapshotId"]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1})
    cloud.client("ssm").put_parameter(Name="/tiny/snapshot-id", Value=snapshot, Type="String")
    return str(snapshot)


def from_snapshot(cloud: Cloud, snapshot: str) -> str:
    made = cloud.client("ec2").create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot)
    return str(made["VolumeId"])


def copy(cloud: Cloud, source: str, **more: Any) -> str:
    (made,) = cloud.client("ec2").copy_volumes(SourceVolumeId=source, **more)["Volumes"]
    return str(made["VolumeId"])


def progress(cloud: Cloud, volume: str) -> Any:
    (status,) = cloud.client("ec2").describe_volume_status(VolumeIds=[volume])["VolumeStatuses"]
    return status.get("InitializationStatusDetails")


def test_a_source_is_copied_once_at_a_time(cloud: Cloud, snapshot: str) -> None:
    source = from_snapshot(cloud, snapshot)
    first = copy(cloud, source)
    assert progress(cloud, first)["InitializationType"] == "volume-copy"
    assert progress(cloud, first)["Progress"] < 100
    with pytest.raises(ClientError, match="ConcurrentCopyVolumeLimitExceeded"):
        copy(cloud, source)
    with pytest.raises(ClientError, match="IncorrectState"):
        copy(cloud, first)
    time.sleep(INITIALIZATION_SECONDS)
    assert progress(cloud, first) == {"InitializationType": "volume-copy", "Progress": 100}
    copy(cloud, source)
    copy(cloud, first)


def test_five_copies_at_a_time(cloud: Cloud, snapshot: str) -> None:
    time.sleep(INITIALIZATION_SECONDS)
    sources = [from_snapshot(cloud, snapshot) for _ in range(6)]
    for source in sources[:5]:
        copy(cloud, source)
    with pytest.raises(ClientError, match="CopyVolumesLimitExceeded"):
        copy(cloud, sources[5])
    time.sleep(INITIALIZATION_SECONDS)


def test_an_empty_volume_tells_nothing_about_its_initialization(cloud: Cloud) -> None:
    volume = cloud.client("ec2").create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    assert progress(cloud, volume) is None
    with pytest.raises(ClientError, match=r"InvalidVolume\.NotFound"):
        copy(cloud, "vol-0123456789abcdef0")


@pytest.fixture(scope="module")
def profile(cloud: Cloud) -> str:
    """With the policy of the stack Training."""
    arns = policies.Arns(ACCOUNT, "arn:aws:ec2:us-east-1::snapshot", "")
    parameter = "arn:aws:ssm:us-east-1:123456789012:parameter/tiny/snapshot-id"
    statements = [
        {
            "Effect": "Allow",
            "Action": list(grant.actions),
            "Resource": list(grant.resources),
            "Condition": grant.conditions or {},
        }
        for grant in policies.training(arns, "tiny", ["tiny"], [parameter], copies=True)
    ]
    iam = cloud.client("iam")
    iam.create_role(RoleName="training", AssumeRolePolicyDocument=json.dumps({"Statement": [TRUST]}))
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName="training", PolicyName="may", PolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName="training")
    iam.add_role_to_instance_profile(InstanceProfileName="training", RoleName="training")
    return "training"


def launch(cloud: Cloud, profile: str) -> tuple[str, str]:
    """A training instance that has ended its user data well, and its log."""
    ec2 = cloud.client("ec2")
    subnets = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": [ZONE]}])
    answer = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="g5.xlarge",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnets["Subnets"][0]["SubnetId"],
        IamInstanceProfile={"Name": profile},
        UserData=boot.render("training.sh", SETTINGS).render(),
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()],
            }
        ],
    )
    instance = str(answer["Instances"][0]["InstanceId"])
    status = cloud.instance(instance) / "shared" / "user-data.status"
    wait_until("the user data", 120, status.exists)
    log = (cloud.instance(instance) / "log" / "cloud-init-output.log").read_text()
    assert status.read_text() == "0", log
    return instance, log


def test_the_second_instance_in_a_zone_takes_a_copy(cloud: Cloud, snapshot: str, profile: str) -> None:
    """With the permissions of its role, and the bytes of the first one's volume."""
    assert snapshot
    first, log = launch(cloud, profile)
    assert "from the snapshot instead of a copy" in log
    time.sleep(INITIALIZATION_SECONDS)
    second, log = launch(cloud, profile)
    assert "tiny: copied volume vol-" in log
    assert in_instance(cloud, second, "cat", "/data/train.rec").stdout == "records"
    assert cloud.refused_calls() == []
    cloud.client("ec2").terminate_instances(InstanceIds=[first, second])
    left = cloud.client("ec2").describe_volumes(Filters=[{"Name": "tag:dataset", "Values": ["tiny"]}])[
        "Volumes"
    ]
    assert left == []
