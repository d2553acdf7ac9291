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

REQUEST = 256 << 10  # bytes
# A held volume gives this share of what the machine loads from a free one: less also if it is busier by then.
HELD = 1 / 8
ABOVE = 2.5  # the target, in rates of a held volume
# So many keep a slow volume busy, also where a busy machine decodes slowly: one would do both in turn.
# And for so many seconds, of which batches get an eighth: in half a second, one that starts late is missed.
TRIES = 4
MANY = ("--loaders", "4", "--seconds", "15")


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
    unheld = Kind("not held", 0, 0, REQUEST)
    with disk(tmp_path_factory.mktemp("disk"), "volume", unheld, 96 * MIB) as made:
        shutil.copytree(packed / "packed", made.mount / "packed")
        subprocess.run(["sync", "--file-system", str(made.mount)], check=True)  # noqa: S603, S607 - ours
        yield made


def found(disk: Disk, target: float, *more: str) -> dict[str, Any]:
    done = feed(disk.mount / "packed", "--target", str(target), "--seconds", "5", "--json", *more)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def found_held(disk: Disk, target: float) -> dict[str, Any]:
    """What is found of a held disk. A machine that is busy just then keeps the loaders waiting: once more."""
    for _ in range(TRIES):
        with disk.held():
            told = found(disk, target, *MANY)
        if told["epochs"][0]["limit"] != "loader processes":
            break
    return told


@pytest.fixture(scope="module")
def free(mounted: Disk) -> dict[str, Any]:
    """What a disk that nothing holds gives this machine, however fast or busy it is."""
    return found(mounted, 1)


def held_rate(free: dict[str, Any]) -> float:
    """Bytes a second that are far too few for this machine; at most 1 MiB, as the sample is small."""
    loaded = float(free["epochs"][0]["images_per_second"] * free["image_bytes"])
    return min(MIB, HELD * loaded)


def test_the_verdict_turns_with_the_throttle(mounted: Disk, free: dict[str, Any]) -> None:
    assert free["starves"] is False
    assert not free["epochs"][0]["limit"].startswith("volume"), (free["epochs"], free["volume"])
    rate = held_rate(free)
    slow = Disk(mounted.mount, Kind("few bytes", int(rate), 1000, REQUEST), mounted.upper, mounted.lower)
    held = found_held(slow, ABOVE * rate / free["image_bytes"])
    first, later = held["epochs"]
    assert held["starves"] is held["answers"][0]["starves"] is True
    assert first["limit"] == "volume MiB/s", (held["epochs"], held["volume"], held["decoding"])
    assert "look at the volume's type and state" in held["answers"][0]["remedies"][0]
    assert held["volume"]["later_stream"]["mib_per_second"] < 1.5 * rate / MIB
    assert not later["limit"].startswith("volume")  # the sample fits into memory


def test_few_requests_are_seen_as_such(mounted: Disk, free: dict[str, Any]) -> None:
    requests = max(1, int(2 * held_rate(free) / REQUEST))
    few = Disk(
        mounted.mount, Kind("few requests", 100 * MIB, requests, REQUEST), mounted.upper, mounted.lower
    )
    held = found_held(few, 1)
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
