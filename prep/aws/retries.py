"""Retries: repeat AWS calls until the network or the service is back, for ten minutes at most.

botocore's own retries last at most about half a minute, share one small budget among all threads, and repeat
calls that must not be repeated. So they are turned off. Instead, botocore's event `needs-retry` calls the
function that `repeat_calls` registers.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from prep.aws.errors import BUSY, DAMAGED
from prep.errors import AwsError
from prep.interrupt import stopping
from prep.progress import duration

Note = Callable[[str], None]

# Twice as long as an outage of five minutes, of a router or a zone. After that, systemd restarts prep.
LONGEST_SECONDS = 600.0
# The pauses double from one second up to this; each is shortened at random by up to half.
LONGEST_PAUSE = 30.0
BUSY_STATUS = {429, 500, 502, 503, 504}
# They have no client token: if they were repeated after a lost answer, there would be two snapshots.
NOT_TWICE = {"CopySnapshot", "CreateSnapshot"}
# EC2 answers with status 500, but the zone has no such instance for longer than anybody waits; another may.
# https://github.com/hashicorp/terraform-provider-aws/pull/21293
LASTING = {"InsufficientCapacity", "InsufficientInstanceCapacity", "UnfulfillableCapacity"}
PASSING = (BotoConnectionError, HTTPClientError)
# After these errors, the request has not left this machine.
NOT_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)


class Repeats:
    """The repeats of one call."""

    def __init__(self, operation: str, note: Note) -> None:
        self._operation = operation
        self._note = note
        self._begun = time.monotonic()
        self._number = 0

    def wait(self, reason: str) -> bool:
        """Wait before the next attempt. False if there must be none: the time is over, or the user stops."""
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
    """Repeat failed calls of a boto3 client; `note` gets a line of text for each repeat."""

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


def may_pass(error: AwsError) -> bool:
    """Whether the same call may succeed later: the network or the service failed, and nobody refused."""
    cause = error.__cause__
    if isinstance(cause, ClientError):
        code = cause.response["Error"].get("Code")
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return code in BUSY | DAMAGED or status in BUSY_STATUS
    return isinstance(cause, PASSING) and not isinstance(cause, SSLError)


def _passing(
    operation: str, response: tuple[Any, dict[str, Any]] | None, error: Exception | None
) -> str | None:
    """The reason of a failure if the call may succeed later and can be repeated safely, else None."""
    if error is not None:
        passing = isinstance(error, PASSING) and not isinstance(error, SSLError)
        safe = operation not in NOT_TWICE or isinstance(error, NOT_SENT)
        return str(error).rstrip(".") if passing and safe else None
    if response is None:
        return None
    http, parsed = response
    code = str(parsed.get("Error", {}).get("Code", ""))
    if code in LASTING:
        return None
    throttled = http.status_code == 429 or code in BUSY
    if not throttled and operation in NOT_TWICE:
        return None
    if throttled or code in DAMAGED or http.status_code in BUSY_STATUS:
        return code or f"HTTP {http.status_code}"
    return None
