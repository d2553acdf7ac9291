"""Calls to AWS that are repeated until the network or the service is back, for ten minutes at most.

botocore's own retries last about half a minute at best, share one small budget among all threads, and repeat
calls that must not be. So they are turned off, and this is asked instead, by botocore's event `needs-retry`.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    SSLError,
)

from prep.aws.errors import BUSY, DAMAGED
from prep.interrupt import stopping
from prep.progress import duration

Note = Callable[[str], None]

# Twice as long as a gap of five minutes, such as a router's or a zone's; then systemd's restart takes over.
LONGEST_SECONDS = 600.0
# The pauses double from one second up to this, each shortened at random by up to half.
LONGEST_PAUSE = 30.0
BUSY_STATUS = {429, 500, 502, 503, 504}
# CreateSnapshot has no client token: repeated after a lost answer, it would take a second snapshot.
NOT_TWICE = {"CreateSnapshot"}
PASSING = (BotoConnectionError, HTTPClientError)
# With these the request has not left this machine.
NOT_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)


class Repeats:
    """The repeats of one call."""

    def __init__(self, operation: str, note: Note) -> None:
        self._operation = operation
        self._note = note
        self._begun = time.monotonic()
        self._number = 0

    def wait(self, reason: str) -> bool:
        """Wait before the next try; False if there is to be none: it took too long, or the user stops."""
        left = LONGEST_SECONDS - (time.monotonic() - self._begun)
        if left <= 0:
            return False
        pause = min(LONGEST_PAUSE, 2.0**self._number) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._number += 1
        self._note(
            f"{self._operation}: {reason}: trying again in {pause:.0f} s, for {duration(left)} at most"
        )
        return not stopping.wait(pause)


def repeat_calls(client: Any, note: Note) -> None:
    """Have the calls of a boto3 client repeated; each repeat is told to `note`."""

    def again(
        operation: Any,
        request_dict: dict[str, Any],
        response: tuple[Any, dict[str, Any]] | None = None,
        caught_exception: Exception | None = None,
        **_: object,
    ) -> int | None:
        reason = _passing(operation.name, response, caught_exception)
        if reason is None:
            return None
        repeats = request_dict["context"].setdefault("prep_repeats", Repeats(operation.name, note))
        return 0 if repeats.wait(reason) else None

    client.meta.events.register("needs-retry", again)


def _passing(
    operation: str, response: tuple[Any, dict[str, Any]] | None, error: Exception | None
) -> str | None:
    """Why a call failed, if it may succeed later and can be repeated safely; else None."""
    if error is not None:
        passing = isinstance(error, PASSING) and not isinstance(error, SSLError)
        safe = operation not in NOT_TWICE or isinstance(error, NOT_SENT)
        return str(error).rstrip(".") if passing and safe else None
    if response is None:
        return None
    http, parsed = response
    code = str(parsed.get("Error", {}).get("Code", ""))
    throttled = http.status_code == 429 or code in BUSY
    if not throttled and operation in NOT_TWICE:
        return None
    if throttled or code in DAMAGED or http.status_code in BUSY_STATUS:
        return code or f"HTTP {http.status_code}"
    return None
