"""`python -m prep` in haste: small ranges, and pauses and timeouts so short that a test can wait for them.

How often something is tried again is as always.
"""

import sys

from botocore.retries import standard
from urllib3.util import Timeout

from prep import aws, download, http_source
from prep.cli import main

HASTY = [sys.executable, "-m", "tests.prep.hasty"]
RANGE_BYTES = 64 << 10
SILENCE = 0.5  # seconds after which a server is taken for stalled
PAUSE = 0.02  # seconds between two tries


def hurry() -> None:
    """Make this process a hasty one."""
    download.RANGE_BYTES = RANGE_BYTES
    download.SPARE = 1 << 20
    http_source.LONGEST_PAUSE = PAUSE
    http_source.TIMEOUT = Timeout(connect=SILENCE, read=SILENCE)
    aws.OPTIONS |= {"connect_timeout": SILENCE, "read_timeout": SILENCE}
    standard.ExponentialBackoff.delay_amount = lambda *_: PAUSE  # type: ignore[method-assign]


if __name__ == "__main__":
    hurry()
    sys.exit(main())
