"""userdata/training.sh with several data sets: a volume each, a folder each; a failure ends only its own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.userdata.cloud import Cloud, Metadata
from tests.userdata.machine import Disk, Machine, attached_disk, make_machine, publish, take_snapshot

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts")


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[Disk]]:
    """Of two data sets, with the same label, as prep gives it to all."""
    with attached_disk(tmp_path / "disk") as first, attached_disk(tmp_path / "other") as second:
        first.format()
        second.format()
        yield [first, second]


@pytest.fixture
def machine(
    tmp_path: Path,
    disks: list[Disk],
    account: dict[str, str],
    metadata: Metadata,
    ec2: Any,
    instances: list[str],
) -> Machine:
    metadata.items["instance-id"] = instances[0]
    publish("pets", take_snapshot(ec2))
    made = make_machine(tmp_path, disks, account, metadata, ec2)
    made.variables["DATASETS"] = "tiny pets"
    return made


def devices(machine: Machine) -> dict[str, str]:
    """Data set → name of the device of its volume."""
    found = {}
    for volume in machine.volumes():
        (name,) = (tag["Value"] for tag in volume["Tags"] if tag["Key"] == "dataset")
        found[name] = volume["Attachments"][0]["Device"]
    return found


def test_each_has_a_volume_and_a_folder(machine: Machine) -> None:
    boot = machine.boot()
    assert boot.status == 0, boot.log
    assert set(boot.mounts) == {f"{machine.place}/tiny", f"{machine.place}/pets"}
    assert devices(machine) == {"tiny": "/dev/sdf", "pets": "/dev/sdg"}
    assert machine.tags() == {"dataset-state": "ready"}
    assert " 9 calls of AWS, " in boot.log
    lines = (Path(machine.variables["ETC"]) / "fstab").read_text().splitlines()
    assert len({line.split()[0] for line in lines}) == len({line.split()[1] for line in lines}) == 2


@pytest.mark.parametrize(("failing", "other"), [("tiny", "pets"), ("pets", "tiny")])
def test_one_that_fails_does_not_undo_the_other(machine: Machine, failing: str, other: str) -> None:
    publish(failing, "snap-0123456789abcdef0")
    boot = machine.boot()
    assert boot.status == 1
    assert set(boot.mounts) == {f"{machine.place}/{other}"}
    assert list(devices(machine)) == [other]
    assert machine.tags() == {"dataset-state": "failed", "dataset-reason": f"{failing}: snapshot-missing"}


def test_all_that_fail_are_in_the_tag(machine: Machine, disks: list[Disk]) -> None:
    publish("tiny", "nonsense")
    with disks[1].device.open("r+b") as device:
        device.write(bytes(1 << 20))
    boot = machine.boot()
    assert boot.status == 1
    assert machine.volumes() == []
    reasons = "tiny: parameter-invalid; pets: file-system"
    assert machine.tags() == {"dataset-state": "failed", "dataset-reason": reasons}, boot.log


def test_a_second_run_does_only_what_is_missing(machine: Machine, cloud: Cloud) -> None:
    assert cloud
    publish("pets", "snap-0123456789abcdef0")
    assert machine.boot().status == 1
    before = {volume["VolumeId"] for volume in machine.volumes()}
    publish("pets", take_snapshot(machine.ec2))
    boot = machine.boot()
    assert boot.status == 0, boot.log
    after = {volume["VolumeId"] for volume in machine.volumes()}
    assert before < after
    assert len(after) == 2
    assert machine.tags() == {"dataset-state": "ready", "dataset-reason": ""}
