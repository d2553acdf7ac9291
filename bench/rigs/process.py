"""Commands run and timed as their users run them: the whole process, from start to exit."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import REPOSITORY, BenchError

# Nothing here takes a tenth of this; it keeps a benchmark from hanging for good on a worker that was killed.
LIMIT_SECONDS = 3600.0
LOOK_SECONDS = 0.02  # how often a running process is looked at


@dataclass(frozen=True)
class Ran:
    """A process that ended well: seconds by the clock, and its standard output."""

    seconds: float
    output: str


def run(
    arguments: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path = REPOSITORY,
    watch: Callable[[int], None] | None = None,
    limit: float = LIMIT_SECONDS,
) -> Ran:
    """Run a command to its end; what it says on standard error goes to the end of `log`.

    `watch` is called with its process id, again and again while it runs.

    Raises:
        BenchError: it failed, with the last line that it said, or did not end within `limit` seconds.
    """
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PREP_")}
    command = [str(argument) for argument in arguments]
    output = log.with_name(log.name + ".out")
    with log.open("ab") as errors, output.open("wb") as told:
        begun = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - commands of this repository
            command,
            cwd=folder,
            env=settings | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=errors,
            process_group=0,
        )
        try:
            code = _wait(process, begun, limit, watch)
            seconds = time.perf_counter() - begun
        except BaseException:
            kill(process)
            raise
    if code is None:
        kill(process)
        raise BenchError(
            f"{_name(command)}: did not end within {limit:.0f} s: {_shown(log)} has what it said"
        )
    if code:
        raise BenchError(f"{_name(command)}: failed with {code}: {_last_line(log)} ({_shown(log)})")
    return Ran(seconds, output.read_text())


def _wait(
    process: "subprocess.Popen[bytes]",
    begun: float,
    limit: float,
    watch: Callable[[int], None] | None,
) -> int | None:
    """Its exit code, or None if it does not end in time."""
    if watch is None:
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
    while time.perf_counter() - begun < limit:
        watch(process.pid)
        try:
            return process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return None


def kill(process: "subprocess.Popen[bytes]") -> None:
    """The process and all that it started: im2rec.py's workers would outlive it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def peak_memory(pid: int) -> int:
    """The most bytes of memory that a process has had so far (VmHWM); 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that a process has had so far, in all its threads; 0 once it is gone."""
    try:
        # The name of the program, in brackets, can hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # for itself and in the kernel


def _name(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:4]])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


def _shown(path: Path) -> Path:
    return path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
