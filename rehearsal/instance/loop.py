"""Loop devices that go away with the process that made them."""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import os
import subprocess
from pathlib import Path

GIB = 1 << 30


def loop_device(image: Path) -> tuple[str, int]:
    """A loop device over the image and the descriptor that keeps it.

    The device goes away by itself when the last descriptor and mount do, even if this process is killed.
    """
    shown = subprocess.run(
        ["losetup", "--find", "--show", str(image)],
        check=True,
        capture_output=True,
        text=True,
    )
    device = shown.stdout.strip()
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    # Detaching a device that is open marks it to be detached on its last close.
    subprocess.run(["losetup", "--detach", device], check=True)
    return device, descriptor
