"""userdata/training.sh as a whole: real bash, a real file system on a loop device, an embedded AWS.

It runs in a mount namespace of its own, where /dev, /etc and /var/lib are the test's.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.userdata.conftest import ZONE, Metadata

USERDATA = Path(__file__).parent.parent.parent / "userdata"
LABEL = "dataset-packed"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts")

# The device that "attached" would bring, under Xen's name for /dev/sdf.
BOOT = """
mount -t tmpfs tmpfs /dev
for node in "null c 1 3" "zero c 1 5" "urandom c 1 9" "xvdf b $DEVICE_NUMBER"; do mknod /dev/$node; done
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/disk/by-label
ln -s ../../xvdf "/dev/disk/by-label/$DISK_LABEL"
mount --bind "$ETC" /etc
mount --bind "$STATE" /var/lib
systemctl() { :; }
source "$USERDATA/volume.sh"
set +e
(source "$USERDATA/training.sh")
echo "status $?"
findmnt --noheadings --output TARGET,OPTIONS "$MOUNT_POINT"
"""


@dataclass(frozen=True)
class Machine:
    """A training instance about to boot."""

    variables: dict[str, str]
    ec2: Any

    @property
    def id(self) -> str:
        return self.variables["EXPECTED_INSTANCE"]

    def boot(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: S603
            ["unshare", "--mount", "bash", "-c", BOOT],  # noqa: S607
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def volumes(self) -> list[dict[str, Any]]:
        """Those that it made: found by tag."""
        wanted = [{"Name": "tag:dataset-instance", "Values": [self.id]}]
        volumes: list[dict[str, Any]] = self.ec2.describe_volumes(Filters=wanted)["Volumes"]
        return volumes

    def state(self) -> str:
        wanted = [{"Name": "resource-id", "Values": [self.id]}, {"Name": "key", "Values": ["dataset-state"]}]
        return "".join(tag["Value"] for tag in self.ec2.describe_tags(Filters=wanted)["Tags"])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An image of a disk and the loop device that shows it."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    loop = subprocess.run(  # noqa: S603
        ["losetup", "--find", "--show", path],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    yield path, Path(loop)
    subprocess.run(["losetup", "--detach", loop], check=True)  # noqa: S603, S607


@pytest.fixture
def machine(
    tmp_path: Path,
    disk: tuple[Path, Path],
    account: dict[str, str],
    metadata: Metadata,
    ec2: Any,
    instances: list[str],
) -> Machine:
    metadata.items["instance-id"] = instances[0]
    device = disk[1].stat().st_rdev
    etc = tmp_path / "etc"
    shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
    (etc / "fstab").write_text("")
    (tmp_path / "state").mkdir()
    source = ec2.create_volume(AvailabilityZone=ZONE, Size=200)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=source)["SnapshotId"]
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name="/tiny/snapshot-id", Value=snapshot, Type="String", Overwrite=True)
    ssm.close()
    variables = account | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url,
        "USERDATA": str(USERDATA),
        "ETC": str(etc),
        "STATE": str(tmp_path / "state"),
        "DEVICE_NUMBER": f"{os.major(device)} {os.minor(device)}",
        "DISK_LABEL": LABEL,
        "EXPECTED_INSTANCE": instances[0],
        "DATASET": "tiny",
        "SNAPSHOT_PARAMETER": "/tiny/snapshot-id",
        "MOUNT_POINT": str(tmp_path / "data"),
        "VOLUME_TYPE": "gp3",
        "VOLUME_IOPS": "4000",
        "VOLUME_THROUGHPUT": "",
        "INITIALIZATION_RATE": "",
        "TAG_DATASET": "dataset",
        "TAG_ROLE": "dataset-role",
        "TAG_STATE": "dataset-state",
    }
    return Machine(variables, ec2)


def make_file_system(disk: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-L", LABEL, disk], check=True)  # noqa: S603, S607


def test_it_comes_up_with_the_data_and_a_second_run_changes_nothing(
    machine: Machine, disk: tuple[Path, Path]
) -> None:
    make_file_system(disk[1])
    for _ in range(2):
        result = machine.boot()
        assert "status 0\n" in result.stdout, result.stderr
        target, options = result.stdout.splitlines()[-1].split()
        assert target == machine.variables["MOUNT_POINT"]
        assert options.startswith("ro,nosuid,nodev,")
        assert machine.state() == "ready"
    (volume,) = machine.volumes()
    assert (volume["AvailabilityZone"], volume["VolumeType"], volume["Iops"]) == (ZONE, "gp3", 4000)
    assert {tag["Key"]: tag["Value"] for tag in volume["Tags"]} == {
        "Name": "tiny-restored",
        "dataset": "tiny",
        "dataset-role": "restored",
        "dataset-instance": machine.id,
    }
    (attachment,) = volume["Attachments"]
    assert attachment["InstanceId"] == machine.id


def test_a_failure_leaves_no_volume_behind_and_the_next_try_may_succeed(
    machine: Machine, disk: tuple[Path, Path]
) -> None:
    result = machine.boot()
    assert "status 1\n" in result.stdout
    assert "holds no labelled file system" in result.stderr
    assert machine.volumes() == []
    assert machine.state() == "failed"
    make_file_system(disk[1])
    assert "status 0\n" in machine.boot().stdout
    assert machine.state() == "ready"
    assert len(machine.volumes()) == 1


def test_no_snapshot_yet_is_said_in_one_line(machine: Machine) -> None:
    machine.variables["SNAPSHOT_PARAMETER"] = "/tiny/not-yet"
    result = machine.boot()
    assert "status 1\n" in result.stdout
    assert "no snapshot id in the parameter /tiny/not-yet: when the prep instance is done" in result.stderr
    assert machine.volumes() == []
    assert machine.state() == "failed"


CALLS = """#!/bin/sh
echo "$1 $2" >>"$CALLS"
exec "$REAL_AWS" "$@"
"""


def test_a_first_boot_makes_no_call_too_many(
    machine: Machine, disk: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each is a start of the AWS command line, at up to a second of processor time; many may boot at once."""
    make_file_system(disk[1])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "aws").write_text(CALLS)
    (tmp_path / "bin" / "aws").chmod(0o755)
    machine.variables["REAL_AWS"] = str(Path(sys.executable).parent / "aws")
    machine.variables["CALLS"] = str(tmp_path / "calls")
    machine.variables["PATH"] = f"{tmp_path / 'bin'}:{machine.variables['PATH']}"
    result = machine.boot()
    assert "status 0\n" in result.stdout, result.stderr
    assert (tmp_path / "calls").read_text().splitlines() == [
        "ssm get-parameter",
        "ec2 create-volume",
        "ec2 attach-volume",
        "ec2 modify-instance-attribute",
        "ec2 create-tags",
    ]


