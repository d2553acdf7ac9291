"""Snapshot: take a tagged snapshot of the volume, wait for it, and publish its ID for training instances.

A snapshot holds the state of the volume when the call that starts it returns. So the file system is frozen
only until then.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prep import contract
from prep.aws.errors import aws_errors
from prep.datasets.description import Description
from prep.errors import AwsError, DescriptionError
from prep.progress import Progress
from prep.state.files import sync_file_system
from prep.state.receipts import Receipt

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient

# The state is requested at growing intervals: a small volume takes seconds, a large one hours.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 15.0
# 1000 GiB read at sc1's base rate of 11.7 MiB/s take 24 hours.
LONGEST_SECONDS = 48 * 3600.0
# DescribeSnapshots may lag behind CreateSnapshot. After so many empty answers the snapshot is gone.
UNKNOWN_LIMIT = 10


def snapshot(
    ec2: "EC2Client",
    ssm: "SSMClient",
    description: Description,
    volume: str,
    mount: Path,
    inputs: dict[str, Any],
    progress: Progress,
    pause: Callable[[float], None] = time.sleep,
) -> Receipt:
    """Take a snapshot of `volume`, which is mounted at `mount`, wait for it, and publish its ID.

    If an interrupted run has started a snapshot of the same manifest, wait for that one instead.

    Raises:
        AwsError: a call was refused, or the snapshot failed or took more than two days.
    """
    begun = time.monotonic()
    manifest_sha256 = inputs["manifest"]
    _thaw(mount)  # a killed run may have left it frozen
    name = snapshot_under_way(ec2, description, volume, manifest_sha256)
    if name is None:
        name = _create(ec2, description, volume, mount, manifest_sha256)
    progress.note(f"snapshot: {name} of {volume}")
    wait_until_complete(ec2, name, progress, pause)
    parameter = contract.snapshot_parameter(description.name)
    with aws_errors(f"write the parameter {parameter}"):
        ssm.put_parameter(
            Name=parameter,
            Value=name,
            Type="String",
            Overwrite=True,
            Description=f"Newest verified snapshot of {description.title}",
        )
    outputs = {f"ec2://{name}": {"volume": volume}, f"ssm://{parameter}": {"value": name}}
    return Receipt(
        "snapshot",
        inputs,
        {"volume": volume},
        outputs,
        {"snapshot": name},
        round(time.monotonic() - begun, 1),
    )


def snapshot_under_way(
    ec2: "EC2Client", description: Description, volume: str, manifest_sha256: str
) -> str | None:
    """ID of a pending or completed snapshot of this volume with this manifest, or None."""
    filters = {
        "volume-id": volume,
        f"tag:{contract.TAG_DATASET}": description.name,
        f"tag:{contract.TAG_MANIFEST}": manifest_sha256,
    }
    with aws_errors(f"look for snapshots of {volume}"):
        found = ec2.describe_snapshots(
            OwnerIds=["self"],
            Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()],
        )["Snapshots"]
    usable = [snapshot for snapshot in found if snapshot["State"] in ("pending", "completed")]
    return max(usable, key=lambda snapshot: snapshot["StartTime"])["SnapshotId"] if usable else None


def _create(
    ec2: "EC2Client", description: Description, volume: str, mount: Path, manifest_sha256: str
) -> str:
    tags = {
        "Name": description.name,
        contract.TAG_DATASET: description.name,
        contract.TAG_MANIFEST: manifest_sha256,
    }
    if not mount.is_mount():  # freezing a folder freezes the whole file system it is on
        raise DescriptionError(
            f"snapshot: {mount} is not a mount point: give the folder where {volume} is mounted"
        )
    sync_file_system(mount)  # so that the freeze has little left to write
    try:
        _freeze(mount)
        with aws_errors(f"create a snapshot of {volume}"):
            return ec2.create_snapshot(
                VolumeId=volume,
                Description=f"{description.title}, prepared by {contract.SERVICE}",
                TagSpecifications=[
                    {
                        "ResourceType": "snapshot",
                        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                    }
                ],
            )["SnapshotId"]
    finally:
        _thaw(mount)


def _fsfreeze(action: str, mount: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["fsfreeze", action, str(mount)], capture_output=True, text=True, check=False)  # noqa: S603, S607 - util-linux


def _thaw(mount: Path) -> None:
    _fsfreeze("--unfreeze", mount)  # fails if it isn't frozen, which does no harm


def _freeze(mount: Path) -> None:
    done = _fsfreeze("--freeze", mount)
    if done.returncode:
        raise AwsError(
            f"snapshot: {done.stderr.strip()}: check that {mount} is the volume's mount point, and that this "
            "process is root or has CAP_SYS_ADMIN, as the service has"
        )


def wait_until_complete(
    ec2: "EC2Client", name: str, progress: Progress, pause: Callable[[float], None] = time.sleep
) -> None:
    """Wait for a snapshot, or for a copy of one, and show how far it is.

    Raises:
        AwsError: it failed, is gone, or took more than two days.
    """
    task = f"snapshot {name}"
    progress.add(task, 100)
    deadline = time.monotonic() + LONGEST_SECONDS
    percent = unknown = 0
    seconds = FIRST_PAUSE
    while time.monotonic() < deadline:
        with aws_errors(f"look at snapshot {name}"):
            found = ec2.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": [name]}])["Snapshots"]
        unknown = 0 if found else unknown + 1
        if unknown > UNKNOWN_LIMIT:
            raise AwsError(f"snapshot {name}: EC2 doesn't know it any more: run again to take another")
        if found:
            state, text = found[0]["State"], found[0].get("Progress", "")
            if state == "error":
                raise AwsError(f"snapshot {name}: failed: {found[0].get('StateMessage', '')}: run again")
            now = int(text.rstrip("%") or 0)
            progress.advance(task, max(0, now - percent))
            percent = max(percent, now)
            if state == "completed":
                return
        pause(seconds)
        seconds = min(LONGEST_PAUSE, 2 * seconds)
    raise AwsError(f"snapshot {name}: not complete after two days: run again to go on waiting")
