"""The journal of a consumer: the units that it has finished, and the version of the archive they are from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prep.archives.units import Unit
from prep.state.checked import FileVersion
from prep.state.journal import Journal, parse_line


class UnitJournal(Journal):
    """A journal with an entry for each finished unit, and with other entries of the stage.

    The units of an archive are provisional until its digest has matched. `mark_provisional` notes the version
    of the file that the units are from; `confirm` notes that the digest has matched.
    """

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        super().__init__(path, settings)
        self.sizes: dict[tuple[str, int], int] = {}
        self.entries = _remembered(self.entries)
        self._provisional: dict[str, FileVersion] = {}
        for entry in self.entries:
            if "unit" in entry:
                self.sizes[entry["unit"], entry["offset"]] = entry["size"]
            elif "provisional" in entry:
                self._provisional[entry["provisional"]] = entry["version"]
            elif "confirmed" in entry:
                self._provisional.pop(entry["confirmed"], None)

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the committed unit that begins at this offset, or None."""
        return self.sizes.get((source, offset))

    def covers(self, source: str, total: int) -> bool:
        """Whether every unit of a file of `total` bytes is committed."""
        offset = 0
        while offset < total and (size := self.size_at(source, offset)):
            offset += size
        return offset >= total

    def commit(self, unit: Unit, **more: Any) -> None:
        """Note a unit as done."""
        self.commit_all([(unit, more)])

    def commit_all(self, done: Sequence[tuple[Unit, Mapping[str, Any]]]) -> None:
        """Note units as done, each with what there is to say of it, in one write."""
        self.append(
            *({"unit": unit.archive, "offset": unit.offset, "size": unit.size, **more} for unit, more in done)
        )
        for unit, _ in done:
            self.sizes[unit.archive, unit.offset] = unit.size

    def provisional(self, source: str) -> FileVersion | None:
        """The version of the archive whose digest must match before its units count, or None."""
        return self._provisional.get(source)

    def mark_provisional(self, source: str, version: FileVersion) -> None:
        """Note that the units of the archive do not count until `confirm`."""
        self.append({"provisional": source, "version": version})
        self._provisional[source] = version

    def confirm(self, source: str) -> None:
        """Note that the digest of the archive has matched: its units count."""
        self.append({"confirmed": source})
        self._provisional.pop(source, None)

    def forget(self, source: str) -> None:
        """Discard all entries about an archive: its units must be processed again."""
        self.append({"forgotten": source})
        self.entries = _remembered(self.entries)
        self.sizes = {key: size for key, size in self.sizes.items() if key[0] != source}
        self._provisional.pop(source, None)

    def units(self) -> Iterator[dict[str, Any]]:
        """The entries of committed units, in order."""
        return (entry for entry in self.entries if "unit" in entry)

    @staticmethod
    def peek(path: Path) -> int:
        """Bytes of all committed units. Only reads the journal, which another process may be using."""
        entries = []
        for line in path.read_bytes().splitlines(keepends=True):
            entry = parse_line(line)
            if entry is None:  # the space written ahead begins, or the line is incomplete
                break
            entries.append(entry)
        return sum(entry["size"] for entry in _remembered(entries) if "unit" in entry)

    def bytes_done(self) -> int:
        """Bytes of all committed units."""
        return sum(self.sizes.values())


ABOUT = ("unit", "of", "provisional", "confirmed")  # keys with which an entry names its archive


def _remembered(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries without those that a later entry discards."""
    kept: list[dict[str, Any]] = []
    for entry in entries:
        if "forgotten" in entry:
            kept = [other for other in kept if entry["forgotten"] not in map(other.get, ABOUT)]
        else:
            kept.append(entry)
    return kept
