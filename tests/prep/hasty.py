"""`python -m prep` in haste: small ranges, and pauses and timeouts so short that a test can wait for them.

How often something is tried again is as always.
"""

import sys

from botocore.retries import standard
from urllib3.util import Timeout

from prep.aws import clients
from prep.cli import main
from prep.sources import fetch, http

HASTY = [sys.executable, "-m", "tests.prep.hasty"]
RANGE_BYTES = 64 << 10
SILENCE = 0.5  # seconds after which a server is taken for stalled
PAUSE = 0.02  # seconds between two tries


def hurry() -> None:
    """Make this process a hasty one."""
    fetch.RANGE_BYTES = RANGE_BYTES
    fetch.SPARE = 1 << 20
    http.LONGEST_PAUSE = PAUSE
    http.TIMEOUT = Timeout(connect=SILENCE, read=SILENCE)
    clients.OPTIONS |= {"connect_timeout": SILENCE, "read_timeout": SILENCE}
    standard.ExponentialBackoff.delay_amount = lambda *_: PAUSE  # type: ignore[method-assign]


if __name__ == "__main__":
    hurry()
    sys.exit(main())
