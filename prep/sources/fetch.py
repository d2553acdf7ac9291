"""Fetching files from a source: resumable after an interruption, and checked by their digest.

A file is fetched as byte ranges, over several connections, into `<file>.partial`. A journal beside it names
the ranges that are on disk, and the version of the file (ETag and size) that they belong to. The digest is
computed in the order of the ranges, from memory as far as possible. Only a complete file whose digest matches
gets its final name.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from prep.datasets.description import Description
from prep.errors import IntegrityError, SpaceError
from prep.progress import Progress
from prep.sources.source import Source, SourceChangedError, Version, Wanted
from prep.state.checked import CheckedFiles, version_of
from prep.state.files import CHUNK, disk_errors, sync_folder
from prep.state.journal import Journal

RANGE_BYTES = 16 << 20
CONNECTIONS = 4  # image-net.org delivers about 16 MB/s on one connection
WINDOW = 2 * CONNECTIONS  # ranges in memory at once, so at most 128 MiB
VERSIONS = 3  # versions of a file on the server that are tried before the download fails
INTERRUPT_SECONDS = 1.0  # how long Ctrl-C waits for connections to end
SPARE = 64 << 20  # bytes that must stay free, for journals and receipts


def fetch_files(
    files: Sequence[Wanted], folder: Path, checked_path: Path, source: Source, progress: Progress
) -> int:
    """Fetch the files that aren't in the folder yet, and check those that are; returns the number fetched.

    `checked_path` records which files have been checked, so that each is read for its digest only once.

    Raises:
        SpaceError, CredentialsError, SourceError, AwsError, IntegrityError: as in `download`.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    checked = CheckedFiles(checked_path)
    ordered = sorted(files, key=lambda wanted: wanted.bytes or 0)
    missing = [wanted for wanted in ordered if not is_whole(folder / wanted.file, wanted, checked, progress)]
    _check_space(folder, missing)
    for wanted in ordered:
        if wanted not in missing:  # a kill may have prevented their removal
            for leftover in (".journal", ".partial"):
                (folder / f"{wanted.file}{leftover}").unlink(missing_ok=True)
    for wanted in missing:
        _Download(wanted, folder / wanted.file, source, progress).run()
        path = folder / wanted.file
        checked.note(path, wanted.digest, version_of(path))
    return len(missing)


def check_small(description: Description, folder: Path, checked: CheckedFiles, progress: Progress) -> None:
    """Check the archives that no pass reads, such as a devkit, if they changed since they were checked.

    Raises:
        IntegrityError: one has another size or digest than the description says.
    """
    for archive in description.archives:
        if description.split_of(archive.file) is None:
            is_whole(folder / archive.file, archive, checked, progress)


def is_whole(path: Path, wanted: Wanted, checked: CheckedFiles, progress: Progress) -> bool:
    """Whether the file is there and complete. If it has changed since the last check, it is checked again.

    Raises:
        IntegrityError: the file has another size or digest.
    """
    if not path.exists():
        return False
    if checked.knows(path, wanted.digest):
        return True
    version = version_of(path)
    size = version[0]
    if wanted.bytes is not None and size != wanted.bytes:
        raise IntegrityError(
            f"{path}: has {size} bytes, should have {wanted.bytes}: move it away or correct the description"
        )
    digest = hashlib.new(wanted.algorithm, usedforsecurity=False)
    task = f"check {path.name}"
    progress.add(task, size)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress.advance(task, len(chunk))
    if digest.hexdigest() != wanted.digest:
        raise IntegrityError(
            f"{path}: its {wanted.algorithm.upper()} is {digest.hexdigest()}, should be {wanted.digest}: "
            "move it away or correct the description"
        )
    checked.note(path, wanted.digest, version)
    return True


def _check_space(folder: Path, missing: Sequence[Wanted]) -> None:
    needed = SPARE
    for wanted in missing:
        partial = folder / f"{wanted.file}.partial"
        there = partial.stat().st_blocks * 512 if partial.exists() else 0
        needed += max(0, (wanted.bytes or 0) - there)
    free = shutil.disk_usage(folder).free
    if missing and free < needed:
        raise SpaceError(
            f"{folder}: {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed for the files to fetch: "
            "grow the volume, or give another folder"
        )


