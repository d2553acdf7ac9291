"""One file on its way from a source: fetched in ranges, written out, its digest computed, read along.

Connections fetch ranges; one thread writes them to `<file>.partial`, flushes, and notes them in a journal
beside it, with the version (ETag and size) that they are of. The digest runs over the contiguous beginning
while its bytes are in memory. Whoever reads along gets only bytes that are on disk for good, so that they
are the bytes that the digest covers, whatever happens in between. Ranges stay in memory until they have been
written, hashed and read; how many there may be is what makes the download wait for a slow reader.
"""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from prep.errors import IntegrityError
from prep.interrupt import stopping
from prep.progress import DOWN, LINK, Progress
from prep.sources.arriving_file import ArrivingFile
from prep.sources.source import Source, Version, Wanted
from prep.state.checked import CheckedFiles, FileVersion, version_of
from prep.state.files import CHUNK, disk_errors, sync_folder
from prep.state.journal import Journal

RANGE_BYTES = 8 << 20
CONNECTIONS = 4  # image-net.org delivers about 16 MB/s on one connection
WINDOW = 24  # ranges in memory at once, so at most 192 MiB
# Ranges that are flushed together, unless the connections wait for that: each flush costs the disk about five
# small writes, and sc1 counts a small write like one of 1 MiB.
GROUP = 8
GROUP_SECONDS = 10.0  # how long a range waits for others
INTERRUPT_SECONDS = 1.0  # how long Ctrl-C waits for connections to end
LOOK_SECONDS = 0.2  # how often those who wait look whether they still should


