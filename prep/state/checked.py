"""Records which files have been checked, so that a file is read for its digest again only if it changes."""

import json
from pathlib import Path
from typing import Any

from prep.state.files import write_json

FileVersion = list[int]
"""Size in bytes and modification time in nanoseconds. If they differ, the file may have changed."""


def version_of(path: Path) -> FileVersion:
    """The present version of a file."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


class CheckedFiles:
    """The checked files by name, each with its version and the digest that it had."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._files: dict[str, list[Any]] = json.loads(path.read_text())
        except (OSError, ValueError):
            self._files = {}

    def knows(self, path: Path, digest: str) -> bool:
        """Whether the present version of the file has been found to have this digest."""
        return self._files.get(path.name) == [*version_of(path), digest]

    def note(self, path: Path, digest: str, version: FileVersion) -> None:
        """Note that this version of the file has this digest. Take the version before reading the file."""
        self._files[path.name] = [*version, digest]
        write_json(self._path, self._files)
