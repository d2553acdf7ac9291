"""The functions of userdata/volume.sh and permanent.sh, run by bash on real files, with an embedded AWS."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.userdata.cloud import ZONE, Metadata

USERDATA = Path(__file__).parent.parent.parent / "userdata"
FUNCTIONS = "; ".join(f"source {USERDATA}/{name}" for name in ("common.sh", "volume.sh", "permanent.sh"))
MIB = 1024 * 1024


def bash(commands: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs commands with the functions, under the settings of the user data."""
    script = f"set -euo pipefail\n{FUNCTIONS}\n{commands}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    return subprocess.run(  # noqa: S603 - fixed arguments
        ["bash", "-c", script],  # noqa: S607
        env={"PATH": path, "LANG": "C.UTF-8"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_disk(path: Path, beginning: bytes = b"") -> Path:
    with path.open("wb") as disk:
        disk.write(beginning)
        disk.truncate(16 * MIB)
    return path


def label_of(disk: Path) -> str:
    return bash(f"blkid --probe --match-tag LABEL --output value {disk}").stdout.strip()


# A partition table with one partition: entries from byte 446, signature at its end.
MBR = r"\x00\x00\x00\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x08\x00\x00" + r"\x00" * 48 + r"\x55\xaa"

# udevadm belongs to a machine with devices; here there are files.
FORMAT = "udevadm() { :; }\nformat_if_blank"


class TestFormatIfBlank:
    def test_a_blank_disk_is_formatted(self, tmp_path: Path) -> None:
        disk = make_disk(tmp_path / "disk")
        result = bash(f"{FORMAT} {disk} dataset-work")
        assert result.returncode == 0, result.stderr
        assert label_of(disk) == "dataset-work"

    def test_a_second_run_keeps_every_byte(self, tmp_path: Path) -> None:
        disk = make_disk(tmp_path / "disk")
        bash(f"{FORMAT} {disk} dataset-work")
        before = disk.read_bytes()
        result = bash(f"{FORMAT} {disk} dataset-work")
        assert result.returncode == 0
        assert disk.read_bytes() == before

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            ("mkfs.ext4 -q -L holiday-photos {disk}", "LABEL=holiday-photos"),
            (
                "mkswap --label dataset-work {disk}",
                "TYPE=swap",
            ),  # our own label, even: no file system of ours
            (f"printf '%b' '{MBR}' | dd of={{disk}} bs=1 seek=446 conv=notrunc status=none", "PTTYPE=dos"),
            ("printf 'precious' | dd of={disk} bs=1 seek=300000 conv=notrunc status=none", "not blank"),
        ],
    )
    def test_anything_else_is_refused_and_kept(self, tmp_path: Path, make: str, said: str) -> None:
        disk = make_disk(tmp_path / "disk")
        assert bash(make.format(disk=disk)).returncode == 0
        before = disk.read_bytes()
        result = bash(f"{FORMAT} {disk} dataset-work")
        assert result.returncode == 1
        assert said in result.stderr
        assert str(disk) in result.stderr
        assert disk.read_bytes() == before

    def test_a_disk_that_cannot_be_read_is_not_blank(self, tmp_path: Path) -> None:
        result = bash(f"{FORMAT} {tmp_path}/missing dataset-work")
        assert result.returncode == 1
        assert f"cannot read {tmp_path}/missing" in result.stderr
        assert not (tmp_path / "missing").exists()

    def test_a_label_does_not_control_the_terminal(self, tmp_path: Path) -> None:
        disk = make_disk(tmp_path / "disk")
        subprocess.run(["mkfs.ext4", "-q", "-L", "\x1b[2Jre\rd", disk], check=True)  # noqa: S603, S607
        result = bash(f"{FORMAT} {disk} dataset-work")
        assert result.returncode == 1
        assert not set("\x1b\r") & set(result.stderr)
        assert len(result.stderr.splitlines()) == 1


def test_a_log_line_is_one_line() -> None:
    """Whatever a call of AWS answered, which may be part of it."""
    result = bash(r"log $'a\e[2J\rb\nc' 'é d'")
    assert result.stderr.endswith(" volume: a?[2J?b?c é d\n")
    assert len(result.stderr.splitlines()) == 1


class TestWaitFor:
    def test_it_polls_until_the_command_succeeds(self, tmp_path: Path) -> None:
        result = bash(f"(sleep 1; touch {tmp_path}/there) & wait_for 10 'the file' test -e {tmp_path}/there")
        assert result.returncode == 0, result.stderr

    def test_it_gives_up_and_says_on_what(self) -> None:
        result = bash("wait_for 1 'the end of time' false; echo unreachable")
        assert (result.returncode, result.stdout) == (1, "")
        assert "FAILED: waited 1 s for the end of time" in result.stderr


