"""Which files were found whole, so that a file is read for its digest only once, and again if it changes."""

import json
from pathlib import Path
from typing import Any

from prep.state.files import write_json

FileVersion = list[int]
"""Size in bytes and time of change in nanoseconds: what tells that a file may be another now."""


def version_of(path: Path) -> FileVersion:
    """The version of a file as it is now."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


class CheckedFiles:
    """Files by name, each with the version and the digest that it was found to have."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._files: dict[str, list[Any]] = json.loads(path.read_text())
        except (OSError, ValueError):
            self._files = {}

    def knows(self, path: Path, digest: str) -> bool:
        """Whether the file, as it is now, was found to have this digest."""
        return self._files.get(path.name) == [*version_of(path), digest]

    def note(self, path: Path, digest: str, version: FileVersion) -> None:
        """Note that the file had this digest when it was of this version: the one before it was read."""
        self._files[path.name] = [*version, digest]
        write_json(self._path, self._files)
