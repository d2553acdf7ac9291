"""The embedded AWS for real: volumes with bytes, instances that boot, calls judged by the instance's role."""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rehearsal.operator.account import Cloud, in_instance, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)

ZONE = "us-east-1a"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    ],
}
MAY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "ec2:DescribeVolumes", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": "ec2:AttachVolume",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/of": "test"}},
        },
    ],
}
WRITER = """#!/usr/bin/env bash
set -euxo pipefail
export AWS_DEFAULT_REGION=us-east-1
token=$(curl -sSf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
  "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/api/token")
self=$(curl -sSf -H "X-aws-ec2-metadata-token: $token" \
  "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/instance-id")
! aws ec2 delete-volume --volume-id VOLUME
aws ec2 attach-volume --volume-id VOLUME --instance-id "$self" --device /dev/sdf
blkid -p /dev/xvdf || test $? = 2
mkfs.ext4 -q -L label-of-it /dev/xvdf
udevadm settle
mkdir -p /data
echo 'LABEL=label-of-it /data ext4 defaults,nofail 0 2' >>/etc/fstab
mount /data
echo written >/data/file
sync -f /data
touch /etc/only-in-the-instance
"""


@pytest.fixture(scope="module")
def profile(cloud: Cloud) -> str:
    iam = cloud.client("iam")
    iam.create_role(RoleName="tester", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName="tester", PolicyName="may", PolicyDocument=json.dumps(MAY))
    iam.create_instance_profile(InstanceProfileName="tester")
    iam.add_role_to_instance_profile(InstanceProfileName="tester", RoleName="tester")
    return "tester"


def run(cloud: Cloud, profile: str, instance_type: str, user_data: str) -> str:
    subnets = cloud.client("ec2").describe_subnets(Filters=[{"Name": "availability-zone", "Values": [ZONE]}])
    answer = cloud.client("ec2").run_instances(
        ImageId="ami-12c6146b",
        InstanceType=instance_type,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnets["Subnets"][0]["SubnetId"],
        IamInstanceProfile={"Name": profile},
        UserData=user_data,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "of", "Value": "test"}]}],
    )
    return str(answer["Instances"][0]["InstanceId"])


def finished(cloud: Cloud, instance_id: str) -> int:
    status = cloud.instance(instance_id) / "shared" / "user-data.status"
    wait_until("the user data", 60, status.exists)
    return int(status.read_text())


def volume(cloud: Cloud, **more: Any) -> str:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "of", "Value": "test"}]}]
    made = cloud.client("ec2").create_volume(
        AvailabilityZone=ZONE, VolumeType="gp3", TagSpecifications=tags, **more
    )
    return str(made["VolumeId"])


@pytest.fixture(scope="module")
def written(cloud: Cloud, profile: str) -> tuple[str, str]:
    """A volume that an instance has formatted and written to, and that instance."""
    volume_id = volume(cloud, Size=20)
    instance_id = run(cloud, profile, "t2.large", WRITER.replace("VOLUME", volume_id))
    status = finished(cloud, instance_id)
    log = (cloud.instance(instance_id) / "log" / "cloud-init-output.log").read_text()
    assert status == 0, log
    return volume_id, instance_id


