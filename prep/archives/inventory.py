"""Inventory: name, size and CRC-32 of every image in the archives, noted while a pass reads them.

`verify` compares the packed files with it, and so does not have to read the archives a second time.
"""

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prep.archives.journal import UnitJournal
from prep.archives.units import Image, LoadedUnit
from prep.errors import IntegrityError
from prep.progress import WORK_VOLUME
from prep.state.files import disk_errors
from prep.state.group_commit import GroupCommit
from prep.state.layout import Layout


class Original(NamedTuple):
    """An image file in an archive: its size in bytes and its CRC-32."""

    size: int
    crc32: int


def original_line(image: Image) -> str:
    """Name, size and CRC-32 of an image file, as a line of an inventory."""
    return f"{image.name}\t{len(image.data)}\t{zlib.crc32(image.data)}\n"


class Inventory:
    """The consumer that notes the images in the archives."""

    stage = "inventory"
    busy_with = WORK_VOLUME

    def __init__(self, layout: Layout, inputs: Mapping[str, Any]) -> None:
        path = layout.journals / "inventory.jsonl"
        self.journal = UnitJournal(path, inputs)
        self._path = layout.journals / "inventory.tsv"
        self._path.touch()
        size = max((entry["bytes"] for entry in self.journal.units()), default=0)
        if self._path.stat().st_size < size:  # lost or damaged: start from the beginning
            path.unlink()
            self.journal = UnitJournal(path, inputs)
            size = 0
        with self._path.open("ab") as file:
            file.truncate(size)
        self._commits = GroupCommit(self.stage, self._sync, self.journal.commit_all)

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit at this offset if it has been noted, else None."""
        return self.journal.size_at(source, offset)

    def consume(self, loaded: LoadedUnit) -> None:
        """Note the unit's images."""
        lines = (f"{loaded.split.name}\t{original_line(image)}" for image in loaded.images)
        with disk_errors(self._path.parent), self._path.open("ab") as file:
            file.write("".join(lines).encode())
            size = file.tell()
        self._commits.add(loaded.unit.size, (loaded.unit, {"bytes": size}))

    def _sync(self) -> None:
        with disk_errors(self._path.parent), self._path.open("rb") as file:
            os.fsync(file.fileno())

    def flush(self) -> None:
        """Commit all units."""
        self._commits.finish()

    def settle(self) -> None:
        """Wait until the finished units are committed."""
        self._commits.settle()

    def forget(self, source: str) -> None:
        """Discard the whole inventory: the lines of one archive can't be removed from between the others."""
        self._commits.settle()
        for name in {source} | {entry["unit"] for entry in self.journal.units()}:
            self.journal.forget(name)
        with self._path.open("ab") as file:
            file.truncate(0)


def read(layout: Layout, split: str) -> dict[str, Original]:
    """The images in the archive of a split, by name.

    Raises:
        IntegrityError: the inventory is missing or damaged, or a name occurs twice.
    """
    return _by_name(_lines(layout, split), split)


def parse(text: bytes, split: str, where: str) -> dict[str, Original]:
    """The images in a piece of the inventory, by name: its lines have name, size and CRC-32.

    Raises:
        IntegrityError: it is damaged, which the message says of `where`; or a name occurs twice.
    """
    try:
        *lines, rest = text.decode().split("\n")
        if rest:
            raise ValueError("cut short")
        rows = [line.split("\t") for line in lines]
        found = [(name, Original(int(size), int(crc32))) for name, size, crc32 in rows]
    except ValueError as error:
        raise IntegrityError(f"verify: {where}: damaged: run pack again") from error
    return _by_name(found, split)


def _by_name(images: Iterable[tuple[str, Original]], split: str) -> dict[str, Original]:
    originals: dict[str, Original] = {}
    for name, original in images:
        if name in originals:
            raise IntegrityError(
                f"verify: the archive of split {split} holds {name} twice: correct the archive"
            )
        originals[name] = original
    return originals


def _lines(layout: Layout, split: str) -> Iterator[tuple[str, Original]]:
    path = layout.journals / "inventory.tsv"
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                of, name, size, crc32 = line.rstrip("\n").split("\t")
                if of == split:
                    yield name, Original(int(size), int(crc32))
    except OSError as error:
        raise IntegrityError(f"verify: {path}: {error.strerror}: run pack, which writes this file") from error
    except ValueError as error:
        raise IntegrityError(f"verify: {path}: damaged: remove it and run pack again") from error
