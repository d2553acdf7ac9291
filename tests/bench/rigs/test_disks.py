"""The slow volumes: what goes through them is counted, they are held, and nothing of them is left."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.report import REPOSITORY, BenchError
from bench.rigs import disks
from bench.rigs.disks import BLKIO, MIB, SC1_BURST, Traffic, check, clear, disk
from bench.rigs.stages import Meter


@pytest.fixture
def _can_do() -> None:
    try:
        check()
    except BenchError as error:
        pytest.skip(str(error))


def held(device: str) -> dict[str, int]:
    """The limits on a device, by name."""
    number = Path(f"/sys/block/{device}/dev").read_text().strip()
    found = {}
    for limit in disks.LIMITS:
        for line in (BLKIO / f"blkio.throttle.{limit}_device").read_text().splitlines():
            if line.split()[0] == number:
                found[limit] = int(line.split()[1])
    return found


def let_go(device: str, folder: Path) -> bool:
    """Whether a loop device has no file of the folder any more, soon: another test may be looking at it."""
    backing = Path(f"/sys/block/{device}/loop/backing_file")
    for _ in range(100):
        try:
            if not backing.read_text().startswith(str(folder)):
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.usefixtures("_can_do")
def test_a_volume_counts_and_is_held(tmp_path: Path) -> None:
    with (
        disk(tmp_path, "work", SC1_BURST, 64 * MIB) as work,
        disk(tmp_path, "set", SC1_BURST, 64 * MIB) as other,
    ):
        meter = Meter("ours", work, other)
        with work.held():
            assert held(work.lower) == {
                "read_bps": 78 * MIB,
                "write_bps": 78 * MIB,
                "read_iops": 80,
                "write_iops": 80,
            }
            with meter.stage("write"):
                (work.mount / "file").write_bytes(os.urandom(8 * MIB))
            with meter.stage("read", share=0.5):
                (work.mount / "file").read_bytes()
        assert held(work.lower) == {}
        write, read = meter.stages
        assert 8 * MIB <= write.work.written_bytes < 9 * MIB
        assert write.work.writes < 30  # merged up to 1 MiB
        assert 16 * MIB <= read.work.read_bytes < 18 * MIB  # scaled up from half
        assert read.dataset.total_bytes < MIB
        devices = (work.upper, work.lower)
    for device in devices:
        assert let_go(device, tmp_path)
    assert [path.name for path in tmp_path.rglob("*.img")] == []


@pytest.mark.usefixtures("_can_do")
def test_what_a_killed_run_left_is_taken_down(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from bench.rigs.disks import MIB, SC1_BURST, disk\n"
        "with disk(pathlib.Path(sys.argv[1]), 'work', SC1_BURST, 64 * MIB) as work:\n"
        "    print(work.upper, work.lower, flush=True)\n"
        "    work.held().__enter__()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert (tmp_path / "work").is_mount()
    clear(tmp_path)
    assert not (tmp_path / "work").is_mount()
    for device in killed.stdout.split():
        assert held(device) == {}
        assert let_go(device, tmp_path)


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BenchError, match="run it as root"):
        check()


def test_traffic_is_the_difference_of_counters() -> None:
    assert Traffic(5, 7, 3, 2) - Traffic(1, 2, 1, 1) == Traffic(4, 5, 2, 1)
    assert Traffic(5, 7, 3, 2).total_bytes == 12
