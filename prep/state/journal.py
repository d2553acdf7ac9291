"""Journals: files of JSON lines that survive a kill.

Space for lines is written ahead as empty lines, and lines are put over them. So a flush after a line is one
write: without that it would also change the size of the file, which costs an ext4 journal commit, about five
small writes. sc1 counts each like one of 1 MiB.
"""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prep.state.files import disk_errors, sync_folder

AHEAD = 256 << 10  # bytes of empty lines that are written at once


class Journal:
    """A file of JSON lines. Each line is flushed to disk when appended; an incomplete last line is ignored.

    The first line holds the `settings` with which the other lines were written. If they differ from the
    present settings, the journal is emptied, and `fresh` is true.
    """

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._appending = threading.Lock()
        header = json.loads(json.dumps({"settings": settings}))
        self._end = 0  # of the lines; what follows is empty lines
        data = path.read_bytes() if path.exists() else b""
        if data:
            for number, line in enumerate(data.splitlines(keepends=True)):
                entry = parse_line(line)
                if entry is None or (number == 0 and entry != header):
                    break
                self._end += len(line)
                if number:
                    self.entries.append(entry)
        self.fresh = self._end == 0
        self._size = self._end if data[self._end :].strip(b"\n") else len(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors(path.parent):
            with path.open("ab") as file:
                file.truncate(self._size)
            if self.fresh:
                self._write(header)
                sync_folder(path.parent)

    def append(self, *entries: dict[str, Any]) -> None:
        """Add entries; when this returns they are on disk."""
        with self._appending, disk_errors(self.path.parent):
            self._write(*entries)
            self.entries.extend(entries)

    def _write(self, *entries: object) -> None:
        data = b"".join(json.dumps(entry, ensure_ascii=False).encode() + b"\n" for entry in entries)
        end = self._end + len(data)
        with self.path.open("r+b") as file:
            file.seek(self._end)
            file.write(data)
            if end > self._size:
                file.write(b"\n" * AHEAD)
                self._size = end + AHEAD
            file.flush()
            os.fdatasync(file.fileno())
        self._end = end


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The entry in a line of a journal, or None if the line is incomplete."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
