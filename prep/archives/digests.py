"""The digests of the archives that a pass reads: until one has matched, what consumers do is provisional.

The digest of an archive that is being downloaded comes from its download. That of an archive which changed
since it was checked is computed along the pass, unit by unit. If a digest is wrong, the consumers forget the
archive; nothing was merged, completed or called done of it before.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from prep.archives.readers import Consumer, SplitReader
from prep.archives.units import LoadedUnit
from prep.datasets.description import Archive
from prep.errors import IntegrityError
from prep.state.checked import CheckedFiles, FileVersion, version_of


class Unchecked(NamedTuple):
    """An archive whose digest has not matched yet, and the consumers that wait for that."""

    reader: SplitReader
    archive: Archive
    version: FileVersion
    waiting: Sequence[Consumer]


class ArchiveDigests:
    """The digests of the archives of one pass that must match before consumers may go on."""

    stage = "check"
    busy_with = "cores"

    def __init__(
        self, readers: Sequence[SplitReader], consumers: Sequence[Consumer], checked: CheckedFiles
    ) -> None:
        """Find the archives that must be checked, and discard what was made of another version of them."""
        self._checked = checked
        self._unchecked: list[Unchecked] = []
        archives = [(reader, reader.archive) for reader in readers if reader.archive is not None]
        for reader, _ in archives:
            self._forget_other_versions(reader, consumers)
        for reader, archive in archives:
            self._look_at(reader, archive, consumers)
        self._digests = {
            one.reader.path.name: hashlib.new(one.archive.algorithm, usedforsecurity=False)
            for one in self._unchecked
            if one.reader.download is None
        }

    def _forget_other_versions(self, reader: SplitReader, consumers: Sequence[Consumer]) -> None:
        path = reader.path
        if reader.download:
            versions: list[FileVersion | None] = [reader.download.file_version]
        else:
            versions = [version_of(path), self._checked.fetched_version(path)]
        for consumer in consumers:
            if consumer.journal.provisional(path.name) not in (None, *versions):
                consumer.forget(path.name)

    def _look_at(self, reader: SplitReader, archive: Archive, consumers: Sequence[Consumer]) -> None:
        name, download = reader.path.name, reader.download
        version = download.file_version if download else version_of(reader.path)
        whole = download is None and self._checked.knows(reader.path, archive.digest)
        total = download.size if download else reader.path.stat().st_size
        waiting = []
        for consumer in consumers:
            journal = consumer.journal
            marked = journal.provisional(name) is not None
            if whole and marked:
                journal.confirm(name)
            elif not whole and (marked or not journal.covers(name, total)):
                if not marked:
                    journal.mark_provisional(name, version)
                waiting.append(consumer)
        if waiting or download:
            self._unchecked.append(Unchecked(reader, archive, version, waiting))

    @property
    def bytes_to_read(self) -> int:
        """Bytes of all archives whose digest is computed here."""
        return sum(int(one.version[0]) for one in self._unchecked if one.reader.path.name in self._digests)

    def wants(self, reader: SplitReader) -> bool:
        """Whether every unit of this archive must be read, because its digest is computed here."""
        return reader.path.name in self._digests

    def size_at(self, source: str, _offset: int) -> int | None:
        """None for each unit that must come; there is no way to keep a digest across a kill."""
        return None if source in self._digests else 0

    def consume(self, loaded: LoadedUnit) -> None:
        """Add a unit to the digest of its archive."""
        self._digests[loaded.unit.archive].update(loaded.data)

    def flush(self) -> None:
        """Do nothing: no units are held back."""

    def give_up(self, error: BaseException) -> None:
        """End the downloads: a consumer has failed."""
        for one in self._unchecked:
            if one.reader.download:
                one.reader.download.give_up(error)

    def settle(self) -> None:
        """Compare the digests after the last unit. If they match, nothing is provisional any longer.

        Raises:
            IntegrityError: an archive is not what the description says; its units are forgotten.
            PrepError: a download has failed.
        """
        for one in self._unchecked:
            if one.reader.download:
                one.reader.download.settle()
            else:
                self._compare(one)
            for consumer in one.waiting:
                consumer.journal.confirm(one.reader.path.name)

    def _compare(self, one: Unchecked) -> None:
        path = one.reader.path
        found = self._digests[path.name].hexdigest()
        if found != one.archive.digest:
            self._forget(one)
            raise IntegrityError(
                f"{path}: its {one.archive.algorithm.upper()} is {found}, should be "
                f"{one.archive.digest}; nothing was made of it: move it away and run download again"
            )
        self._checked.note(path, one.archive.digest, one.version)

    def drop_bad_downloads(self) -> None:
        """Take back what was done with archives that arrived with a wrong digest, and remove these."""
        for one in self._unchecked:
            if one.reader.download and one.reader.download.bad:
                self._forget(one)
                one.reader.download.discard()

    def _forget(self, one: Unchecked) -> None:
        for consumer in one.waiting:
            consumer.forget(one.reader.path.name)
