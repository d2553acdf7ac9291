"""Archives that have changed since they were checked: the pass that reads them also computes their digest.

What consumers make of the units of such an archive is provisional until its digest has matched. If it does
not match, the consumers discard what they have made of the archive.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prep.archives.readers import Consumer, SplitReader
from prep.archives.units import LoadedUnit
from prep.datasets.description import Archive
from prep.errors import IntegrityError
from prep.state.checked import CheckedFiles, FileVersion, version_of


class Unchecked(NamedTuple):
    """An archive to check, its version when the pass began, and the consumers that need the result."""

    path: Path
    archive: Archive
    version: FileVersion
    waiting: Sequence[Consumer]


class ArchiveDigests:
    """Computes, unit by unit, the digests of the archives that must be checked in one pass."""

    stage = "check"

    def __init__(
        self, readers: Sequence[SplitReader], consumers: Sequence[Consumer], checked: CheckedFiles
    ) -> None:
        """Find the archives that must be checked, and discard what was made of another version of them."""
        self._checked = checked
        self._unchecked: dict[str, Unchecked] = {}
        archives = [(reader.path, reader.archive) for reader in readers if reader.archive is not None]
        for path, _ in archives:
            self._forget_other_versions(path, consumers)
        for path, archive in archives:
            self._look_at(path, archive, consumers)
        self._digests = {
            name: hashlib.new(one.archive.algorithm, usedforsecurity=False)
            for name, one in self._unchecked.items()
        }

    def _forget_other_versions(self, path: Path, consumers: Sequence[Consumer]) -> None:
        for consumer in consumers:
            if consumer.journal.provisional(path.name) not in (None, version_of(path)):
                consumer.forget(path.name)

    def _look_at(self, path: Path, archive: Archive, consumers: Sequence[Consumer]) -> None:
        version = version_of(path)
        whole = self._checked.knows(path, archive.digest)
        waiting = []
        for consumer in consumers:
            journal = consumer.journal
            marked = journal.provisional(path.name) is not None
            if whole and marked:
                journal.confirm(path.name)
            elif not whole and (marked or not journal.covers(path.name, version[0])):
                if not marked:
                    journal.mark_provisional(path.name, version)
                waiting.append(consumer)
        if waiting:
            self._unchecked[path.name] = Unchecked(path, archive, version, waiting)

    @property
    def bytes_to_read(self) -> int:
        """Bytes of all archives that are checked."""
        return sum(one.version[0] for one in self._unchecked.values())

    def wants(self, path: Path) -> bool:
        """Whether every unit of this archive must be read."""
        return path.name in self._unchecked

    def size_at(self, source: str, _offset: int) -> int | None:
        """None for each unit of an archive that is checked: all are needed, as no digest survives a kill."""
        return None if source in self._unchecked else 0

    def consume(self, loaded: LoadedUnit) -> None:
        """Add a unit to the digest of its archive."""
        self._digests[loaded.unit.archive].update(loaded.data)

    def flush(self) -> None:
        """Do nothing: no units are held back."""

    def settle(self) -> None:
        """Compare the digests after the last unit. If they match, nothing is provisional any longer.

        Raises:
            IntegrityError: an archive has another digest than the description says; its units are discarded.
        """
        for name, one in self._unchecked.items():
            found = self._digests[name].hexdigest()
            if found != one.archive.digest:
                for consumer in one.waiting:
                    consumer.forget(name)
                raise IntegrityError(
                    f"{one.path}: its {one.archive.algorithm.upper()} is {found}, should be "
                    f"{one.archive.digest}; nothing was made of it: move it away and run download again"
                )
            self._checked.note(one.path, one.archive.digest, one.version)
            for consumer in one.waiting:
                consumer.journal.confirm(name)
