"""Each failure of docs/restore-failures.md, caused while the real user data runs."""

import os
import re
from pathlib import Path

import pytest

from tests.userdata import failures
from tests.userdata.cloud import Cloud
from tests.userdata.failures import FAILURES, Scene
from tests.userdata.machine import Disk, Machine

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts")


def says(log: str, words: str) -> bool:
    """Whether a line of the boot log has these words, in which "…" stands for any text."""
    pattern = ".+".join(re.escape(part) for part in words.split("…"))
    return re.search(rf"^\S+Z dataset-training-boot: {pattern}\s*$", log, re.MULTILINE) is not None


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_named_and_leaves_nothing_behind(
    machine: Machine, disk: Disk, cloud: Cloud, tmp_path: Path, name: str
) -> None:
    failure = FAILURES[name]
    disk.format()
    failure.arrange(Scene(machine, disk, cloud, tmp_path))
    boot = machine.boot(failure.before)
    assert says(boot.log, failure.says), boot.log
    assert boot.status == (0 if failure.ready else 1)
    fstab = (Path(machine.variables["ETC"]) / "fstab").read_text()
    if failure.ready:
        assert machine.tags() == {"dataset-state": "ready"}
        assert boot.mounts[str(machine.place)].startswith("ro,")
        assert len(machine.volumes()) == 1
        return
    expected = {"dataset-state": "failed", "dataset-reason": f"tiny: {failure.reason}"}
    assert machine.tags() == (expected if failure.reason else {})
    assert machine.volumes() == []
    assert fstab == ""


def test_the_volume_of_a_lost_key_is_made_anew_in_the_next_run(
    machine: Machine, disk: Disk, cloud: Cloud, tmp_path: Path
) -> None:
    """With another token: EC2 answers a known one with the volume that is gone."""
    disk.format()
    FAILURES["key"].arrange(Scene(machine, disk, cloud, tmp_path))
    assert machine.boot().status == 1
    cloud.faults.clear()
    count = Path(machine.variables["STATE"]) / "dataset-training" / "tiny.attempt"
    assert count.read_text() == "1\n"
    boot = machine.boot()
    assert boot.status == 0, boot.log


def test_the_document_is_made_of_these_failures() -> None:
    """`python -m tests.userdata.failures > docs/restore-failures.md` makes it so."""
    assert (REPOSITORY / "docs" / "restore-failures.md").read_text() == failures.document()
