"""The command line, run as its user runs it: a process of its own."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from prep import contract
from prep.cli import main

REPOSITORY = Path(__file__).parents[2]
PREP = [sys.executable, "-m", "prep"]
# The same with units and buckets small enough that a sample has many.
PREP_SMALL = [sys.executable, "-m", "tests.prep.small_units"]
# Where a script started the tests in its background, SIGINT is ignored, and a child would inherit that.
HEED_SIGNALS = ["env", "--default-signal=INT,TERM"]
LONGEST = 60.0  # seconds; a command of these tests takes two or three


Environment = Mapping[str, str | None]
"""Variables to set, or with None to unset."""


def environment(changes: Environment | None = None) -> dict[str, str]:
    """This process's environment without options for `prep`, changed."""
    options = {value: None for name, value in vars(contract).items() if name.startswith("ENV_")}
    changed = dict(os.environ) | options | dict(changes or {})
    return {name: value for name, value in changed.items() if value is not None}


def run(
    *arguments: str, env: Environment | None = None, program: list[str] = PREP
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(  # noqa: S603 - our own program
        [*program, *arguments],
        cwd=REPOSITORY,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: a second quicker than `run`, for what needs no process of its own."""
    out, err, handler = io.StringIO(), io.StringIO(), signal.getsignal(signal.SIGTERM)
    given, sys.argv = sys.argv, ["prep/__main__.py", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main()
    finally:
        sys.argv = given
        signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def start(
    *arguments: str, env: Environment | None = None, program: list[str] = PREP
) -> "subprocess.Popen[str]":
    """Start a command; it heeds Ctrl-C and SIGTERM."""
    return subprocess.Popen(  # noqa: S603 - our own program
        [*HEED_SIGNALS, *program, *arguments],
        cwd=REPOSITORY,
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> bool:
    """Wait until the condition holds; False if the process ended first."""
    deadline = time.monotonic() + LONGEST
    while not condition():
        if process.poll() is not None:
            return condition()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)
    return True


def lines(path: Path) -> int:
    """How many whole lines there are in a journal, which may not be there yet."""
    return len(journal_lines(path)) if path.exists() else 0


def journal_lines(path: Path) -> list[str]:
    """The whole lines of a journal, without the empty ones that are written ahead."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n") and line.strip()]


def folders(root: Path) -> list[str]:
    """The options that say where to work."""
    return ["--root", str(root / "root"), "--packed", str(root / "packed")]
