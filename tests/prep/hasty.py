"""`python -m prep` in haste: small ranges, and pauses and timeouts so short that a test can wait for them.

How often a web server is asked again is as always; calls to AWS are repeated for seconds, not minutes.
"""

import sys

from urllib3.util import Timeout

from prep import command_line
from prep.aws import clients, retries
from prep.cli import main
from prep.sources import arrival, fetch, http

HASTY = [sys.executable, "-m", "tests.prep.hasty"]
RANGE_BYTES = 64 << 10
SILENCE = 0.5  # seconds after which a server is taken for stalled
PAUSE = 0.02  # seconds between two tries
GAP = 3.0  # seconds for which calls to AWS are repeated


def hurry() -> None:
    """Make this process a hasty one."""
    arrival.RANGE_BYTES = RANGE_BYTES
    fetch.SPARE = 1 << 20
    http.LONGEST_PAUSE = PAUSE
    http.TIMEOUT = Timeout(connect=SILENCE, read=SILENCE)
    clients.OPTIONS |= {"connect_timeout": SILENCE, "read_timeout": SILENCE}
    retries.LONGEST_PAUSE = PAUSE
    retries.LONGEST_SECONDS = GAP


if __name__ == "__main__":
    hurry()
    command_line.end(main())
