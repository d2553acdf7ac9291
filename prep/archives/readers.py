"""What a pass reads: for each split its archive or, instead, its class folders."""

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
    """What a stage does with units."""

    stage: str
    journal: UnitJournal

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit of the archive of that name that begins at `offset` if it is done, else None."""

    def consume(self, loaded: LoadedUnit) -> None:
        """Work on one unit and commit it, at the latest when the next but one has come."""

    def flush(self) -> None:
        """Commit what is under way."""

    def forget(self, source: str) -> None:
        """Take back what was done with the units of the archive of that name."""


@dataclass(frozen=True)
class SplitReader:
    """Reads the archive of a split, or a folder of its class folders, unit by unit.

    `class_of` gives what tells the class of an image in a flat archive, and may have to wait for it.
    """

    path: Path
    split: Split
    class_of: Callable[[], ClassOf]

    @property
    def archive(self) -> Archive | None:
        """The archive that is read; None where class folders are."""
        return None if self.path.is_dir() else self.split.archive

    def units(self, consumers: Sequence[Consumer], every: bool = False) -> Iterator[LoadedUnit]:
        """Its units: those that one of the consumers lacks, or every one."""

        def skip(offset: int) -> int | None:
            sizes = [consumer.size_at(self.path.name, offset) for consumer in consumers]
            return None if every or None in sizes else sizes[0]

        if self.path.is_dir():
            units = read_folder_units(self.path, self.split, skip)
        else:
            units = read_units(self.path, self.split, lambda name: self.class_of()(name), skip)
        for loaded in units:
            yield loaded
            self.class_of()  # a devkit that can't be read ends the pass at once, whatever the layout


def split_readers(description: Description, layout: Layout, from_folders: bool) -> list[SplitReader]:
    """A reader for each split.

    Raises:
        IntegrityError: an archive, or the folder of a split, is not there.
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
    """What organize, pack and backup depend on: the description, and how many bytes there are to read.

    Raises:
        IntegrityError: an archive, or the folder of a split, is not there.
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
        raise IntegrityError(f"archive {path}: not there: run download first, or put it there")
    return path


def _folder_bytes(folder: Path) -> int:
    if not folder.is_dir():
        raise IntegrityError(f"{folder}: no such folder: run organize first")
    return sum(path.stat().st_size for path in folder.glob("*/*"))
