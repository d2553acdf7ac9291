"""userdata/training.sh with restore=copy or auto: a copy of a volume that the zone has, or the snapshot."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cloud.moto_gaps.copies import INITIALIZATION_SECONDS
from tests.userdata.cloud import ZONE, Cloud, Fault
from tests.userdata.failures import OLD_COMMAND_LINE
from tests.userdata.machine import INSTANCE_ARNS, Boot, Disk, Machine, publish, take_snapshot
from tests.userdata.test_training_failures import says

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts")


@pytest.fixture
def snapshot(machine: Machine, disk: Disk) -> str:
    """The published snapshot of a machine that takes a copy where it can."""
    disk.format()
    machine.variables["RESTORE"] = "auto"
    snapshot = take_snapshot(machine.ec2)
    publish("tiny", snapshot)
    return snapshot


def restored(ec2: Any, snapshot: str, zone: str = ZONE, **tags: str) -> str:
    """A volume as another instance made it."""
    wanted = {"dataset": "tiny", "dataset-role": "restored", "dataset-snapshot": snapshot}
    wanted |= {"dataset-instance": f"{INSTANCE_ARNS}i-0another"} | tags
    made = ec2.create_volume(
        AvailabilityZone=zone,
        SnapshotId=snapshot,
        TagSpecifications=[
            {
                "ResourceType": "volume",
                "Tags": [{"Key": key, "Value": value} for key, value in wanted.items()],
            }
        ],
    )
    return str(made["VolumeId"])


def initialized() -> None:
    time.sleep(INITIALIZATION_SECONDS)


def ready(machine: Machine) -> tuple[Boot, dict[str, Any]]:
    """A boot that succeeds, and the volume that the machine has from it."""
    boot = machine.boot()
    assert boot.status == 0, boot.log
    assert boot.mounts[str(machine.place)].startswith("ro,")
    (volume,) = machine.volumes()
    return boot, volume


def test_a_copy_of_an_initialized_volume(machine: Machine, snapshot: str) -> None:
    source = restored(machine.ec2, snapshot)
    initialized()
    boot, volume = ready(machine)
    assert says(boot.log, f"tiny: copied volume {source}")
    assert volume["SourceVolumeId"] == source
    assert not volume.get("SnapshotId")
    assert {tag["Key"]: tag["Value"] for tag in volume["Tags"]} == {
        "Name": "tiny-restored",
        "dataset": "tiny",
        "dataset-role": "restored",
        "dataset-instance": INSTANCE_ARNS + machine.id,
        "dataset-snapshot": snapshot,
    }
    assert (volume["VolumeType"], volume["Iops"]) == ("gp3", 4000)
    assert machine.tags() == {"dataset-state": "ready"}
    assert " 7 calls of AWS, " in boot.log
    # The second run has to find the copy, which has no snapshot's id.
    boot = machine.boot()
    assert boot.status == 0, boot.log
    assert [each["VolumeId"] for each in machine.volumes()] == [volume["VolumeId"]]


def test_a_volume_that_is_not_initialized_is_no_source(machine: Machine, snapshot: str) -> None:
    restored(machine.ec2, snapshot)
    boot, volume = ready(machine)
    assert says(
        boot.log, f"tiny: from the snapshot instead of a copy: {ZONE} has no fully initialized volume of it"
    )
    assert volume["SnapshotId"] == snapshot


def test_only_volumes_of_this_data_set_snapshot_and_zone_are_sources(machine: Machine, snapshot: str) -> None:
    others = [
        restored(machine.ec2, snapshot, **{"dataset": "pets"}),
        restored(machine.ec2, snapshot, **{"dataset-role": "packed"}),
        restored(machine.ec2, take_snapshot(machine.ec2)),
        restored(machine.ec2, snapshot, zone="us-east-1a"),
    ]
    initialized()
    boot, volume = ready(machine)
    assert says(
        boot.log, f"tiny: from the snapshot instead of a copy: {ZONE} has no fully initialized volume of it"
    )
    assert volume["SnapshotId"] == snapshot
    assert volume["VolumeId"] not in others


def test_a_volume_that_is_being_copied(machine: Machine, snapshot: str, cloud: Cloud) -> None:
    """EC2 makes one copy of a volume at a time."""
    source = restored(machine.ec2, snapshot)
    initialized()
    copy = Fault(
        "DescribeVolumeStatus", after=lambda: machine.ec2.copy_volumes(SourceVolumeId=source), times=1
    )
    cloud.faults.append(copy)
    boot, volume = ready(machine)
    assert says(
        boot.log,
        f"tiny: from the snapshot instead of a copy: could not copy {source}: An error occurred "
        "(ConcurrentCopyVolumeLimitExceeded) …",
    )
    assert volume["SnapshotId"] == snapshot


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("CopyVolumes", "could not copy vol-…: An error occurred (UnauthorizedOperation) …"),
        (
            "DescribeVolumeStatus",
            "could not look for a volume to copy: An error occurred (UnauthorizedOperation) …",
        ),
    ],
)
def test_a_call_that_is_not_allowed(
    machine: Machine, snapshot: str, cloud: Cloud, action: str, why: str
) -> None:
    restored(machine.ec2, snapshot)
    initialized()
    cloud.faults.append(Fault(action, "UnauthorizedOperation", "You are not authorized.", 403))
    boot, volume = ready(machine)
    assert says(boot.log, f"tiny: from the snapshot instead of a copy: {why}")
    assert volume["SnapshotId"] == snapshot


def test_a_command_line_that_is_too_old(machine: Machine, snapshot: str, tmp_path: Path) -> None:
    restored(machine.ec2, snapshot)
    initialized()
    machine.variables["OLD"] = "copy-volumes"
    machine.put_first(tmp_path / "old", "aws", OLD_COMMAND_LINE)
    boot, volume = ready(machine)
    assert says(
        boot.log,
        "tiny: from the snapshot instead of a copy: this AWS command line is too old for copy-volumes",
    )
    assert volume["SnapshotId"] == snapshot


def test_a_missing_copy_is_in_the_tag_if_a_copy_was_asked_for(machine: Machine, snapshot: str) -> None:
    machine.variables["RESTORE"] = "copy"
    _, volume = ready(machine)
    assert volume["SnapshotId"] == snapshot
    assert machine.tags() == {"dataset-state": "ready", "dataset-reason": "tiny: no-copy"}


def test_a_failure_after_a_copy_leaves_the_source_alone(machine: Machine, snapshot: str) -> None:
    source = restored(machine.ec2, snapshot)
    initialized()
    machine.variables["DEVICES"] = ""
    boot = machine.boot()
    assert boot.status == 1
    assert machine.volumes() == []
    assert machine.ec2.describe_volumes(VolumeIds=[source])["Volumes"][0]["State"] == "available"
