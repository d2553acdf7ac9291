"""The rehearsal as a command, for the tests."""

# ruff: noqa: S603 (the rehearsal itself)

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)


def rehearse(output: Path, *options: str, seconds: float = 600) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "rehearsal", "--output", str(output), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        cwd=REPOSITORY,
    )


def loops() -> list[str]:
    found = Path("/sys/block").glob("loop*/loop/backing_file")
    return [text for path in found if (text := path.read_text().strip())]
