"""Records which files have been checked, so that a file is read for its digest again only if it changes."""

import json
import threading
from pathlib import Path
from typing import Any

from prep.state.files import write_json

FileVersion = list[int | str]
"""What tells that a file may be another now: of a file on disk its size in bytes and its time of change in
nanoseconds; of a file on a server its size and its ETag."""


def version_of(path: Path) -> FileVersion:
    """The version of a file on disk as it is now."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


_noting = threading.Lock()


class CheckedFiles:
    """Files by name, each with its version, the digest that it was found to have, and where it came from.

    Downloads and a pass may note files in one record at the same time, each with an object of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def _read(self) -> dict[str, list[Any]]:
        try:
            files: dict[str, list[Any]] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return files

    def knows(self, path: Path, digest: str) -> bool:
        """Whether the file, as it is now, was found to have this digest."""
        return self._read().get(path.name, [])[:3] == [*version_of(path), digest]

    def fetched_version(self, path: Path) -> FileVersion | None:
        """The version on the server from which the file was downloaded; None if that is not known."""
        return next(iter(self._read().get(path.name, [])[3:]), None)

    def note(self, path: Path, digest: str, version: FileVersion, fetched: FileVersion | None = None) -> None:
        """Note that the file had this digest when it was of this version: the one before it was read."""
        with _noting:
            entry = [*version, digest, *([fetched] if fetched else [])]
            write_json(self._path, self._read() | {path.name: entry})
