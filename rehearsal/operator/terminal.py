"""A terminal of the operator: one shell, with a keyboard, that runs one command after the other."""

# ruff: noqa: S603, S607 (the commands of the README)

import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import tail

# The shell reads commands from one descriptor and writes their exit statuses to another, so that its standard
# input is the keyboard. Variables and functions stay from one command to the next.
LOOP = """
set -o pipefail
while IFS= read -r -d '' -u {commands} command; do
  eval "$command" {commands}<&- {statuses}>&-
  echo "$?" >&{statuses}
done
"""


class Terminal:
    """bash in a folder. What its commands write is appended to the log."""

    def __init__(self, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.log = log
        self._keyboard, self._screen = pty.openpty()
        commands, self._commands = os.pipe()
        self._statuses, statuses = os.pipe()
        script = LOOP.format(commands=commands, statuses=statuses)
        with log.open("ab") as output:
            self._shell = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "bash", "--norc", "-c", script],
                stdin=self._screen,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=dict(environment),
                pass_fds=(commands, statuses),
                start_new_session=True,
            )
        os.close(commands)
        os.close(statuses)

    def run(
        self, command: str, typed: str, seconds: float, note: Callable[[str], None]
    ) -> tuple[int, list[str]]:
        """The exit status of the command, and the lines that it wrote. `typed` is what the keyboard gives it.

        Raises:
            RehearsalError: it took longer than `seconds`, or ended the shell.
        """
        begun = self.log.stat().st_size
        os.write(self._keyboard, typed.encode())
        os.write(self._commands, command.encode() + b"\0")
        status = self._status(command, seconds, note)
        termios.tcflush(self._screen, termios.TCIFLUSH)  # what it did not read is not for the next one
        with self.log.open("rb") as log:
            log.seek(begun)
            return status, log.read().decode(errors="replace").splitlines()

    def _status(self, command: str, seconds: float, note: Callable[[str], None]) -> int:
        deadline = time.monotonic() + seconds
        while not select.select([self._statuses], [], [], 0.5)[0]:
            if time.monotonic() > deadline:
                raise RehearsalError(f"{command!r} took longer than {seconds:.0f} s", tail(self.log, 25))
            if lines := [line for line in tail(self.log, 5) if line.strip()]:
                note(lines[-1].rsplit("\r")[-1].strip()[:100])
        answer = os.read(self._statuses, 100)
        if not answer:
            raise RehearsalError(f"{command!r} ended the shell", tail(self.log, 25))
        return int(answer)

    def close(self) -> None:
        """Ends the shell and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        for descriptor in (self._keyboard, self._screen, self._commands, self._statuses):
            os.close(descriptor)
