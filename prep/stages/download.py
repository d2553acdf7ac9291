"""Download: every archive into `ROOT/archives`, checked by size and MD5; resumes after an interruption."""

import time
from typing import Any

from prep.datasets.description import Description
from prep.progress import Progress
from prep.sources.fetch import fetch_files
from prep.sources.source import Source
from prep.state.checked import CheckedFiles
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
