"""`python -m prep` with small units, small ranges and little memory: a few megabytes arrive in many steps.

In haste as well, unless a test wants to see who waits for whom.
"""

import os
import sys
from typing import Any

from prep import command_line
from prep.archives import passes
from prep.cli import main
from prep.sources import arrival, fetch
from tests.prep.hasty import RANGE_BYTES, hurry

OVERLAPPING = [sys.executable, "-m", "tests.prep.overlapping"]
PATIENT = {"TESTS_PATIENT": "1"}  # timeouts and pauses as always
OPENED = "TESTS_OPENED"  # names a file that gets a line for each archive that is opened for reading only


def _note(event: str, arguments: Any) -> None:
    """Hook for `sys.addaudithook`."""
    if event == "open" and ".tar" in str(arguments[0]) and not arguments[2] & os.O_ACCMODE:
        with open(os.environ[OPENED], "a", encoding="utf-8") as file:  # noqa: PTH123 - raises no such event
            file.write(f"{arguments[0]}\n")


if __name__ == "__main__":
    # Not at the top: a test that imports this module must keep its units.
    from tests.prep import small_units  # noqa: F401 - it changes this process

    passes.MOST_BYTES = 1 << 20
    if PATIENT.keys() <= os.environ.keys():
        arrival.RANGE_BYTES, fetch.SPARE = RANGE_BYTES, 1 << 20
    else:
        hurry()
    if OPENED in os.environ:
        sys.addaudithook(_note)
    command_line.end(main())
