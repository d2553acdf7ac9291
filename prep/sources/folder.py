"""A source whose files are in a folder of this machine, for example on a disk that was plugged in."""

import os
import threading
from pathlib import Path

from prep.errors import SourceError
from prep.sources.source import SourceChangedError, Version, Wanted


class FolderSource:
    """Serves the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def version(self, wanted: Wanted) -> Version:
        """Size of the file, and its time of change as an ETag.

        Raises:
            SourceError: the file doesn't exist or can't be read.
        """
        path = self._folder / wanted.file
        try:
            facts = path.stat()
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}: check --source") from error
        return Version(facts.st_size, str(facts.st_mtime_ns))

    def fetch(self, wanted: Wanted, version: Version, start: int, end: int, _stop: threading.Event) -> bytes:
        """The bytes [start, end) of the file.

        Raises:
            SourceChangedError: the file has changed.
            SourceError: the file can't be read.
        """
        path = self._folder / wanted.file
        try:
            with path.open("rb", buffering=0) as file:
                data = bytearray()
                while chunk := os.pread(file.fileno(), end - start - len(data), start + len(data)):
                    data += chunk
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}: check the disk") from error
        if self.version(wanted) != version:
            raise SourceChangedError(
                f"{path}: changed while it was read: run again when nothing else writes to it"
            )
        return bytes(data)
