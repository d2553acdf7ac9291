"""The command on real disks: a throttle turns the verdict, and names what is short."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.report import REPOSITORY, BenchError
from bench.rigs.disks import MIB, Disk, Kind, check, disk

TARGET = 25  # images a second: as many as any machine decodes, and about 2 MiB of the sample
SLOW = Kind("a volume of 1 MiB/s", MIB, 1000, 256 << 10)
FEW = Kind("a volume of 8 requests/s", 100 * MIB, 8, 256 << 10)


def feed(packed: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "prep", "feed", "--packed", str(packed), "--loaders", "1", *options]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S603


@pytest.fixture(scope="module")
def mounted(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """The packed sample on a disk that can be held."""
    try:
        check()
    except BenchError as error:
        pytest.skip(str(error))
    with disk(tmp_path_factory.mktemp("disk"), "volume", SLOW, 96 * MIB) as made:
        shutil.copytree(packed / "packed", made.mount / "packed")
        subprocess.run(["sync", "--file-system", str(made.mount)], check=True)  # noqa: S603, S607 - ours
        yield made


def found(disk: Disk, *more: str) -> dict[str, Any]:
    done = feed(disk.mount / "packed", "--target", str(TARGET), "--seconds", "5", "--json", *more)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_verdict_turns_with_the_throttle(mounted: Disk) -> None:
    free = found(mounted)
    assert free["starves"] is False, free
    with mounted.held():
        held = found(mounted)
    assert held["starves"] is True
    first, later = held["answers"]
    assert (first["starves"], later["starves"]) == (True, False)  # the sample fits into memory
    assert held["epochs"][0]["limit"] == "volume MiB/s", (held["epochs"], held["volume"], held["decoding"])
    assert "restored_volume_type=gp3" in first["remedies"][0]
    assert held["volume"]["later_stream"]["mib_per_second"] == pytest.approx(1, rel=0.5)


def test_few_requests_are_seen_as_such(mounted: Disk) -> None:
    few = Disk(mounted.mount, FEW, mounted.upper, mounted.lower)
    with few.held():
        held = found(few, "--loaders", "4")  # one alone does not keep so slow a volume busy
    assert held["epochs"][0]["limit"] == "volume requests/s", (held["epochs"], held["volume"])


def test_its_table_fits_80_columns(packed: Path) -> None:
    done = feed(packed / "packed", "--gpu", "h100:8", "--seconds", "5", "--no-progress")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "STARVES" in done.stdout
    assert "8 x H100" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--gpu", "t4"), "error: --gpu t4: 't4' is not in the table: use one of"),
        (("--gpu", "v100", "--target", "5"), "error: --target and --gpu are two targets: give one of them"),
        (("--split", "test"), "has no split 'test'"),
    ],
)
def test_mistakes_are_one_line(packed: Path, options: tuple[str, ...], message: str) -> None:
    done = feed(packed / "packed", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    done = feed(tmp_path)
    assert done.returncode == 2
    assert "has no MANIFEST.json: give the folder of the packed files" in done.stderr
