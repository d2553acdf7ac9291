"""Download: every archive from its site into `ROOT/archives`, checked by size and MD5, resuming where it was.

An archive is fetched as ranges over several connections into `<file>.partial`; a journal beside it names
the ranges that are on disk and the version (ETag and size) they are of. The MD5 runs over the contiguous
beginning as it grows, while its bytes are in memory. A file under its own name is whole and checked.
"""

import hashlib
import os
import shutil
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from prep.description import Archive, Description
from prep.errors import IntegrityError, SpaceError
from prep.files import CHUNK, Journal, disk_errors, sync_folder
from prep.http_source import HttpSource, SourceChangedError, Version
from prep.layout import Layout
from prep.progress import Progress
from prep.receipts import Receipt

RANGE_BYTES = 16 << 20
CONNECTIONS = 4  # image-net.org gives about 16 MB/s on one
WINDOW = 2 * CONNECTIONS  # ranges in memory at once, so at most 128 MiB
VERSIONS = 3  # how often a file may change on the server before we give up
SPARE = 64 << 20  # bytes left free: journals and receipts must still be written


def download(description: Description, layout: Layout, source: HttpSource, progress: Progress) -> Receipt:
    """Fetch what is not there yet, the smallest archive first, and give the receipt.

    Raises:
        SpaceError: the volume has no room for all of it; nothing has been fetched then.
        CredentialsError, SourceError: as `HttpSource` has it.
        IntegrityError: an archive came with another size or MD5 than the description's.
    """
    begun = time.monotonic()
    with disk_errors(layout.archives):
        layout.archives.mkdir(parents=True, exist_ok=True)
    archives = sorted(description.archives, key=lambda archive: archive.bytes or 0)
    missing = [archive for archive in archives if not _is_there(layout, archive)]
    _check_space(layout.archives, missing)
    for archive in missing:
        _Download(archive, layout.archives / archive.file, source, progress).run()
    outputs = {
        str(layout.archives / archive.file): {
            "bytes": (layout.archives / archive.file).stat().st_size,
            "md5": archive.md5,
        }
        for archive in description.archives
    }
    counts = {"archives": len(archives), "fetched": len(missing)}
    return Receipt("download", inputs(description), {}, outputs, counts, round(time.monotonic() - begun, 1))


def inputs(description: Description) -> dict[str, Any]:
    """What a download depends on."""
    return {"archives": {archive.file: archive.md5 for archive in description.archives}}


def _is_there(layout: Layout, archive: Archive) -> bool:
    """Whether the archive lies there whole: the name is given only after the check of its MD5."""
    path = layout.archives / archive.file
    if not path.exists():
        return False
    size = path.stat().st_size
    if archive.bytes is not None and size != archive.bytes:
        raise IntegrityError(
            f"archive {path}: has {size} bytes, the description says {archive.bytes}: "
            "move it away or mend the description"
        )
    return True


def _check_space(folder: Path, missing: list[Archive]) -> None:
    needed = SPARE
    for archive in missing:
        partial = folder / f"{archive.file}.partial"
        there = partial.stat().st_blocks * 512 if partial.exists() else 0
        needed += max(0, (archive.bytes or 0) - there)
    free = shutil.disk_usage(folder).free
    if missing and free < needed:
        raise SpaceError(
            f"{folder}: {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed for the archives: "
            "grow the volume, or give another --root"
        )


class _Download:
    """One archive on its way."""

    def __init__(self, archive: Archive, path: Path, source: HttpSource, progress: Progress) -> None:
        self.archive = archive
        self.path = path
        self.source = source
        self.progress = progress
        self.partial = path.with_name(path.name + ".partial")
        self.stop = threading.Event()

    def run(self) -> None:
        """Fetch it, beginning anew if the server's file changes meanwhile: two versions are never mixed."""
        for left in reversed(range(VERSIONS)):
            try:
                self._run(self.source.version(self.archive))
                return
            except SourceChangedError:
                if not left:
                    raise

    def _run(self, version: Version) -> None:
        if self.archive.bytes is not None and version.size != self.archive.bytes:
            raise IntegrityError(
                f"{self.archive.file}: the server's has {version.size} bytes, the description says "
                f"{self.archive.bytes}: mend the description, or the source"
            )
        path = self.path.with_name(self.path.name + ".journal")
        journal = Journal(path, {"etag": version.etag, "size": version.size, "range": RANGE_BYTES})
        if journal.fresh:
            self.partial.unlink(missing_ok=True)
        done = {entry["range"] for entry in journal.entries}
        count = -(-version.size // RANGE_BYTES)
        self.progress.add(self.archive.file, version.size, min(version.size, len(done) * RANGE_BYTES))
        with disk_errors(self.path.parent):
            handle = os.open(self.partial, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                # Preallocated: four connections' ranges come out in order on the disk.
                if os.fstat(handle).st_size < version.size:
                    os.posix_fallocate(handle, 0, version.size)
                md5 = self._fetch(handle, version, journal, done, count)
            finally:
                os.close(handle)
        if md5 != self.archive.md5:
            self.partial.unlink()
            path.unlink()
            raise IntegrityError(
                f"{self.archive.file}: its MD5 is {md5}, the description says {self.archive.md5}; the file "
                "was removed: run again to download it anew, or mend the description"
            )
        self.partial.rename(self.path)
        path.unlink()
        sync_folder(self.path.parent)

    def _fetch(self, handle: int, version: Version, journal: Journal, done: set[int], count: int) -> str:
        """Fetch the missing ranges and return the MD5 of the whole."""
        md5 = hashlib.md5(usedforsecurity=False)
        with ThreadPoolExecutor(CONNECTIONS, "download") as pool:
            self.stop = threading.Event()
            running: dict[Future[bytes], int] = {}
            held: dict[int, bytes] = {}
            following = hashed = 0
            try:
                while hashed < count:
                    while following < count and following < hashed + WINDOW:
                        if following not in done:
                            running[pool.submit(self._range, version, following)] = following
                        following += 1
                    if hashed in done:
                        data = held.pop(hashed, None)
                        _hash(md5, handle, hashed, version) if data is None else md5.update(data)
                        hashed += 1
                        continue
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        number = running.pop(future)
                        data = future.result()
                        _write(handle, data, number * RANGE_BYTES)
                        journal.append({"range": number})
                        done.add(number)
                        held[number] = data
                        self.progress.advance(self.archive.file, len(data))
            except BaseException:
                self.stop.set()  # the others end at their next chunk, not at the end of their range
                raise
        return md5.hexdigest()

    def _range(self, version: Version, number: int) -> bytes:
        start = number * RANGE_BYTES
        end = min(start + RANGE_BYTES, version.size)
        return self.source.fetch(self.archive, version, start, end, self.stop)


def _write(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
    os.fdatasync(handle)


def _hash(md5: "hashlib._Hash", handle: int, number: int, version: Version) -> None:
    """Read back a range of an earlier run: the digest's state can't be kept across a kill."""
    offset = number * RANGE_BYTES
    end = min(offset + RANGE_BYTES, version.size)
    while offset < end:
        chunk = os.pread(handle, min(CHUNK, end - offset), offset)
        md5.update(chunk)
        offset += len(chunk)