class TestImds:
    def test_it_asks_with_a_token(self, metadata: Metadata) -> None:
        result = bash("imds instance-id", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url)
        assert (result.returncode, result.stdout) == (0, "i-0123")

    def test_the_token_is_in_no_argument(self, metadata: Metadata, tmp_path: Path) -> None:
        """Arguments show in the process list."""
        curl = shutil.which("curl")
        (tmp_path / "curl").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/arguments\nexec {curl} "$@"\n')
        (tmp_path / "curl").chmod(0o755)
        result = bash(
            f"PATH={tmp_path}:$PATH; imds instance-id", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url
        )
        assert result.stdout == "i-0123"
        arguments = (tmp_path / "arguments").read_text()
        assert "/latest/meta-data/instance-id" in arguments
        assert "the-token" not in arguments

    def test_a_missing_item_is_named(self, metadata: Metadata) -> None:
        result = bash("x=$(imds spot/action); echo reached", AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url)
        assert (result.returncode, result.stdout) == (1, "")
        assert "does not tell spot/action" in result.stderr


class TestAttachVolume:
    """In the embedded AWS an attachment is complete at once; that it waits shows in the rehearsal."""

    @pytest.fixture
    def variables(self, account: dict[str, str], ec2: Any, instances: list[str]) -> dict[str, str]:
        volume = ec2.create_volume(AvailabilityZone=ZONE, Size=125, VolumeType="sc1")
        return account | {
            "INSTANCE_ID": instances[0],
            "OTHER": instances[1],
            "VOLUME": volume["VolumeId"],
        }

    def test_it_attaches_once(self, variables: dict[str, str]) -> None:
        commands = (
            'attach_volume "$VOLUME" /dev/sdf; attach_volume "$VOLUME" /dev/sdf; volume_state "$VOLUME"'
        )
        result = bash(commands, **variables)
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"in-use {variables['INSTANCE_ID']} attached /dev/sdf"
        assert result.stderr.count("attaching") == 1

    def test_it_tells_who_holds_a_volume(self, variables: dict[str, str]) -> None:
        commands = """
            printf '[%s]' "$(held_by_another "$VOLUME")"
            INSTANCE_ID="$OTHER" attach_volume "$VOLUME" /dev/sdg
            printf '[%s]' "$(held_by_another "$VOLUME")"
        """
        result = bash(commands, **variables)
        assert result.stdout == f"[][{variables['OTHER']}]"

    def test_a_volume_that_is_not_there_ends_the_boot(self, variables: dict[str, str]) -> None:
        result = bash("x=$(held_by_another vol-0000000000000000f); echo reached", **variables)
        assert (result.returncode, result.stdout) == (1, "")
        assert "InvalidVolume.NotFound" in result.stderr
        assert "could not look up volume vol-0000000000000000f" in result.stderr


def test_devices_are_named_by_identity() -> None:
    result = bash("device_candidates vol-0123456789abcdef0 /dev/sdf")
    assert result.stdout.splitlines() == [
        "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0",
        "/dev/xvdf",
    ]


class TestFstab:
    """mount_label writes /etc/fstab, so it runs where that is a file of the test's own."""

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace of its own")
    def test_a_changed_line_takes_the_old_ones_place(self, tmp_path: Path) -> None:
        etc = tmp_path / "etc"
        etc.mkdir()
        # Commands that Debian reaches through links there, awk among them.
        shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
        (etc / "fstab").write_text(
            f"LABEL=/ / xfs defaults 0 1\nLABEL=old {tmp_path}/data ext4 defaults 0 2\n"
        )
        disk = make_disk(tmp_path / "disk")
        bash(f"mkfs.ext4 -q -L new {disk}")
        inside = f"""
            mount --bind {etc} /etc
            mkdir -p {tmp_path}/data
            mount -o loop,ro {disk} {tmp_path}/data
            systemctl() {{ :; }}
            mount_label new {tmp_path}/data ro,nofail
            mount_label new {tmp_path}/data ro,nofail
            umount {tmp_path}/data
        """
        result = subprocess.run(  # noqa: S603 - fixed arguments
            ["unshare", "--mount", "bash", "-c", f"set -eu; {FUNCTIONS}\n{inside}"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert (etc / "fstab").read_text().splitlines() == [
            "LABEL=/ / xfs defaults 0 1",
            f"LABEL=new {tmp_path}/data ext4 ro,nofail 0 2",
        ]
