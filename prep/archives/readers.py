"""Readers: what a pass reads for each split, which is its archive or its class folders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from prep.archives.journal import UnitJournal
from prep.archives.units import Arriving, ClassOf, LoadedUnit, read_folder_units, read_units
from prep.datasets.classes import class_finder
from prep.datasets.description import Archive, Description, Split
from prep.errors import IntegrityError
from prep.state.checked import FileVersion
from prep.state.layout import Layout


class Consumer(Protocol):
    """The part of a stage that processes units."""

    stage: str
    journal: UnitJournal
    busy_with: str  # what it is waiting for at the moment, of those that prep.progress names

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit at `offset` of the archive named `source` if the unit is done, else None."""

    def consume(self, loaded: LoadedUnit) -> None:
        """Process one unit and commit it, at the latest in the next call."""

    def flush(self) -> None:
        """Finish the units that it has been given; what is left to do then needs none of them."""

    def settle(self) -> None:
        """Wait until the finished units are committed, whether or not that succeeds."""

    def forget(self, source: str) -> None:
        """Discard what was made of the units of the archive named `source`."""


class Download(Arriving, Protocol):
    """The download of an archive, as far as a pass needs to know."""

    @property
    def file_version(self) -> FileVersion:
        """What tells that the server's file may be another now."""

    def settle(self) -> None:
        """Wait until the archive is whole and its digest has matched.

        Raises:
            IntegrityError: the digest is another.
            PrepError: the download has failed.
        """

    @property
    def bad(self) -> bool:
        """Whether all of it has arrived, and its digest is wrong."""

    def discard(self) -> None:
        """Remove what has arrived."""

    def give_up(self, error: BaseException) -> None:
        """End the download: nobody wants it any more because of this error."""


Downloads = Mapping[str, Download]
"""The downloads under way, by the file names of their archives."""


@dataclass(frozen=True)
class SplitReader:
    """Reads the archive of a split, or the folder with its class folders, unit by unit.

    `class_of` returns the function that finds the class of an image in a flat archive. It may block until the
    devkit is read. `download` is the download of the archive, while it is under way.
    """

    path: Path
    split: Split
    class_of: Callable[[], ClassOf]
    download: Download | None = None

    @property
    def archive(self) -> Archive | None:
        """The archive that is read, or None if class folders are read."""
        return None if self.path.is_dir() else self.split.archive

    def units(self, consumers: Sequence[Consumer], every: bool = False) -> Iterator[LoadedUnit]:
        """The units that at least one of the consumers has not finished or, with `every`, all units."""

        def skip(offset: int) -> int | None:
            sizes = [consumer.size_at(self.path.name, offset) for consumer in consumers]
            return None if every or None in sizes else sizes[0]

        if self.path.is_dir():
            return read_folder_units(self.path, self.split, skip)
        return read_units(
            self.path, self.split, lambda name: self.class_of()(name), skip, arriving=self.download
        )


def split_readers(
    description: Description, layout: Layout, from_folders: bool, downloads: Downloads
) -> list[SplitReader]:
    """A reader for each split, the smallest archive first: that is the order in which they are downloaded.

    Raises:
        IntegrityError: an archive or the folder of a split is missing.
    """
    class_of = class_finder(description, layout)
    sizes = _sizes(description, layout, from_folders, downloads)
    return [
        SplitReader(
            layout.images(split.name) if from_folders else layout.archives / split.archive.file,
            split,
            partial(class_of, split),
            downloads.get(split.archive.file),
        )
        for split in sorted(description.splits, key=lambda split: sizes[split.name])
    ]


def pass_inputs(
    description: Description, layout: Layout, from_folders: bool, downloads: Downloads
) -> dict[str, Any]:
    """What organize, pack and backup depend on: the description, and how many bytes there are to read.

    Raises:
        IntegrityError: an archive or the folder of a split is missing.
    """
    return {
        "description": description.sha256,
        "bytes": _sizes(description, layout, from_folders, downloads),
        "from": "folders" if from_folders else "archives",
    }


def _sizes(
    description: Description, layout: Layout, from_folders: bool, downloads: Downloads
) -> dict[str, int]:
    """Bytes to read of each split."""
    if from_folders:
        return {split.name: _folder_bytes(layout.images(split.name)) for split in description.splits}
    return {
        split.name: download.size
        if (download := downloads.get(split.archive.file))
        else _archive_bytes(layout.archives / split.archive.file)
        for split in description.splits
    }


def _archive_bytes(path: Path) -> int:
    if not path.is_file():
        raise IntegrityError(f"archive {path}: not there: run download first, or put the file there")
    return path.stat().st_size


def _folder_bytes(folder: Path) -> int:
    if not folder.is_dir():
        raise IntegrityError(f"{folder}: no such folder: run organize first")
    return sum(path.stat().st_size for path in folder.glob("*/*"))
