"""Download: every archive into `ROOT/archives`, checked by size and MD5; resumes after an interruption."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prep.datasets.description import Archive, Description
from prep.progress import Progress
from prep.sources import fetch
from prep.sources.arrival import Arrival
from prep.sources.fetch import check_space, fetch_files
from prep.sources.source import Source
from prep.state.checked import CheckedFiles
from prep.state.files import disk_errors
from prep.state.layout import Layout
from prep.state.receipts import Receipt


def download(description: Description, layout: Layout, source: Source, progress: Progress) -> Receipt:
    """Fetch the archives that are not there yet, the smallest first, and return the receipt.

    Raises:
        SpaceError: the volume has no room for all archives; nothing has been fetched.
        CredentialsError, SourceError, AwsError: the source refuses or fails.
        IntegrityError: an archive has another size or MD5 than the description says.
    """
    begun = time.monotonic()
    fetched = fetch_files(description.archives, layout.archives, layout.checked, source, progress)
    return receipt(description, layout, fetched, begun)


@contextmanager
def arriving(
    description: Description, layout: Layout, source: Source, progress: Progress
) -> Iterator[Mapping[str, Arrival]]:
    """Fetch the archives that no pass reads, such as the devkit; then have those of the splits arrive.

    They arrive while the block runs, to be read as they do, by their file names. Those that are there
    already are left for the pass to check.

    Raises:
        As `download`.
    """
    with disk_errors(layout.archives):
        layout.archives.mkdir(parents=True, exist_ok=True)
    check_space(layout.archives, missing(description, layout))
    others = [archive for archive in description.archives if not description.split_of(archive.file)]
    fetch_files(others, layout.archives, layout.checked, source, progress)
    splits = [archive for archive in missing(description, layout) if archive not in others]
    with fetch.arriving(splits, layout.archives, layout.checked, source, progress) as arrivals:
        yield arrivals


def drop_leftovers(description: Description, layout: Layout) -> None:
    """Remove what a kill has left beside archives that are whole."""
    fetch.drop_leftovers(description.archives, layout.archives)


def missing(description: Description, layout: Layout) -> list[Archive]:
    """The archives that are not there, or not whole."""
    return [archive for archive in description.archives if not (layout.archives / archive.file).exists()]


def receipt(description: Description, layout: Layout, fetched: int, begun: float) -> Receipt:
    """The receipt of a download that began at that time of the monotonic clock."""
    outputs = {
        str(layout.archives / archive.file): {
            "bytes": (layout.archives / archive.file).stat().st_size,
            "md5": archive.md5,
        }
        for archive in description.archives
    }
    counts = {"archives": len(description.archives), "fetched": fetched}
    return Receipt("download", inputs(description), {}, outputs, counts, round(time.monotonic() - begun, 1))


def unchanged(description: Description, layout: Layout) -> bool:
    """Whether every archive is unchanged since it was checked."""
    checked = CheckedFiles(layout.checked)
    paths = [(layout.archives / archive.file, archive) for archive in description.archives]
    return all(path.is_file() and checked.knows(path, archive.digest) for path, archive in paths)


def inputs(description: Description) -> dict[str, Any]:
    """What a download depends on."""
    return {"archives": {archive.file: archive.md5 for archive in description.archives}}