class Arrival:
    """A file of one version on its way. `fetch` does the work; others may read along in their threads."""

    def __init__(
        self,
        wanted: Wanted,
        path: Path,
        source: Source,
        version: Version,
        checked: CheckedFiles,
        progress: Progress,
        read_along: bool = False,
    ) -> None:
        self.size = version.size
        self.bad = False
        self.underway = threading.Event()  # every range has been asked for: another file may begin
        self._wanted = wanted
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._source = source
        self._version = version
        self._checked = checked
        self._progress = progress
        self._range = RANGE_BYTES
        self._count = -(-version.size // RANGE_BYTES)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        # All below are guarded by it.
        self._held: dict[int, bytes] = {}
        self._unwritten: list[int] = []
        self._fetching = 0  # ranges that connections are asked for and have not brought
        self._written: set[int] = set()
        self._front = 0  # ranges written, counted from the beginning
        self._hashed = 0  # ranges
        # Without an ETag nobody can tell whether what arrives after a kill is of the same version; without
        # ranges it begins anew. Such a file can be read when it is whole.
        self._along = read_along and bool(version.etag) and version.stream is None
        self._read_to = 0 if self._along else version.size  # bytes
        self._whole = False
        self._failure: BaseException | None = None

    @property
    def file_version(self) -> FileVersion:
        """What tells that the server's file may be another now."""
        return [self._version.size, self._version.etag]

    def fetch(self, pool: ThreadPoolExecutor) -> None:
        """Fetch what is missing and put the file in its place if its digest is right.

        Raises:
            SourceChangedError: there is another version now.
            IntegrityError: the digest is wrong; what has arrived is still there, until `discard`.
            CredentialsError, SourceError, AwsError, SpaceError: as elsewhere.
        """
        try:
            self._fetch(pool)
        except BaseException as error:
            self.give_up(error)
            raise

    def _fetch(self, pool: ThreadPoolExecutor) -> None:
        version = self._version
        journal_path = self._path.with_name(self._path.name + ".journal")
        journal = Journal(journal_path, {"etag": version.etag, "size": version.size, "range": self._range})
        if journal.fresh:
            self._partial.unlink(missing_ok=True)
        with self._changed:
            self._written = {entry["range"] for entry in journal.entries}
            self._advance()
        there = min(version.size, len(self._written) * self._range)
        self._progress.add(self._wanted.file, version.size, there)
        with disk_errors(self._path.parent):
            handle = os.open(self._partial, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                # Preallocated, so that the ranges of four connections lie in order on the disk.
                if os.fstat(handle).st_size < version.size:
                    os.posix_fallocate(handle, 0, version.size)
                if version.stream:
                    digest = self._take(handle, version.stream())
                else:
                    digest = self._fetch_ranges(handle, journal, pool)
                os.fsync(handle)
            finally:
                os.close(handle)
        if digest != self._wanted.digest:
            self.bad = True
            raise IntegrityError(
                f"{self._wanted.file}: its {self._wanted.algorithm.upper()} is {digest}, should be "
                f"{self._wanted.digest}; the file was removed: run again to fetch it again, or correct "
                "the description"
            )
        # Noted before it has its name: after a kill in between, a pass would find a whole file and not know
        # its version on the server, and so discard what was made of it. Renaming changes no time.
        self._checked.note(self._path, digest, version_of(self._partial), self.file_version)
        self._partial.rename(self._path)
        journal_path.unlink()
        sync_folder(self._path.parent)
        with self._changed:
            self._whole = True
            self._changed.notify_all()

    def _take(self, handle: int, pieces: Iterator[bytes]) -> str:
        """Write what a server without ranges sends, from the beginning; returns the digest of the whole."""
        self.underway.set()
        digest = hashlib.new(self._wanted.algorithm, usedforsecurity=False)
        offset = 0
        for piece in pieces:
            if self._failure:
                raise self._failure
            _write(handle, piece, offset)
            digest.update(piece)
            offset += len(piece)
            self._progress.advance(self._wanted.file, len(piece))
            self._progress.moved(DOWN, len(piece))
        return digest.hexdigest()

    def _fetch_ranges(self, handle: int, journal: Journal, pool: ThreadPoolExecutor) -> str:
        """Fetch the missing ranges and return the digest of the whole."""
        digest = hashlib.new(self._wanted.algorithm, usedforsecurity=False)
        running: list[Future[None]] = []
        asked = 0
        writer = threading.Thread(target=self._write_out, args=(handle, journal), name="write")
        writer.start()
        try:
            while self._hashed < self._count:
                running = [future for future in running if not future.done()]
                asked = self._ask(asked, running, pool)
                number, data = self._wait_for_range()
                if number is None:
                    continue
                if data is None:
                    self._hash(digest, handle, number)
                else:
                    digest.update(data)
                with self._changed:
                    self._hashed += 1
                    self._release()
        except BaseException as error:
            self.give_up(error)  # connections end at their next chunk, not at the end of their range
            for future in running:
                future.cancel()
            # Not for long: a server that has gone silent would be waited for until its timeout.
            wait(running, INTERRUPT_SECONDS)
            raise
        finally:
            writer.join()
        self._raise()
        return digest.hexdigest()

    def _ask(self, asked: int, running: list[Future[None]], pool: ThreadPoolExecutor) -> int:
        """Have ranges fetched as far as memory allows; returns the first that has not been asked for."""
        with self._changed:
            while asked < self._count and asked < self._floor() + WINDOW:
                if asked not in self._written:
                    running.append(pool.submit(self._fetch_range, asked))
                    self._fetching += 1
                asked += 1
        if asked == self._count:
            self.underway.set()
        return asked

    def _wait_for_range(self) -> tuple[int | None, bytes | None]:
        """The next range to be hashed, with its bytes if they are in memory; None if there is none yet."""
        with self._changed:
            number = self._hashed
            if number not in self._held and number not in self._written:
                self._changed.wait(LOOK_SECONDS)
            self._raise()
            if number in self._held:
                return number, self._held[number]
            return (number, None) if number in self._written else (None, None)

    def _fetch_range(self, number: int) -> None:
        """In a thread of the pool: fetch a range."""
        try:
            start = number * self._range
            end = min(start + self._range, self.size)
            data = self._source.fetch(self._wanted, self._version, start, end, self._stop)
        except BaseException as error:  # raised where the ranges are put together
            self.give_up(error)
            return
        self._progress.advance(self._wanted.file, len(data))
        self._progress.moved(DOWN, len(data))
        with self._changed:
            self._held[number] = data
            self._unwritten.append(number)
            self._fetching -= 1
            self._changed.notify_all()

    def _write_out(self, handle: int, journal: Journal) -> None:
        """In a thread: put ranges on disk, all that there are at a time."""
        try:
            while group := self._next_unwritten():
                for number in group:
                    _write(handle, self._held[number], number * self._range)
                os.fdatasync(handle)
                journal.append(*({"range": number} for number in group))
                with self._changed:
                    self._written.update(group)
                    self._advance()
        except BaseException as error:
            self.give_up(error)

    def _next_unwritten(self) -> list[int]:
        """The ranges to be written next; none at the end."""
        begun = time.monotonic()
        with self._changed:
            while not self._stop.is_set() and len(self._written) < self._count:
                enough = len(self._unwritten) >= GROUP or not self._fetching
                if self._unwritten and (enough or time.monotonic() - begun > GROUP_SECONDS):
                    break
                self._changed.wait(LOOK_SECONDS)
            if isinstance(self._failure, KeyboardInterrupt):
                return []  # nobody waits for a slow disk then
            group, self._unwritten = sorted(self._unwritten), []
            return group

    def _advance(self) -> None:
        while self._front in self._written:
            self._front += 1
        self._release()

    def _floor(self) -> int:
        """The first range that somebody still needs."""
        return min(self._hashed, self._front, self._read_to // self._range)

    def _release(self) -> None:
        floor = self._floor()
        for number in [number for number in self._held if number < floor]:
            del self._held[number]
        self._changed.notify_all()

    def _raise(self) -> None:
        if self._failure:
            raise self._failure

    def _hash(self, digest: "hashlib._Hash", handle: int, number: int) -> None:
        """Read back a range of an earlier run: the digest's state can't be kept across a kill."""
        offset = number * self._range
        end = min(offset + self._range, self.size)
        while offset < end and (chunk := os.pread(handle, min(CHUNK, end - offset), offset)):
            digest.update(chunk)
            offset += len(chunk)

    # Reading along

    def open(self) -> ArrivingFile:
        """Open it for reading along."""
        return ArrivingFile(self)

    def wait_for(self, offset: int) -> tuple[int, memoryview | None]:
        """Wait until the byte at `offset` can be read.

        Returns the end of what can be read from there at once, and the bytes from there on if they are in
        memory.

        Raises:
            KeyboardInterrupt: the user stops.
            PrepError: the download, or a consumer of its bytes, has failed.
        """
        with self._changed:
            while not (end := self._readable(offset)):
                self._wait_for_link()
            self._raise()
            data = self._held.get(offset // self._range)
        if data is None:
            return end, None
        start = offset // self._range * self._range
        return min(end, start + len(data)), memoryview(data)[offset - start :]

    def _readable(self, offset: int) -> int:
        """The end of the bytes that can be read from `offset` on; 0 if there are none."""
        front = min(self._front * self._range, self.size) if self._along else 0
        end = self.size if self._whole else front
        return end if offset < end else 0

    def has_read(self, offset: int) -> None:
        """Nobody will read what lies before this byte."""
        with self._changed:
            if self._along and self._read_to // self._range != offset // self._range:
                self._read_to = offset
                self._release()

    def path_now(self) -> Path:
        """Where the bytes lie at the moment."""
        return self._partial if self._partial.exists() else self._path

    def settle(self) -> None:
        """Wait until the file is whole and its digest has matched.

        Raises:
            KeyboardInterrupt: the user stops.
            PrepError: the download has failed.
        """
        self.has_read(self.size)
        with self._changed:
            while not self._whole:
                self._wait_for_link()

    def _wait_for_link(self) -> None:
        """Wait a moment for more to arrive. Noted each time: whoever looks meanwhile wants to know."""
        self._raise()
        if stopping.is_set():
            raise KeyboardInterrupt
        begun = time.monotonic()
        self._changed.wait(LOOK_SECONDS)
        self._progress.waited(LINK, time.monotonic() - begun)

    def discard(self) -> None:
        """Remove what has arrived."""
        self._partial.unlink(missing_ok=True)
        self._path.with_name(self._path.name + ".journal").unlink(missing_ok=True)

    def give_up(self, error: BaseException) -> None:
        """End it: it has failed, or nobody wants it any more, because of this error."""
        with self._changed:
            self._failure = self._failure or error  # before others fail because they are stopped
            self._changed.notify_all()
        self._stop.set()
        self.underway.set()


def _write(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
