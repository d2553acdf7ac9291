"""The lock that lets only one process at a time work on the volumes of a data set."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from prep.errors import DescriptionError
from prep.state.files import disk_errors
from prep.state.layout import Layout


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
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DescriptionError(
                f"{layout.root}: another prep process is using this folder: wait until it ends"
            ) from None
        yield
