"""Group commit: the work of several units is flushed to disk at once, and only then noted in a journal.

A flush for every unit makes many small requests, and keeps the disk idle between them. Here a thread flushes
when enough has been written; while one flush runs, more units are written, and the next flush takes them all.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Entry = TypeVar("Entry")

# Bytes of units that are worth a flush, on a volume where a small write costs as much as one of 1 MiB.
WORTH_BYTES = 256 << 20
# Bytes of units that may be written and not flushed yet, so what a kill can cost at most. They are in the
# page cache, not in the memory of this process.
MOST_BYTES = 3 << 29


class GroupCommit(Generic[Entry]):
    """Commits entries in the order in which they are added. Its thread lives while there is work."""

    def __init__(
        self,
        name: str,
        flush: Callable[[], None],
        note: Callable[[Sequence[Entry]], None],
        worth: int | None = None,
    ) -> None:
        """`flush` makes durable what was written before; `note` puts entries into the journal.

        `worth` is how many bytes of units are worth a flush; WORTH_BYTES if None.
        """
        self._worth = WORTH_BYTES if worth is None else worth
        self._name = f"{name} commit"
        self._flush = flush
        self._note = note
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, Entry]] = []
        self._bytes = 0  # of entries that are not in the journal yet
        self._thread: threading.Thread | None = None
        self._settling = False  # however little is waiting, it is flushed
        self._failure: BaseException | None = None

    def add(self, size: int, entry: Entry, later: bool = False) -> None:
        """Commit an entry of `size` bytes soon or, with `later`, when `finish` is called.

        Waits while too many bytes are not flushed.

        Raises:
            PrepError, OSError: what a flush has raised.
        """
        with self._changed:
            self._waiting.append((size, entry))
            self._bytes += size
            if self._bytes >= (MOST_BYTES if later else self._worth):
                self._start()
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
        with self._changed:
            self._settling = True
            self._start()
            thread = self._thread
        if thread:
            thread.join()
        self._settling = False

    def _start(self) -> None:
        if self._thread is None and self._waiting and not self._failure:
            self._thread = threading.Thread(target=self._work, name=self._name)
            self._thread.start()

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
            group = self._waiting
            if not group or not (self._settling or sum(size for size, _ in group) >= self._worth):
                self._thread = None
                return []
            self._waiting = []
            return group
