"""shutdown for an instance of the rehearsal: asks process 1 to power off, or with -r to start again.

A shutdown that is planned in a minute ("+1") comes when the service that plans it has ended: by then it is
noted how it ended, and nobody has to wait for the rest of the minute.
"""

import os
import signal
import sys
import time
from pathlib import Path


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


def wait_for_end(pid: int, seconds: float) -> None:
    """Returns when the process is gone, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def main() -> None:
    number = signal.SIGUSR1 if "-r" in sys.argv else signal.SIGTERM
    planned = [word for word in sys.argv if word.startswith("+")]
    if planned:
        # Who asks is a script of the service; its parent supervises the service.
        supervisor = parent(os.getppid())
        if os.fork():
            return
        os.setsid()
        wait_for_end(supervisor, 60.0 * int(planned[0]))
    os.kill(1, number)


if __name__ == "__main__":
    main()