@pytest.mark.parametrize("label", ["x / ext4 rw", "a\tb", "=$(id)", "ü"])
def test_a_label_that_fstab_would_take_for_more_is_refused(
    machine: Machine, disk: tuple[Path, Path], label: str
) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-L", label, disk[1]], check=True)  # noqa: S603, S607
    result = machine.boot()
    assert "status 1\n" in result.stdout
    assert "only letters, digits and _.- can be mounted by label" in result.stderr
    assert (Path(machine.variables["ETC"]) / "fstab").read_text() == ""
    assert machine.volumes() == []


@pytest.mark.parametrize("value", ["snap-0123 --dry-run", "vol-0123", "--help", "snap-$(id)"])
def test_a_parameter_that_holds_no_snapshot_id_is_refused(machine: Machine, value: str) -> None:
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name="/tiny/snapshot-id", Value=value, Type="String", Overwrite=True)
    ssm.close()
    result = machine.boot()
    assert "status 1\n" in result.stdout
    assert "the parameter /tiny/snapshot-id holds " in result.stderr
    assert "not a snapshot id: correct it" in result.stderr
    assert machine.volumes() == []


def test_a_spoilt_count_of_attempts_is_no_command(machine: Machine, disk: tuple[Path, Path]) -> None:
    make_file_system(disk[1])
    state = Path(machine.variables["STATE"])
    (state / "dataset-training-attempts").write_text("a[$(touch /var/lib/owned)]")
    assert "status 0\n" in machine.boot().stdout
    assert not (state / "owned").exists()
