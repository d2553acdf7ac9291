"""The snapshot: of a frozen file system that is really a mount, tagged, waited for, and published.

The file system is an ext4 of its own on a loop device: the machine's own is never frozen.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.ec2.models import ec2_backends

from prep.aws import clients
from prep.datasets.description import Description
from prep.errors import AwsError, DescriptionError
from prep.progress import Progress
from prep.stages import snapshot as stage
from prep.state.receipts import Receipt
from tests.conftest import REGION
from tests.prep.small_disk import run, small_disk

DESCRIPTION = Description("set", "A set", (), 1, None, (), (), "0" * 64)
MANIFEST = "a" * 64
ACCOUNT = "123456789012"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a loop device takes root")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 file system, mounted; thawed at the end, whatever a test left."""
    with small_disk(tmp_path) as folder:
        try:
            yield folder
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(folder)], check=False, capture_output=True)  # noqa: S603, S607 - util-linux


@pytest.fixture
def volume(aws: str) -> str:
    """An EBS volume."""
    assert aws
    return boto3.client("ec2").create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]


class Frozen:
    """Whether the file system takes writes, asked of the kernel whenever EC2 is called."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self.during: dict[str, bool] = {}

    def note(self, model: Any, **_: Any) -> None:
        self.during[model.name] = self.now()

    def now(self) -> bool:
        """Freezing what is frozen is refused as busy; else what was frozen to find out is thawed again."""
        done = subprocess.run(["fsfreeze", "--freeze", str(self.mount)], check=False, capture_output=True)  # noqa: S603, S607
        if done.returncode:
            return True
        run("fsfreeze", "--unfreeze", str(self.mount))
        return False


def take(volume: str, mount: Path, frozen: Frozen | None = None, pause: Any = None) -> Receipt:
    ec2 = clients.ec2()
    if frozen:
        ec2.meta.events.register("before-call.ec2", frozen.note)

    def no_pause(_seconds: float) -> None:
        raise AssertionError("nothing to wait for")

    return stage.snapshot(
        ec2, clients.ssm(), DESCRIPTION, volume, mount, {"manifest": MANIFEST},
        Progress(shown=False), pause or no_pause,
    )  # fmt: skip


def snapshots() -> list[Any]:
    return boto3.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]


def parameter() -> str | None:
    try:
        return boto3.client("ssm").get_parameter(Name="/set/snapshot-id")["Parameter"]["Value"]
    except boto3.client("ssm").exceptions.ParameterNotFound:
        return None


def set_state(name: str, state: str) -> None:
    """Moto completes snapshots at once: this is its own state, moved by hand."""
    ec2_backends[ACCOUNT][REGION].snapshots[name].status = state


@needs_root
def test_taken_tagged_and_published(volume: str, mount: Path) -> None:
    (mount / "file").write_bytes(b"data")
    frozen = Frozen(mount)
    receipt = take(volume, mount, frozen)
    assert frozen.during == {"DescribeSnapshots": False, "CreateSnapshot": True} or frozen.during == {
        "DescribeSnapshots": False,
        "CreateSnapshot": True,
        "PutParameter": False,
    }
    assert not frozen.now()
    (mount / "file").write_bytes(b"more")
    mine = [found for found in snapshots() if found["VolumeId"] == volume]
    assert len(mine) == 1
    name = mine[0]["SnapshotId"]
    assert {tag["Key"]: tag["Value"] for tag in mine[0]["Tags"]} == {
        "Name": "set",
        "dataset": "set",
        "dataset-manifest-sha256": MANIFEST,
    }
    assert parameter() == name
    assert receipt.counts == {"snapshot": name}
    assert receipt.outputs == {f"ec2://{name}": {"volume": volume}, "ssm:///set/snapshot-id": {"value": name}}


@needs_root
def test_rerun_takes_no_second_one(volume: str, mount: Path) -> None:
    first = take(volume, mount)
    boto3.client("ssm").delete_parameter(Name="/set/snapshot-id")
    again = take(volume, mount)
    assert first.counts == again.counts
    assert parameter() == first.counts["snapshot"]
    assert len([found for found in snapshots() if found["VolumeId"] == volume]) == 1


@needs_root
def test_rerun_waits_for_the_pending_one(volume: str, mount: Path) -> None:
    name = str(take(volume, mount).counts["snapshot"])
    boto3.client("ssm").delete_parameter(Name="/set/snapshot-id")
    set_state(name, "pending")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert parameter() is None
        if len(pauses) == 3:
            set_state(name, "completed")

    receipt = take(volume, mount, pause=pause)
    assert receipt.counts == {"snapshot": name}
    assert len(pauses) == 3
    assert 1 <= pauses[0] <= pauses[1] <= pauses[2] <= 60
    assert parameter() == name


@needs_root
def test_failed_snapshot_is_not_published_and_another_is_taken(volume: str, mount: Path) -> None:
    name = str(take(volume, mount).counts["snapshot"])
    boto3.client("ssm").delete_parameter(Name="/set/snapshot-id")
    set_state(name, "pending")
    with pytest.raises(AwsError, match=f"snapshot {name}: failed"):
        take(volume, mount, pause=lambda _: set_state(name, "error"))
    assert parameter() is None
    other = take(volume, mount).counts["snapshot"]
    assert other != name
    assert parameter() == other


@needs_root
def test_other_manifest_is_another_snapshot(volume: str, mount: Path) -> None:
    first = take(volume, mount).counts["snapshot"]
    boto3.client("ec2").create_tags(
        Resources=[str(first)], Tags=[{"Key": "dataset-manifest-sha256", "Value": "b" * 64}]
    )
    assert take(volume, mount).counts["snapshot"] != first


@needs_root
def test_snapshot_that_vanishes(volume: str, mount: Path) -> None:
    name = str(take(volume, mount).counts["snapshot"])
    set_state(name, "pending")
    pauses = 0

    def pause(_seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        ec2_backends[ACCOUNT][REGION].snapshots.pop(name, None)

    with pytest.raises(AwsError, match=f"snapshot {name}: EC2 doesn't know it any more"):
        take(volume, mount, pause=pause)
    assert pauses == stage.UNKNOWN_LIMIT + 1


@needs_root
def test_refused_call_leaves_the_file_system_writable(aws: str, mount: Path) -> None:
    assert aws
    frozen = Frozen(mount)
    with pytest.raises(AwsError, match="create a snapshot of vol-0123: CreateSnapshot: InvalidVolume"):
        take("vol-0123", mount, frozen)
    assert frozen.during["CreateSnapshot"]
    assert not frozen.now()


@needs_root
def test_interrupt_leaves_the_file_system_writable(volume: str, mount: Path) -> None:
    class Interrupting(Frozen):
        def note(self, model: Any, **_: Any) -> None:
            if model.name == "CreateSnapshot":
                raise KeyboardInterrupt

    frozen = Interrupting(mount)
    with pytest.raises(KeyboardInterrupt):
        take(volume, mount, frozen)
    assert not frozen.now()


@needs_root
def test_left_frozen_by_a_kill(volume: str, mount: Path) -> None:
    """The next run thaws it: else every write would hang for ever."""
    run("fsfreeze", "--freeze", str(mount))
    receipt = take(volume, mount)
    assert parameter() == receipt.counts["snapshot"]
    (mount / "file").write_bytes(b"written")


@needs_root
def test_folder_that_is_no_mount_is_refused(volume: str, mount: Path) -> None:
    """Freezing it would freeze the file system it lies on: the machine's root, perhaps; here a loop's."""
    folder = mount / "folder"
    folder.mkdir()
    with pytest.raises(DescriptionError, match=f"{folder} is not a mount point"):
        take(volume, folder)
    assert not [found for found in snapshots() if found["VolumeId"] == volume]
    assert parameter() is None


def test_longest_wait_is_longer_than_the_slowest_volume() -> None:
    """1000 GiB at sc1's base rate, and it may be the second in a row."""
    slowest = 1000 * 1024 / 11.7
    assert slowest * 1.5 < stage.LONGEST_SECONDS