class _Download:
    """The download of one file."""

    def __init__(self, wanted: Wanted, path: Path, source: Source, progress: Progress) -> None:
        self.wanted = wanted
        self.path = path
        self.source = source
        self.progress = progress
        self.partial = path.with_name(path.name + ".partial")
        self.stop = threading.Event()
        self.writing = threading.Lock()

    def run(self) -> None:
        """Fetch the file. If it changes on the server, start from the beginning: versions are never mixed."""
        for left in reversed(range(VERSIONS)):
            try:
                self._run(self.source.version(self.wanted))
                return
            except SourceChangedError:
                if not left:
                    raise

    def _run(self, version: Version) -> None:
        if self.wanted.bytes is not None and version.size != self.wanted.bytes:
            raise IntegrityError(
                f"{self.wanted.file}: has {version.size} bytes on the server, the description says "
                f"{self.wanted.bytes}: correct the description or the source"
            )
        path = self.path.with_name(self.path.name + ".journal")
        journal = Journal(path, {"etag": version.etag, "size": version.size, "range": RANGE_BYTES})
        if journal.fresh:
            self.partial.unlink(missing_ok=True)
        done = {entry["range"] for entry in journal.entries}
        count = -(-version.size // RANGE_BYTES)
        self.progress.add(self.wanted.file, version.size, min(version.size, len(done) * RANGE_BYTES))
        with disk_errors(self.path.parent):
            handle = os.open(self.partial, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                # Preallocated, so that the ranges of four connections lie in order on the disk.
                if os.fstat(handle).st_size < version.size:
                    os.posix_fallocate(handle, 0, version.size)
                if version.stream:
                    digest = self._take(handle, version.stream())
                else:
                    digest = self._fetch(handle, version, journal, done, count)
                os.fsync(handle)
            except KeyboardInterrupt:
                raise  # the file stays open: a connection may be about to write to it
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
        if digest != self.wanted.digest:
            self.partial.unlink()
            path.unlink()
            raise IntegrityError(
                f"{self.wanted.file}: its {self.wanted.algorithm.upper()} is {digest}, should be "
                f"{self.wanted.digest}; the file was removed: run again to fetch it again, or correct "
                "the description"
            )
        self.partial.rename(self.path)
        path.unlink()
        sync_folder(self.path.parent)

    def _take(self, handle: int, pieces: Iterator[bytes]) -> str:
        """Write the whole file from a server that serves no ranges; returns its digest."""
        digest = hashlib.new(self.wanted.algorithm, usedforsecurity=False)
        offset = 0
        for piece in pieces:
            _write(handle, piece, offset)
            digest.update(piece)
            offset += len(piece)
            self.progress.advance(self.wanted.file, len(piece))
        return digest.hexdigest()

    def _fetch(self, handle: int, version: Version, journal: Journal, done: set[int], count: int) -> str:
        """Fetch the missing ranges and return the digest of the whole file."""
        digest = hashlib.new(self.wanted.algorithm, usedforsecurity=False)
        self.stop = threading.Event()
        pool = ThreadPoolExecutor(CONNECTIONS, "download")
        running: dict[Future[bytes], int] = {}
        held: dict[int, bytes] = {}
        following = hashed = 0
        try:
            while hashed < count:
                while following < count and following < hashed + WINDOW:
                    if following not in done:
                        running[pool.submit(self._range, handle, version, journal, following)] = following
                    following += 1
                if hashed in done:
                    data = held.pop(hashed, None)
                    _hash(digest, handle, hashed, version) if data is None else digest.update(data)
                    hashed += 1
                    continue
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number = running.pop(future)
                    data = future.result()
                    done.add(number)
                    held[number] = data
                    self.progress.advance(self.wanted.file, len(data))
        except KeyboardInterrupt:
            self.stop.set()
            # Wait only shortly: a connection to a silent server ends at its timeout. What it may still write
            # belongs to a range that the journal doesn't name.
            pool.shutdown(wait=False, cancel_futures=True)
            wait(running, INTERRUPT_SECONDS)
            raise
        except BaseException:
            self.stop.set()  # the others end at their next chunk, not at the end of their range
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()
        return digest.hexdigest()

    def _range(self, handle: int, version: Version, journal: Journal, number: int) -> bytes:
        """Fetch a range and write it to disk.

        The connection fetches its next range only when this one is on disk. So a kill loses at most one range
        for each connection, even if the disk is slow.
        """
        start = number * RANGE_BYTES
        end = min(start + RANGE_BYTES, version.size)
        data = self.source.fetch(self.wanted, version, start, end, self.stop)
        with self.writing:
            _write(handle, data, start)
            os.fdatasync(handle)
            journal.append({"range": number})
        return data


def _write(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def _hash(digest: "hashlib._Hash", handle: int, number: int, version: Version) -> None:
    """Add a range of an earlier run to the digest: the state of a digest does not survive a kill."""
    offset = number * RANGE_BYTES
    end = min(offset + RANGE_BYTES, version.size)
    while offset < end:
        chunk = os.pread(handle, min(CHUNK, end - offset), offset)
        digest.update(chunk)
        offset += len(chunk)
