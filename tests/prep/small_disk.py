"""A small disk of its own for a test: ext4 on a loop device, which can be filled up to any byte."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from prep.state.files import sync_file_system

BYTES = 256 << 20  # sparse: takes no more of the machine's disk than is written
BALLAST = "ballast"


def run(*command: str) -> str:
    """What a command of the system prints; it must succeed."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - the tests' own words
    return done.stdout.strip()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """An empty file system, mounted below `folder`. Takes root."""
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(BYTES)
    # None of it is kept for root, so that it is as full for a test as for anybody.
    run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", str(image))
    device = run("losetup", "--find", "--show", str(image))
    try:
        run("mount", device, str(mount))
        try:
            yield mount
        finally:
            run("umount", str(mount))
    finally:
        run("losetup", "--detach", device)


def fill(mount: Path, leave: int) -> None:
    """Take all of the disk but `leave` bytes.

    What the file system says is free is not quite what it gives: so all is taken, then some given back.
    """
    sync_file_system(mount)  # what is on its way takes its blocks first
    size = 0
    with (mount / BALLAST).open("wb") as file:
        for step in (64 << 20, 8 << 20, 1 << 20, 64 << 10, 1 << 10):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
        file.truncate(size - leave)
    number = 0
    with contextlib.suppress(OSError):
        while not leave:  # blocks that a large file can't take
            (mount / f"{BALLAST}-{number}").write_bytes(b"x")
            number += 1


def make_room(mount: Path) -> None:
    """Take the ballast away."""
    for path in mount.glob(f"{BALLAST}*"):
        path.unlink()
