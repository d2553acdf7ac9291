"""userdata/training.sh as a whole: real bash, a real file system on a loop device, an embedded AWS."""

import os
import re
import sys
import time
from pathlib import Path

import pytest

from tests.userdata.cloud import ZONE
from tests.userdata.machine import INSTANCE_ARNS, Disk, Machine, publish

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts")


def test_it_comes_up_with_the_data_and_a_second_run_changes_nothing(machine: Machine, disk: Disk) -> None:
    disk.format()
    for _ in range(2):
        boot = machine.boot()
        assert boot.status == 0, boot.log
        assert boot.mounts[str(machine.place)].startswith("ro,nosuid,nodev,")
        assert machine.tags() == {"dataset-state": "ready"}
    (volume,) = machine.volumes()
    assert (volume["AvailabilityZone"], volume["VolumeType"], volume["Iops"]) == (ZONE, "gp3", 4000)
    assert {tag["Key"]: tag["Value"] for tag in volume["Tags"]} == {
        "Name": "tiny-restored",
        "dataset": "tiny",
        "dataset-role": "restored",
        "dataset-instance": INSTANCE_ARNS + machine.id,
        "dataset-snapshot": volume["SnapshotId"],
    }
    (attachment,) = volume["Attachments"]
    assert attachment["InstanceId"] == machine.id


def test_a_failure_leaves_no_volume_behind_and_the_next_try_may_succeed(machine: Machine, disk: Disk) -> None:
    boot = machine.boot()
    assert boot.status == 1
    assert machine.volumes() == []
    assert machine.tags() == {"dataset-state": "failed", "dataset-reason": "tiny: file-system"}
    disk.format()
    boot = machine.boot()
    assert boot.status == 0, boot.log
    assert machine.tags() == {"dataset-state": "ready", "dataset-reason": ""}
    assert len(machine.volumes()) == 1


def test_a_run_in_an_instance_that_has_the_data_makes_one_call(machine: Machine, disk: Disk) -> None:
    disk.format()
    again = 'mkdir -p "$MOUNT_POINT"; mount -o ro /dev/xvdf "$MOUNT_POINT"'
    assert machine.boot().status == 0
    boot = machine.boot(again)
    assert boot.status == 0, boot.log
    assert f"tiny is mounted at {machine.place} already" in boot.log
    assert re.search(r": 1 calls of AWS, ", boot.log.replace(" s: ", ": "))


CALLS = """#!/bin/sh
echo "$1 $2" >>"$CALLS"
exec "$REAL_AWS" "$@"
"""


def test_a_first_boot_makes_no_call_too_many(machine: Machine, disk: Disk, tmp_path: Path) -> None:
    """Each is a start of the AWS command line, at up to a second of processor time; many may boot at once."""
    disk.format()
    machine.variables["REAL_AWS"] = str(Path(sys.executable).parent / "aws")
    machine.variables["CALLS"] = str(tmp_path / "calls")
    machine.put_first(tmp_path / "bin", "aws", CALLS)
    begun = time.monotonic()
    boot = machine.boot()
    seconds = time.monotonic() - begun
    assert boot.status == 0, boot.log
    made = (tmp_path / "calls").read_text().splitlines()
    assert made == [
        "ssm get-parameter",
        "ec2 create-volume",
        "ec2 attach-volume",
        "ec2 modify-instance-attribute",
        "ec2 create-tags",
    ]
    # The log tells how many, and how much of the time was not waiting.
    found = re.search(r"([\d.]+) s: (\d+) calls of AWS, ([\d.]+) s waiting, ([\d.]+) s own$", boot.log)
    assert found, boot.log
    total, calls, waiting, own = (float(text) for text in found.groups())
    assert calls == len(made)
    assert total == pytest.approx(waiting + own, abs=0.11)
    assert 0 < own <= total  # on an idle machine the waiting is rounded to 0.0
    assert total < seconds + 0.06  # it is rounded


@pytest.mark.parametrize("label", ["x / ext4 rw", "a\tb", "=$(id)", "ü"])
def test_a_label_becomes_no_part_of_fstab(machine: Machine, disk: Disk, label: str) -> None:
    disk.format(label)
    assert machine.boot().status == 0
    (line,) = (Path(machine.variables["ETC"]) / "fstab").read_text().splitlines()
    expected = rf"UUID=[0-9a-f-]{{36}} {machine.place} ext4 ro,noatime,nosuid,nodev,nofail 0 2"
    assert re.fullmatch(expected, line)


@pytest.mark.parametrize("value", ["snap-0123 --dry-run", "vol-0123", "--help", "snap-$(id)"])
def test_a_parameter_that_holds_no_snapshot_id_is_refused(machine: Machine, value: str) -> None:
    publish("tiny", value)
    boot = machine.boot()
    assert boot.status == 1
    assert "the parameter /tiny/snapshot-id holds " in boot.log
    assert "not a snapshot id: correct it" in boot.log
    assert machine.volumes() == []


def test_a_spoilt_count_of_attempts_is_no_command(machine: Machine, disk: Disk) -> None:
    disk.format()
    state = Path(machine.variables["STATE"])
    (state / "dataset-training").mkdir()
    (state / "dataset-training" / "tiny.attempt").write_text("a[$(touch /var/lib/owned)]")
    assert machine.boot().status == 0
    assert not (state / "owned").exists()
