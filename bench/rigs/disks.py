"""Volumes as slow as EBS: file systems on loop devices that the kernel's block I/O throttle holds.

Two loop devices, one upon the other. The upper one has the file system, a scheduler that merges, and requests
of at most the size that EBS counts as one; each of its requests reaches the lower one as it is, and there the
throttle of cgroup v1's blkio controller (on the root group, so that the kernel's own writeback is held too)
counts it. The page cache of the file behind is passed by.

What is held: bytes and requests a second, reads and writes each for itself. What EBS does besides and this
does not: count reads and writes together, credits and their end, latency of its own, and free small requests
that follow on each other (sc1 counts those as one).
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.report import BenchError

BLKIO: Final = Path("/sys/fs/cgroup/blkio")
MIB: Final = 1 << 20
SECTOR: Final = 512  # the kernel's unit in /sys/block/*/stat, whatever the device's own
LIMITS: Final = ("read_bps", "write_bps", "read_iops", "write_iops")


@dataclass(frozen=True)
class Kind:
    """What a volume gives: bytes and requests a second, and bytes that EBS counts as one request."""

    name: str
    bytes_per_second: int
    requests_per_second: int
    request_bytes: int


SC1_BURST: Final = Kind("sc1 of 1000 GiB in burst: 78 MiB/s, 80 requests/s of up to 1 MiB", 78 * MIB, 80, MIB)
GP3: Final = Kind("gp3: 125 MiB/s, 3,000 requests/s of up to 256 KiB", 125 * MIB, 3000, MIB // 4)


@dataclass(frozen=True)
class Traffic:
    """What went through a volume: bytes and requests."""

    read_bytes: int
    written_bytes: int
    reads: int
    writes: int

    @property
    def total_bytes(self) -> int:
        """Both ways."""
        return self.read_bytes + self.written_bytes

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.read_bytes - other.read_bytes,
            self.written_bytes - other.written_bytes,
            self.reads - other.reads,
            self.writes - other.writes,
        )


@dataclass(frozen=True)
class Disk:
    """A mounted volume."""

    mount: Path
    kind: Kind
    upper: str
    lower: str

    def traffic(self) -> Traffic:
        """Since it was made."""
        fields = [int(field) for field in Path(f"/sys/block/{self.upper}/stat").read_text().split()]
        return Traffic(fields[2] * SECTOR, fields[6] * SECTOR, fields[0], fields[4])

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within the block it is as slow as its kind; outside, as fast as the machine's own disk."""
        amounts = (
            *(self.kind.bytes_per_second,) * 2,
            *(self.kind.requests_per_second,) * 2,
        )
        try:
            for limit, amount in zip(LIMITS, amounts, strict=True):
                _limit(self.lower, limit, amount)
            yield
        finally:
            for limit in LIMITS:
                _limit(self.lower, limit, 0)  # none


def check() -> None:
    """That this machine can do it.

    Raises:
        BenchError: it can't; the text says what is missing.
    """
    if os.geteuid():
        raise BenchError("cold disk: loop devices and block I/O limits want root: run it as root")
    if not (BLKIO / "blkio.throttle.read_bps_device").exists():
        raise BenchError(
            "cold disk: no cgroup v1 blkio throttle here: mount -t cgroup -o blkio none /sys/fs/cgroup/blkio"
        )


@contextlib.contextmanager
def disk(folder: Path, name: str, kind: Kind, size: int) -> Iterator[Disk]:
    """A volume of `size` bytes, mounted at `folder`/`name` for the length of a `with` block; not held yet.

    Raises:
        BenchError: there is no room, or the kernel refuses.
    """
    with contextlib.ExitStack() as stack:
        image, mount = folder / f"{name}.img", folder / name
        mount.mkdir(parents=True)
        _command("fallocate", "--length", str(size), str(image))
        stack.callback(image.unlink)
        lower = _loop(image)
        stack.callback(_command, "losetup", "--detach", f"/dev/{lower}")
        upper = _loop(Path(f"/dev/{lower}"))
        stack.callback(_command, "losetup", "--detach", f"/dev/{upper}")
        kib = str(kind.request_bytes // 1024)
        for device in (lower, upper):
            _setting(device, "max_sectors_kb", kib)
        _setting(upper, "scheduler", "mq-deadline")
        _setting(upper, "read_ahead_kb", "1024")  # what AWS advises for sc1: one read of 1 MiB at a time
        # Without its background initialisation, which would be counted as ours.
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        _command("mkfs.ext4", "-q", "-E", lazy, f"/dev/{upper}")
        _command("mount", "-o", "noatime", f"/dev/{upper}", str(mount))
        stack.callback(_command, "umount", str(mount))
        yield Disk(mount, kind, upper, lower)


def clear(folder: Path) -> None:
    """Take down the volumes that a run which was killed left in a folder."""
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        device, mount = line.split()[:2]
        if Path(mount).is_relative_to(folder):
            upper = Path(device)
            lower = Path(f"/sys/block/{upper.name}/loop/backing_file").read_text().strip()
            _command("umount", mount)
            for limit in LIMITS:  # a loop device keeps them for whoever has its number next
                _limit(Path(lower).name, limit, 0)
            for loop in (str(upper), lower):
                _command("losetup", "--detach", loop)


def drop_caches(disks: Sequence[Disk]) -> None:
    """Have all that was written on the disks, and nothing of them in memory."""
    for one in disks:
        _command("sync", "--file-system", str(one.mount))
    Path("/proc/sys/vm/drop_caches").write_text("3")


def _loop(backing: Path) -> str:
    return Path(_command("losetup", "--find", "--show", "--direct-io=on", str(backing)).strip()).name


def _setting(device: str, name: str, value: str) -> None:
    Path(f"/sys/block/{device}/queue/{name}").write_text(value)


def _limit(device: str, limit: str, amount: int) -> None:
    number = Path(f"/sys/block/{device}/dev").read_text().strip()
    (BLKIO / f"blkio.throttle.{limit}_device").write_text(f"{number} {amount}")


def _command(*arguments: str) -> str:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    except FileNotFoundError as error:
        raise BenchError(f"cold disk: no `{arguments[0]}` here: install util-linux and e2fsprogs") from error
    except subprocess.CalledProcessError as error:
        raise BenchError(f"cold disk: {' '.join(arguments)}: {error.stderr.strip()}") from error
    return done.stdout