def test_what_one_instance_wrote_another_reads(cloud: Cloud, profile: str, written: tuple[str, str]) -> None:
    ec2 = cloud.client("ec2")
    volume_id, _ = written
    snapshot = ec2.create_snapshot(VolumeId=volume_id)
    assert snapshot["State"] == "pending"
    ec2.get_waiter("snapshot_completed").wait(
        SnapshotIds=[snapshot["SnapshotId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    copy = volume(cloud, SnapshotId=snapshot["SnapshotId"])
    reader = run(cloud, profile, "g5.xlarge", "#!/bin/sh\ntrue\n")
    assert finished(cloud, reader) == 0
    ec2.attach_volume(VolumeId=copy, InstanceId=reader, Device="/dev/sdf")
    by_id = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{copy.replace('-', '')}"
    wait_until(
        "the link by label",
        5,
        lambda: in_instance(cloud, reader, "test", "-b", "/dev/disk/by-label/label-of-it").returncode == 0,
    )
    script = f"mkdir -p /x && mount -o ro {by_id} /x && cat /x/file"
    assert in_instance(cloud, reader, "sh", "-c", script).stdout == "written\n"
    with pytest.raises(Exception, match="already"):
        ec2.attach_volume(VolumeId=copy, InstanceId=reader, Device="/dev/sdg")
    ec2.terminate_instances(InstanceIds=[reader])
    state = ec2.describe_volumes(VolumeIds=[copy])["Volumes"][0]["State"]
    assert state == "available"


def test_a_reboot_keeps_mounts_and_runs_no_user_data(cloud: Cloud, written: tuple[str, str]) -> None:
    _, instance_id = written
    log = cloud.instance(instance_id) / "log" / "cloud-init-output.log"
    before, size = cloud.instance_pid(instance_id), log.stat().st_size
    cloud.client("ec2").reboot_instances(InstanceIds=[instance_id])
    wait_until("the reboot", 30, lambda: cloud.instance_pid(instance_id) != before)
    wait_until(
        "the mount", 10, lambda: in_instance(cloud, instance_id, "cat", "/data/file").stdout == "written\n"
    )
    assert in_instance(cloud, instance_id, "test", "-e", "/etc/only-in-the-instance").returncode == 0
    assert log.stat().st_size == size


@pytest.mark.usefixtures("written")
def test_nothing_of_the_host_changes() -> None:
    assert not Path("/etc/only-in-the-instance").exists()
    assert "/data" not in Path("/proc/self/mounts").read_text().split()


def test_a_refused_call_is_named(cloud: Cloud, written: tuple[str, str]) -> None:
    volume_id, instance_id = written
    (refused,) = cloud.refused_calls()
    assert refused.startswith("ec2:DeleteVolume was refused to role tester on arn:aws:ec2:us-east-1:")
    assert f":volume/{volume_id} " in refused
    assert instance_id in refused


def test_an_unknown_key_is_refused(cloud: Cloud) -> None:
    stranger = Cloud(**{**vars(cloud), "key": "AKIA0000000000000000"})
    with pytest.raises(Exception, match="InvalidClientTokenId"):
        stranger.client("ec2").describe_volumes()


def test_a_token_makes_one_volume(cloud: Cloud, profile: str) -> None:
    """By an instance, as that is who retries: moto itself knows no tokens."""
    iam = cloud.client("iam")
    anything = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}],
    }
    iam.put_role_policy(RoleName=profile, PolicyName="more", PolicyDocument=json.dumps(anything))
    create = "aws ec2 create-volume --size 1 --availability-zone us-east-1a --output text --query VolumeId"
    script = f"#!/bin/bash\nexport AWS_DEFAULT_REGION=us-east-1\nset -e\na=$({create} --client-token T)\n"
    script += f"b=$({create} --client-token T)\nc=$({create} --client-token U)\n[[ $a = $b && $a != $c ]]\n"
    assert finished(cloud, run(cloud, profile, "g5.xlarge", script)) == 0
    iam.delete_role_policy(RoleName=profile, PolicyName="more")


TEMPLATE = {
    "Resources": {
        "Kept": {
            "Type": "AWS::EC2::Volume",
            "DeletionPolicy": "Snapshot",
            "Properties": {
                "Size": 1,
                "AvailabilityZone": ZONE,
                "VolumeType": "gp3",
                "Encrypted": True,
                "Tags": [{"Key": "of", "Value": "stack"}],
            },
        },
        "Machine": {
            "Type": "AWS::EC2::Instance",
            "CreationPolicy": {"ResourceSignal": {"Timeout": "PT1M"}},
            "Properties": {"ImageId": "ami-12c6146b", "InstanceType": "t3.micro", "UserData": ""},
        },
    }
}


@pytest.mark.parametrize("outcome", ["SUCCESS", "FAILURE", "silence"])
def test_a_stack_waits_for_its_signal(cloud: Cloud, outcome: str) -> None:
    name = f"stack-{outcome.lower()}"
    template = json.loads(json.dumps(TEMPLATE))
    sleep = {"Fn::Base64": "#!/bin/sh\nsleep 600\n" if outcome != "silence" else "#!/bin/sh\nexit 3\n"}
    template["Resources"]["Machine"]["Properties"]["UserData"] = sleep
    stacks, ec2 = cloud.client("cloudformation"), cloud.client("ec2")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def status() -> str:
        return str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    if outcome != "silence":
        assert status() == "CREATE_IN_PROGRESS"
        stacks.signal_resource(StackName=name, LogicalResourceId="Machine", UniqueId="1", Status=outcome)
    wait_until("the stack", 20, lambda: not status().endswith("IN_PROGRESS"))
    if outcome == "SUCCESS":
        assert status() == "CREATE_COMPLETE"
        tag = [{"Name": "tag:of", "Values": ["stack"]}]
        made = ec2.describe_volumes(Filters=tag)["Volumes"][0]
        assert (made["VolumeType"], made["Encrypted"]) == ("gp3", True)
        stacks.delete_stack(StackName=name)
        assert not ec2.describe_volumes(Filters=tag)["Volumes"]
        assert ec2.describe_snapshots(Filters=tag)["Snapshots"][0]["VolumeId"] == made["VolumeId"]
    else:
        assert status() == "ROLLBACK_COMPLETE"
        events = stacks.describe_stack_events(StackName=name)["StackEvents"]
        reasons = " ".join(event.get("ResourceStatusReason", "") for event in events)
        assert ("signalled FAILURE" if outcome == "FAILURE" else "status 3 and sent no signal") in reasons


