"""Fetching files from a source: resumable after an interruption, and checked by their digest.

How one file is fetched stands in `arrival`. A file under its own name is whole and checked.
"""

import hashlib
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from prep.datasets.description import Description
from prep.errors import IntegrityError, SpaceError
from prep.progress import Progress
from prep.sources.arrival import CONNECTIONS, Arrival
from prep.sources.source import Source, SourceChangedError, Version, Wanted
from prep.state.checked import CheckedFiles, version_of
from prep.state.files import CHUNK, disk_errors

VERSIONS = 3  # how often a file may change on the server before we give up
# How long an error waits for downloads to end; one that waits for a silent server is left alone.
GIVE_UP_SECONDS = 2.0
SPARE = 64 << 20  # bytes left free: journals and receipts must still be written


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
    check_space(folder, missing)
    drop_leftovers(files, folder)
    with connections() as pool:
        for wanted in missing:
            _fetch_one(wanted, folder / wanted.file, source, checked, progress, pool)
    return len(missing)


def drop_leftovers(files: Sequence[Wanted], folder: Path) -> None:
    """Remove what was left beside files that are whole: a kill may have prevented that."""
    for wanted in files:
        if (folder / wanted.file).exists():
            for leftover in (".journal", ".partial"):
                (folder / f"{wanted.file}{leftover}").unlink(missing_ok=True)


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
    progress.add(task, int(size))
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


def check_space(folder: Path, missing: Sequence[Wanted]) -> None:
    """Refuse to begin with files for which there is no room.

    Raises:
        SpaceError: the folder's disk has too little room for what is missing of them.
    """
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


def _fetch_one(
    wanted: Wanted,
    path: Path,
    source: Source,
    checked: CheckedFiles,
    progress: Progress,
    pool: ThreadPoolExecutor,
) -> None:
    """Fetch a file, beginning anew if the server's changes meanwhile: two versions are never mixed."""
    for left in reversed(range(VERSIONS)):
        arrival = Arrival(wanted, path, source, _version(wanted, source), checked, progress)
        try:
            arrival.fetch(pool)
            return
        except SourceChangedError:
            if not left:
                raise
        finally:
            if arrival.bad:
                arrival.discard()


@contextmanager
def arriving(
    files: Sequence[Wanted], folder: Path, checked_path: Path, source: Source, progress: Progress
) -> Iterator[Mapping[str, Arrival]]:
    """Have files arrive while the block runs, the smallest first; each can be read as it arrives.

    The block must wait until each is whole (`Arrival.settle`): what is missing at its end is given up.

    Raises:
        IntegrityError, CredentialsError, SourceError, AwsError: a file can't be had. What fails later is
            raised to those who read or wait.
    """
    checked = CheckedFiles(checked_path)
    ordered = sorted(((wanted, _version(wanted, source)) for wanted in files), key=lambda one: one[1].size)
    arrivals = [
        Arrival(wanted, folder / wanted.file, source, version, checked, progress, read_along=True)
        for wanted, version in ordered
    ]
    with connections() as pool:
        threads = [
            threading.Thread(
                target=_arrive, args=(number, arrivals, pool), name=f"arrive {number}", daemon=True
            )
            for number in range(len(arrivals))
        ]
        for thread in threads:
            thread.start()
        try:
            yield {wanted.file: arrival for (wanted, _), arrival in zip(ordered, arrivals, strict=True)}
        except BaseException as error:
            for arrival in arrivals:
                arrival.give_up(error)
            for thread in threads:
                # The next version's journal has the same name: nobody may still write to that of this one.
                thread.join(None if isinstance(error, SourceChangedError) else GIVE_UP_SECONDS)
            raise
        for thread in threads:
            thread.join()


def _arrive(number: int, arrivals: Sequence[Arrival], pool: ThreadPoolExecutor) -> None:
    """In a thread: fetch a file once all of the one before has been asked for. A failure ends them all."""
    if number:
        arrivals[number - 1].underway.wait()
    try:
        arrivals[number].fetch(pool)
    except BaseException as error:
        for arrival in arrivals:
            arrival.give_up(error)


@contextmanager
def connections() -> Iterator[ThreadPoolExecutor]:
    """The connections' threads. After an error nobody waits for a server that has gone silent."""
    pool = ThreadPoolExecutor(CONNECTIONS, "download")
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _version(wanted: Wanted, source: Source) -> Version:
    version = source.version(wanted)
    if wanted.bytes is not None and version.size != wanted.bytes:
        raise IntegrityError(
            f"{wanted.file}: has {version.size} bytes on the server, the description says "
            f"{wanted.bytes}: correct the description or the source"
        )
    return version
