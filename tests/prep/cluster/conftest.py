"""What the tests of a cluster share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that read ranges."""
    with ThreadPoolExecutor(8) as threads:
        yield threads
