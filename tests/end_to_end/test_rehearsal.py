"""`python -m rehearsal` with other data, with a missing permission, with mistakes."""

import json
import os
from pathlib import Path

import pytest

from rehearsal.__main__ import check_host, only_one
from rehearsal.narrator import RehearsalError
from rehearsal.sample.generate import make_sample
from tests.end_to_end.running import loops, needs_root, rehearse


@needs_root
def test_another_shape(tmp_path: Path) -> None:
    description = make_sample(
        tmp_path / "data", classes=3, images_per_class=12, validation_images=9, name="pets", layout="folders"
    )
    options = ["--dataset", str(description), "--archives", str(description.parent / "archives")]
    done = rehearse(tmp_path / "output", *options, "--instances", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "output" / "report.json").read_text())
    figures = {row["check"]: row["figure"] for row in report["checks"]}
    assert figures["train: labels in .rec"].startswith("36 ")
    assert figures["validation: labels in .rec"].startswith("9 ")
    assert any("pets-dataset" in figure for figure in figures.values())
    (launch,) = report["launches"]
    assert launch["instances"] == 2  # one by `prep.owner launch`, one by the AWS command line
    assert len(launch["calls_each"]) == 1
    assert 0 < launch["own_seconds"] < 5


@needs_root
@pytest.mark.parametrize("action", ["ec2:AttachVolume", "ec2:CreateSnapshot"])
def test_a_missing_permission_is_named(tmp_path: Path, action: str) -> None:
    """One that the boot needs, and one that is needed last, on day five."""
    description = make_sample(tmp_path / "data", classes=2, images_per_class=4, validation_images=4)
    options = ["--dataset", str(description), "--archives", str(description.parent / "archives")]
    done = rehearse(tmp_path / "output", *options, "--instances", "1", "--without", action)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("FAILED at the step: ")
    assert f"{action} was refused to role sample-prep-Role" in last
    assert " on arn:aws:ec2:us-east-1:123456789012:volume/vol-" in last
    assert "Traceback" not in done.stderr
    assert not [loop for loop in loops() if str(tmp_path) in loop]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "pyproject.toml"], "--dataset and --archives must be given together"),
        (["-c", "resize"], "-c resize: not KEY=VALUE"),
        (["--cluster", "99"], "99 is not in the range 0<=x<=8"),
        (["--cluster", "2", "--full"], "--full and --cluster: give one of them"),
        (["--instances", "0"], "'0' is not numbers from 1 to 40"),
        (["--instances", "1,x"], "'1,x' is not numbers from 1 to 40"),
        (["--dataset", "none.toml", "--archives", "."], "'none.toml' does not exist"),
    ],
)
def test_a_wrong_option_gets_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    done = rehearse(tmp_path, *options, seconds=60)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_without_root_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RehearsalError, match="it needs Linux and root: sudo make rehearse"):
        check_host(tmp_path)


def test_a_missing_command_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RehearsalError, match=r"missing commands: blkid, .*apt-get install .*e2fsprogs"):
        check_host(tmp_path)


@needs_root
def test_two_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    with only_one(tmp_path):
        done = rehearse(tmp_path, seconds=60)
    assert done.returncode == 1
    assert f"another rehearsal uses {tmp_path}" in done.stderr.splitlines()[-1]


@needs_root
def test_a_wrong_setting_is_one_line_of_the_app(tmp_path: Path) -> None:
    description = make_sample(tmp_path / "data", classes=2, images_per_class=2, validation_images=2)
    options = ["--dataset", str(description), "--archives", str(description.parent / "archives")]
    done = rehearse(tmp_path / "output", *options, "-c", "work_volume_type=floppy", seconds=120)
    assert done.returncode == 1
    assert "floppy" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("FAILED at the step: README, step 1: make plan")


@needs_root
def test_a_file_that_is_no_description(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("name = 3\n")
    done = rehearse(
        tmp_path / "output", "--dataset", str(tmp_path / "x.toml"), "--archives", str(tmp_path), seconds=60
    )
    assert done.returncode == 1
    assert "x.toml: not a data set description: it needs a name and splits" in done.stderr.splitlines()[-1]
