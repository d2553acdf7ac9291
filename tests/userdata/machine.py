"""A training instance: userdata/training.sh run by real bash, in a mount namespace of its own.

There, /dev, /etc and /var/lib are the test's, and real loop devices are what its volumes show.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.userdata.cloud import ZONE, Metadata

USERDATA = Path(__file__).parent.parent.parent / "userdata"
LABEL = "dataset-packed"
INSTANCE_ARNS = "arn:aws:ec2:us-east-1:123456789012:instance/"

# The devices that attachments would bring, under Xen's names, and the links that udev makes.
BOOT = """
mount -t tmpfs tmpfs /dev
for node in "null c 1 3" "zero c 1 5" "urandom c 1 9"; do mknod /dev/$node; done
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/disk/by-uuid
letter=f
for number in $DEVICES; do
  mknod "/dev/xvd$letter" b ${number/:/ }
  uuid="$(blkid --probe --match-tag UUID --output value "/dev/xvd$letter")"
  [[ -z $uuid ]] || ln -s "../../xvd$letter" "/dev/disk/by-uuid/$uuid"
  letter=g
done
mount --bind "$ETC" /etc
mount --bind "$STATE" /var/lib
systemctl() { :; }
set -euo pipefail
source "$USERDATA/common.sh"
source "$USERDATA/volume.sh"
set +e
(set -e; source "$USERDATA/training.sh")
echo "status $?"
findmnt --noheadings --raw --output TARGET,OPTIONS | grep "^$MOUNT_POINT"
"""


@dataclass(frozen=True)
class Disk:
    """A file on a loop device."""

    file: Path
    device: Path

    def format(self, label: str = LABEL) -> None:
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, self.device], check=True)  # noqa: S603, S607

    @property
    def number(self) -> str:
        device = self.device.stat().st_rdev
        return f"{os.major(device)}:{os.minor(device)}"


@contextmanager
def attached_disk(file: Path) -> Iterator[Disk]:
    """16 MiB."""
    with file.open("wb") as content:
        content.truncate(16 * 1024 * 1024)
    command = ["losetup", "--find", "--show", str(file)]
    made = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    loop = made.stdout.strip()
    yield Disk(file, Path(loop))
    subprocess.run(["losetup", "--detach", loop], check=True)  # noqa: S603, S607


@dataclass(frozen=True)
class Boot:
    """What a boot left behind."""

    status: int
    log: str
    mounts: dict[str, str]  # mount point → options


@dataclass(frozen=True)
class Machine:
    """A training instance about to boot."""

    variables: dict[str, str]
    metadata: Metadata
    ec2: Any

    @property
    def id(self) -> str:
        return self.metadata.items["instance-id"]

    @property
    def place(self) -> Path:
        return Path(self.variables["MOUNT_POINT"])

    def boot(self, before: str = "") -> Boot:
        """Runs the user data, after the commands of `before` in the instance."""
        script = BOOT.replace("systemctl() {", f"{before}\nsystemctl() {{", 1)
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["unshare", "--mount", "bash", "-c", script],  # noqa: S607
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        status, *mounts = done.stdout.partition("status ")[2].splitlines()
        return Boot(int(status), done.stderr, dict(line.split() for line in mounts))

    def volumes(self) -> list[dict[str, Any]]:
        """Those that it made: found by tag."""
        wanted = [{"Name": "tag:dataset-instance", "Values": [INSTANCE_ARNS + self.id]}]
        volumes: list[dict[str, Any]] = self.ec2.describe_volumes(Filters=wanted)["Volumes"]
        return volumes

    def tags(self) -> dict[str, str]:
        wanted = [{"Name": "resource-id", "Values": [self.id]}]
        return {tag["Key"]: tag["Value"] for tag in self.ec2.describe_tags(Filters=wanted)["Tags"]}

    def put_first(self, folder: Path, command: str, script: str) -> None:
        """Puts a command before the real one of this name."""
        folder.mkdir()
        (folder / command).write_text(script)
        (folder / command).chmod(0o755)
        self.variables["PATH"] = f"{folder}:{self.variables['PATH']}"


def publish(dataset: str, snapshot: str) -> None:
    """Writes the snapshot's id where instances find it."""
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name=f"/{dataset}/snapshot-id", Value=snapshot, Type="String", Overwrite=True)
    ssm.close()


def take_snapshot(ec2: Any) -> str:
    source = ec2.create_volume(AvailabilityZone=ZONE, Size=200)["VolumeId"]
    return str(ec2.create_snapshot(VolumeId=source)["SnapshotId"])


def make_machine(
    folder: Path, disks: Sequence[Disk], account: dict[str, str], metadata: Metadata, ec2: Any
) -> Machine:
    etc = folder / "etc"
    # Commands that Debian reaches through links there, awk among them.
    shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
    (etc / "fstab").write_text("")
    (folder / "state").mkdir()
    publish("tiny", take_snapshot(ec2))
    variables = account | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "HOME": str(folder),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url,
        "AWS_RETRY_MODE": "standard",
        "AWS_MAX_ATTEMPTS": "2",
        "USERDATA": str(USERDATA),
        "ETC": str(etc),
        "STATE": str(folder / "state"),
        "DEVICES": " ".join(disk.number for disk in disks),
        "WAIT_LIMIT": "5",
        "DATASETS": "tiny",
        "SNAPSHOT_PARAMETER": "/*/snapshot-id",
        "MOUNT_POINT": str(folder / "data"),
        "RESTORE": "snapshot",
        "VOLUME_TYPE": "gp3",
        "VOLUME_IOPS": "4000",
        "VOLUME_THROUGHPUT": "",
        "INITIALIZATION_RATE": "",
        "TAG_DATASET": "dataset",
        "TAG_ROLE": "dataset-role",
        "TAG_STATE": "dataset-state",
        "TAG_REASON": "dataset-reason",
        "TAG_INSTANCE": "dataset-instance",
        "TAG_SNAPSHOT": "dataset-snapshot",
        "INSTANCE_ARNS": INSTANCE_ARNS,
    }
    return Machine(variables, metadata, ec2)
