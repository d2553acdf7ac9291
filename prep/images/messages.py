"""Messages of the image libraries on standard error: captured, and attributed to the right image.

libjpeg reports damaged picture data only there ("Corrupt JPEG data: …"), and does not name the image; OpenCV
returns the picture as if it were undamaged. While messages are captured, the standard error of the C
libraries is a file in memory. Python's own standard error is not affected.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

STDERR = 2
T = TypeVar("T")


class _Kept:
    """Captures the standard error of the C libraries, for all threads of the process."""

    def __init__(self) -> None:
        self.users = 0
        self.memory = -1
        self.real = -1
        self.stream: TextIO | None = None
        self.before: TextIO | None = None

    def start(self) -> None:
        try:
            self.real = os.dup(STDERR)
        except OSError:  # standard error is closed: there is nothing to capture
            return
        self.memory = os.memfd_create("decoder-messages")
        self.before = sys.stderr
        if self.before is not None and _descriptor(self.before) == STDERR:
            self.before.flush()
            self.stream = open(  # noqa: SIM115 - closed by `stop`
                self.real, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
            )
            sys.stderr = self.stream
        os.dup2(self.memory, STDERR)

    def stop(self) -> None:
        if self.memory < 0:
            return
        os.dup2(self.real, STDERR)
        if self.stream is not None:
            self.stream.flush()
            if sys.stderr is self.stream:
                sys.stderr = self.before
            self.stream = None
        os.close(self.memory)
        os.close(self.real)
        self.memory = -1

    def size(self) -> int:
        return os.fstat(self.memory).st_size if self.memory >= 0 else 0

    def clear(self) -> None:
        if self.memory >= 0:
            os.ftruncate(self.memory, 0)
            os.lseek(self.memory, 0, os.SEEK_SET)

    def text(self) -> str:
        return os.pread(self.memory, self.size(), 0).decode(errors="replace") if self.memory >= 0 else ""


def _descriptor(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return -1


class _Turns:
    """A lock: any number of decoders at once (`shared`), or one alone (`alone`)."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shared = 0
        self._alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._shared += 1
        try:
            yield
        finally:
            with self._changed:
                self._shared -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._shared)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


_kept = _Kept()
_starting = threading.Lock()
_turns = _Turns()


@contextmanager
def messages_kept() -> Iterator[None]:
    """Capture the messages of the image libraries until the context ends."""
    with _starting:
        if not _kept.users:
            _kept.start()
        _kept.users += 1
    try:
        yield
    finally:
        with _starting:
            _kept.users -= 1
            if not _kept.users:
                _kept.stop()


def with_messages(decode: Callable[[], T]) -> tuple[T, str]:
    """The result of `decode`, and the messages of the libraries about it, "" if there are none.

    Within `messages_kept` this costs almost nothing. If a message appears while several images are being
    decoded, this image is decoded again, alone, to find out whether the message is about it.
    """
    with messages_kept():
        return _with_messages(decode)


def _with_messages(decode: Callable[[], T]) -> tuple[T, str]:
    with _turns.shared():
        before = _kept.size()
        result = decode()
        if _kept.size() == before:
            return result, ""
    with _turns.alone():
        _kept.clear()
        result = decode()
        lines = dict.fromkeys(line.strip() for line in _kept.text().splitlines())
        return result, "; ".join(line.removeprefix("Corrupt JPEG data: ") for line in lines if line)
