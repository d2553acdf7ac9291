"""Journals: files of JSON lines that survive a kill."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prep.state.files import disk_errors, sync_folder


class Journal:
    """A file of JSON lines. Each line is flushed to disk when appended; an incomplete last line is ignored.

    The first line holds the `settings` with which the other lines were written. If they differ from the
    present settings, the journal is emptied, and `fresh` is true.
    """

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        header = json.loads(json.dumps({"settings": settings}))
        kept = 0
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            for number, line in enumerate(lines):
                entry = parse_line(line)
                if entry is None or (number == 0 and entry != header):
                    break
                kept += len(line)
                if number:
                    self.entries.append(entry)
        self.fresh = kept == 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors(path.parent):
            with path.open("ab") as file:
                file.truncate(kept)
            if self.fresh:
                self._write(header)
                sync_folder(path.parent)

    def append(self, *entries: dict[str, Any]) -> None:
        """Add entries; when this returns they are on disk."""
        with disk_errors(self.path.parent):
            self._write(*entries)
        self.entries.extend(entries)

    def _write(self, *entries: object) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(json.dumps(entry, ensure_ascii=False).encode() + b"\n" for entry in entries))
            file.flush()
            os.fsync(file.fileno())


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The entry in a line of a journal, or None if the line is incomplete."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
