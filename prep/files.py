"""Files that are whole or absent, and journals that survive a kill."""

import contextlib
import ctypes
import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from prep.errors import SpaceError

LIBC = ctypes.CDLL(None, use_errno=True)  # for syncfs, which Python has not
MOST_PIECES = os.sysconf("SC_IOV_MAX")
CHUNK = 4 << 20  # bytes a read: large enough that sc1 counts it as sequential


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space left" below `path` into one line that says what to do.

    Raises:
        SpaceError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise SpaceError(
                f"writing to {path}: the disk is full; make room or grow the volume, then run again: "
                "what is done is kept"
            ) from error
        raise


def append(file: IO[bytes], pieces: Sequence[bytes | memoryview]) -> None:
    """Write pieces one after the other to an unbuffered file, without copying them together first."""
    for start in range(0, len(pieces), MOST_PIECES):
        some = pieces[start : start + MOST_PIECES]
        written = os.writev(file.fileno(), some)
        if written < sum(map(len, some)):  # the disk is nearly full, or they are more than 2 GiB
            rest = memoryview(b"".join(some))[written:]
            while rest:
                rest = rest[file.write(rest) :]


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(folder: Path) -> None:
    """Make all that was written to the file system of `folder` durable, in one flush.

    One flush for thousands of small files costs a thousandth of an fsync for each.

    Raises:
        SpaceError: the disk is full.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with disk_errors(folder):
            if LIBC.syncfs(handle):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that, whatever happens, it holds either all of its old or all of its new bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with disk_errors(path.parent):
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def sha256_of(path: Path, length: int | None = None) -> "hashlib._Hash":
    """SHA-256 over the first `length` bytes of a file, or all of it; still open for more bytes."""
    digest = hashlib.sha256()
    left = path.stat().st_size if length is None else length
    with path.open("rb") as file:
        while left and (chunk := file.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest


class MemoryFile(io.RawIOBase):
    """A seekable file over bytes in memory that copies only what is read."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def _length(self) -> int:
        return len(self._data)

    def _between(self, start: int, end: int) -> bytes:
        return bytes(self._data[start:end])

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be positioned."""
        return True

    def tell(self) -> int:
        """The position, in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length()}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, or all that are left."""
        end = self._length() if size is None or size < 0 else min(self._position + size, self._length())
        data = self._between(self._position, end)
        self._position += len(data)
        return data


class Journal:
    """Lines of JSON that outlive a kill: appended, flushed to disk, and a torn last line ignored.

    The first line holds the `settings` under which the others were written. Where they differ from the
    present ones the journal begins anew, and `fresh` says so.
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

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry; when this returns it is on disk."""
        with disk_errors(self.path.parent):
            self._write(entry)
        self.entries.append(entry)

    def _write(self, entry: object) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The entry in a whole line of a journal, or None for a torn one."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
