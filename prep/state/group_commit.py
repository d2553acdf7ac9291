"""Group commit: the work of several units is flushed to disk at once, and only then noted in a journal.

A flush for every unit makes many small requests and keeps the disk idle between them. Here a thread flushes
without a pause for as long as there is something to flush: while one flush runs, more units are written, and
the next flush takes them all. So a slow disk gets large groups, and a fast one commits every unit.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Entry = TypeVar("Entry")

# Bytes of units that may be written and not flushed: what a kill can cost at most. They are in the page
# cache, not in this process.
MOST_BYTES = 256 << 20


class GroupCommit(Generic[Entry]):
    """Commits entries in the order in which they are added. Its thread lives while there is work."""

    def __init__(self, name: str, flush: Callable[[], None], note: Callable[[Sequence[Entry]], None]) -> None:
        """`flush` makes durable what was written before; `note` puts entries into the journal."""
        self._name = f"{name} commit"
        self._flush = flush
        self._note = note
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, Entry]] = []
        self._bytes = 0  # of entries that are not in the journal yet
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def add(self, size: int, entry: Entry) -> None:
        """Commit an entry of `size` bytes soon. Waits while too many bytes are not flushed.

        Raises:
            PrepError, OSError: what a flush has raised.
        """
        with self._changed:
            self._waiting.append((size, entry))
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name)
                self._thread.start()
            self._changed.wait_for(lambda: self._failure or self._bytes <= MOST_BYTES)
        self._raise()

    def finish(self) -> None:
        """Wait until everything that was added is committed.

        Raises:
            PrepError, OSError: what a flush has raised.
        """
        self.settle()
        self._raise()

    def settle(self) -> None:
        """Wait until nothing is under way, whether it succeeds or not."""
        thread = self._thread
        if thread:
            thread.join()

    def _raise(self) -> None:
        if self._failure:
            raise self._failure

    def _work(self) -> None:
        try:
            while group := self._next():
                self._flush()
                self._note([entry for _, entry in group])
                with self._changed:
                    self._bytes -= sum(size for size, _ in group)
                    self._changed.notify_all()
        except BaseException as error:  # raised in the thread that adds
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next(self) -> list[tuple[int, Entry]]:
        with self._changed:
            group, self._waiting = self._waiting, []
            if not group:
                self._thread = None
            return group