def test_an_update_replaces_an_instance(cloud: Cloud) -> None:
    """First the new one and its signal, then the end of the old one, as CloudFormation has it."""
    stacks, ec2 = cloud.client("cloudformation"), cloud.client("ec2")

    def template(logical_id: str) -> str:
        machine = json.loads(json.dumps(TEMPLATE["Resources"]["Machine"]))
        machine["Properties"]["UserData"] = {"Fn::Base64": "#!/bin/sh\nsleep 600\n"}
        outputs = {"Id": {"Value": {"Ref": logical_id}}}
        return json.dumps({"Resources": {logical_id: machine}, "Outputs": outputs})

    def status() -> str:
        return str(stacks.describe_stacks(StackName="updated")["Stacks"][0]["StackStatus"])

    def instance() -> str:
        return str(stacks.describe_stacks(StackName="updated")["Stacks"][0]["Outputs"][0]["OutputValue"])

    def state(instance_id: str) -> str:
        found = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    stacks.create_stack(StackName="updated", TemplateBody=template("Old"))
    signal = {"StackName": "updated", "UniqueId": "1", "Status": "SUCCESS"}
    stacks.signal_resource(LogicalResourceId="Old", **signal)
    wait_until("the stack", 10, lambda: status() == "CREATE_COMPLETE")
    old = instance()
    stacks.update_stack(StackName="updated", TemplateBody=template("New"))
    new = instance()
    assert new != old
    assert (status(), state(old)) == ("UPDATE_IN_PROGRESS", "running")
    stacks.signal_resource(LogicalResourceId="New", **signal)
    wait_until("the update", 20, lambda: status() == "UPDATE_COMPLETE")
    assert (state(old), state(new)) == ("terminated", "running")
    stacks.delete_stack(StackName="updated")
    assert state(new) == "terminated"


def test_a_snapshot_in_another_account_and_region(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    there = cloud.as_role("arn:aws:iam::210987654321:role/operator", "operator")
    snapshot = ec2.create_snapshot(VolumeId=volume(cloud, Size=1))["SnapshotId"]
    ec2.create_tags(Resources=[snapshot], Tags=[{"Key": "of", "Value": "test"}])
    wanted = [{"Name": "snapshot-id", "Values": [snapshot]}]
    assert not there.client("ec2").describe_snapshots(Filters=wanted)["Snapshots"]
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=["210987654321"],
    )
    (seen,) = there.client("ec2").describe_snapshots(Filters=wanted)["Snapshots"]
    assert (seen["OwnerId"], seen.get("Tags", [])) == ("123456789012", [])
    copy = there.client("ec2").copy_snapshot(SourceSnapshotId=snapshot, SourceRegion="us-east-1")
    abroad = replace(cloud, region="eu-west-1").client("ec2")
    other = abroad.copy_snapshot(SourceSnapshotId=snapshot, SourceRegion="us-east-1")
    for name in (copy["SnapshotId"], other["SnapshotId"]):
        assert (cloud.folder / "snapshots" / f"{name}.img").stat().st_size == 1 << 30


def test_a_held_call_waits(cloud: Cloud, profile: str) -> None:
    cloud.hold("ec2:DescribeVolumes")
    script = "#!/bin/sh\nAWS_DEFAULT_REGION=us-east-1 aws ec2 describe-volumes >/dev/null\n"
    instance_id = run(cloud, profile, "g5.xlarge", script)
    wait_until("the call", 30, cloud.is_held)
    assert not (cloud.instance(instance_id) / "shared" / "user-data.status").exists()
    cloud.release()
    assert finished(cloud, instance_id) == 0


def test_killed_it_leaves_nothing(tmp_path: Path) -> None:
    """Even SIGKILL: the kernel takes processes, mounts and loop devices along."""
    program = (
        "import sys, time; from pathlib import Path; from rehearsal.operator.account import *\n"
        f"cloud = start_cloud(Path({str(tmp_path)!r}), Path({str(tmp_path / 'log')!r}))\n"
        "made = cloud.client('ec2').run_instances(ImageId='ami-12c6146b', MinCount=1, MaxCount=1,\n"
        "    UserData='#!/bin/sh\\nsleep 600')\n"
        "print(made['Instances'][0]['InstanceId'], flush=True); time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    instance = tmp_path / "instances" / owner.stdout.readline().strip()
    wait_until("the boot", 20, (instance / "shared" / "booted").exists)
    pid = int((instance / "pid").read_text())
    owner.kill()
    owner.communicate()
    wait_until("the instance to end", 20, lambda: not Path(f"/proc/{pid}").exists())
    wait_until("the loop device to go", 10, lambda: str(instance) not in _loops())


def _loops() -> str:
    return subprocess.run(["losetup", "--all"], capture_output=True, text=True, check=True).stdout
