"""Readers: what a pass reads for each split, which is its archive or its class folders."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from prep.archives.journal import UnitJournal
from prep.archives.units import ClassOf, LoadedUnit, read_folder_units, read_units
from prep.datasets.classes import class_finder
from prep.datasets.description import Archive, Description, Split
from prep.errors import IntegrityError
from prep.state.layout import Layout


class Consumer(Protocol):
    """The part of a stage that processes units."""

    stage: str
    journal: UnitJournal

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit at `offset` of the archive named `source` if the unit is done, else None."""

    def consume(self, loaded: LoadedUnit) -> None:
        """Process one unit and commit it, at the latest in the next call."""

    def flush(self) -> None:
        """Commit the unit under way, if there is one."""

    def forget(self, source: str) -> None:
        """Discard what was made of the units of the archive named `source`."""


@dataclass(frozen=True)
class SplitReader:
    """Reads the archive of a split, or the folder with its class folders, unit by unit.

    `class_of` returns the function that finds the class of an image in a flat archive. It may block until the
    devkit is read.
    """

    path: Path
    split: Split
    class_of: Callable[[], ClassOf]

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
            units = read_folder_units(self.path, self.split, skip)
        else:
            units = read_units(self.path, self.split, lambda name: self.class_of()(name), skip)
        for loaded in units:
            yield loaded
            self.class_of()  # an unreadable devkit ends the pass here, for every layout


def split_readers(description: Description, layout: Layout, from_folders: bool) -> list[SplitReader]:
    """A reader for each split.

    Raises:
        IntegrityError: an archive or the folder of a split is missing.
    """
    class_of = class_finder(description, layout)
    return [
        SplitReader(
            layout.images(split.name) if from_folders else _archive_path(layout, split.archive),
            split,
            partial(class_of, split),
        )
        for split in description.splits
    ]


def pass_inputs(description: Description, layout: Layout, from_folders: bool) -> dict[str, Any]:
    """The inputs of organize, pack and backup: the description, and the number of bytes to read.

    Raises:
        IntegrityError: an archive or the folder of a split is missing.
    """
    if from_folders:
        sizes = {split.name: _folder_bytes(layout.images(split.name)) for split in description.splits}
    else:
        sizes = {
            split.name: _archive_path(layout, split.archive).stat().st_size for split in description.splits
        }
    return {
        "description": description.sha256,
        "bytes": sizes,
        "from": "folders" if from_folders else "archives",
    }


def _archive_path(layout: Layout, archive: Archive) -> Path:
    path = layout.archives / archive.file
    if not path.is_file():
        raise IntegrityError(f"archive {path}: not there: run download first, or put the file there")
    return path


def _folder_bytes(folder: Path) -> int:
    if not folder.is_dir():
        raise IntegrityError(f"{folder}: no such folder: run organize first")
    return sum(path.stat().st_size for path in folder.glob("*/*"))
