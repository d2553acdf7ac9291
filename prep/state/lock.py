"""The lock that lets only one process at a time work on the volumes of a data set."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from prep.errors import DescriptionError
from prep.state.files import disk_errors
from prep.state.layout import Layout

TRIES = 5
PAUSE = 0.05  # seconds


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Create the folders of the layout, and lock them against a second process.

    Raises:
        DescriptionError: another process holds the lock.
    """
    with disk_errors(layout.root):
        layout.receipts.mkdir(parents=True, exist_ok=True)
        layout.packed.mkdir(parents=True, exist_ok=True)
    with (layout.receipts / "lock").open("w") as lock:
        if not _got(lock):
            raise DescriptionError(
                f"{layout.root}: another prep process is using this folder: wait until it ends"
            )
        yield


def _got(lock: IO[str]) -> bool:
    """Whether the lock could be had. `is_locked` may hold it for a moment: so it is tried again."""
    for left in reversed(range(TRIES)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if left:
                time.sleep(PAUSE)
    return False


def is_locked(layout: Layout) -> bool:
    """Whether a process is at work in the folders. Makes nothing."""
    try:
        with (layout.receipts / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
