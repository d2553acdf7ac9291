"""Atomic and durable writes to files."""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from prep.errors import SpaceError

LIBC = ctypes.CDLL(None, use_errno=True)  # for syncfs, which Python does not provide
MOST_PIECES = os.sysconf("SC_IOV_MAX")
CHUNK = 4 << 20  # bytes for each read: large enough that sc1 counts it as sequential


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the error "no space left" below `path` into a SpaceError that says what to do.

    Raises:
        SpaceError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise SpaceError(
                f"writing to {path}: the disk is full: make room or grow the volume, then run "
                "again; finished work is kept"
            ) from error
        raise


def append(file: IO[bytes], pieces: Sequence[bytes | memoryview]) -> None:
    """Write pieces one after the other to an unbuffered file, without first joining them in memory."""
    for start in range(0, len(pieces), MOST_PIECES):
        some = pieces[start : start + MOST_PIECES]
        written = os.writev(file.fileno(), some)
        if written < sum(map(len, some)):  # the disk is nearly full, or the pieces have more than 2 GiB
            rest = memoryview(b"".join(some))[written:]
            while rest:
                rest = rest[file.write(rest) :]


def sync_folder(folder: Path) -> None:
    """Make new and renamed files in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(folder: Path) -> None:
    """Make all that was written to the file system of `folder` durable, in one flush.

    For thousands of small files, this takes about a thousandth of the time of an fsync for each.

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


def drop_cached(handle: int, offset: int, size: int) -> int:
    """Have the kernel forget what it holds in memory of a part of a file, so that reading it asks the disk.

    What has not been flushed stays. Returns how many bytes are in memory still, looked at in every MiB; a
    file system that can't tell counts as empty memory.
    """
    os.posix_fadvise(handle, offset, size, os.POSIX_FADV_DONTNEED)
    held = 0
    for place in range(offset, offset + size, 1 << 20):
        with contextlib.suppress(OSError):  # EAGAIN: it is not in memory
            held += os.preadv(handle, [bytearray(1)], place, os.RWF_NOWAIT)
    return min(size, held << 20)


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file atomically: after a crash it has either its old or its new contents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with disk_errors(path.parent):
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)


def json_text(value: object) -> bytes:
    """`value` as indented JSON, as all files and objects have it."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    write_whole(path, json_text(value))


def sha256_of(path: Path, length: int | None = None) -> "hashlib._Hash":
    """The SHA-256 of the first `length` bytes of a file, or of all; the caller may add more bytes."""
    digest = hashlib.sha256()
    left = path.stat().st_size if length is None else length
    with path.open("rb") as file:
        while left and (chunk := file.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest
