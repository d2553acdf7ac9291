"""Reading a file while it arrives, in the way that a file on disk is read."""

import os
from pathlib import Path
from typing import Protocol

BACK = 512  # bytes that a reader may want again: it looks at the header of the next unit before that is due


class ReadAlong(Protocol):
    """A file on its way that can be read along."""

    size: int

    def wait_for(self, offset: int) -> tuple[int, memoryview | None]:
        """Wait for a byte; the end of what can be read from there, and the bytes if they are in memory."""

    def has_read(self, offset: int) -> None:
        """Nobody will read what lies before this byte."""

    def path_now(self) -> Path:
        """Where the bytes lie at the moment."""


class ArrivingFile:
    """Reads a file as it arrives: from memory where its ranges are there, else from disk."""

    def __init__(self, arrival: ReadAlong) -> None:
        self._arrival = arrival
        self._file: int | None = None
        self._offset = 0

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            os.close(self._file)

    def seek(self, offset: int, /) -> None:
        """Go to a byte; what lies before it is not read any more."""
        self._offset = offset
        self._arrival.has_read(offset)

    def readinto(self, buffer: memoryview, /) -> int:
        """Read what can be had at once, at least one byte; 0 at the end."""
        if not buffer or self._offset >= self._arrival.size:
            return 0
        end, data = self._arrival.wait_for(self._offset)
        if data is None:
            if self._file is None:
                self._file = os.open(self._arrival.path_now(), os.O_RDONLY)
            count = os.preadv(self._file, [buffer[: end - self._offset]], self._offset)
        else:
            count = min(len(buffer), end - self._offset)
            buffer[:count] = data[:count]
        self._offset += count
        self._arrival.has_read(max(0, self._offset - BACK))
        return count
