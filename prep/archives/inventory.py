"""Inventory: name, size and CRC-32 of every image as the archives hold it, noted whenever they are read.

`verify` holds the packed files against it, so that the archives need not be read a second time.
"""

import os
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prep.archives.journal import UnitJournal
from prep.archives.units import LoadedUnit
from prep.errors import IntegrityError
from prep.progress import WORK_VOLUME
from prep.state.files import disk_errors
from prep.state.group_commit import GroupCommit
from prep.state.layout import Layout


class Original(NamedTuple):
    """An image file in an archive: its size in bytes and the CRC-32 of them."""

    size: int
    crc32: int


class Inventory:
    """The consumer that notes what the archives hold."""

    stage = "inventory"
    busy_with = WORK_VOLUME

    def __init__(self, layout: Layout, inputs: Mapping[str, Any]) -> None:
        path = layout.journals / "inventory.jsonl"
        self.journal = UnitJournal(path, inputs)
        self._path = layout.journals / "inventory.tsv"
        self._path.touch()
        size = max((entry["bytes"] for entry in self.journal.units()), default=0)
        if self._path.stat().st_size < size:  # lost or damaged: what it held is noted anew
            path.unlink()
            self.journal = UnitJournal(path, inputs)
            size = 0
        with self._path.open("ab") as file:
            file.truncate(size)
        self._commits = GroupCommit(self.stage, self._sync, self.journal.commit_all)

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit there if it has been noted."""
        return self.journal.size_at(source, offset)

    def consume(self, loaded: LoadedUnit) -> None:
        """Note the unit's images."""
        lines = (
            f"{loaded.split.name}\t{image.name}\t{len(image.data)}\t{zlib.crc32(image.data)}\n"
            for image in loaded.images
        )
        with disk_errors(self._path.parent), self._path.open("ab") as file:
            file.write("".join(lines).encode())
            size = file.tell()
        self._commits.add(loaded.unit.size, (loaded.unit, {"bytes": size}))

    def _sync(self) -> None:
        with disk_errors(self._path.parent), self._path.open("rb") as file:
            os.fsync(file.fileno())

    def flush(self) -> None:
        """Commit what is not committed yet."""
        self._commits.finish()

    def forget(self, source: str) -> None:
        """Note everything anew: lines of one archive can't be taken out from between the others."""
        self._commits.settle()
        for name in {source} | {entry["unit"] for entry in self.journal.units()}:
            self.journal.forget(name)
        with self._path.open("ab") as file:
            file.truncate(0)


def read(layout: Layout, split: str) -> dict[str, Original]:
    """What the archive of a split holds, by image name.

    Raises:
        IntegrityError: there is no inventory, or a name occurs twice.
    """
    originals: dict[str, Original] = {}
    for name, original in _lines(layout, split):
        if name in originals:
            raise IntegrityError(f"verify: the archive of split {split} holds {name} twice: mend the archive")
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
        raise IntegrityError(f"verify: {path}: {error.strerror}: run pack, which makes it") from error
    except ValueError as error:
        raise IntegrityError(f"verify: {path}: damaged: remove it and run pack again") from error
