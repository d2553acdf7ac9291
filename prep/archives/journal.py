"""The journal of a consumer: which units of which archive it has finished."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prep.archives.units import Unit
from prep.state.journal import Journal, parse_line


class UnitJournal(Journal):
    """A journal whose entries are units, some with more to say, and whatever else a stage notes."""

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        super().__init__(path, settings)
        self.sizes: dict[tuple[str, int], int] = {}
        self.entries = _remembered(self.entries)
        for entry in self.units():
            self.sizes[entry["unit"], entry["offset"]] = entry["size"]

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the committed unit that begins there, or None."""
        return self.sizes.get((source, offset))

    def commit(self, unit: Unit, **more: Any) -> None:
        """Note a unit as done."""
        self.append({"unit": unit.archive, "offset": unit.offset, "size": unit.size} | more)
        self.sizes[unit.archive, unit.offset] = unit.size

    def forget(self, source: str) -> None:
        """Take back all that was noted of an archive: its units must be worked on anew."""
        self.append({"forgotten": source})
        self.entries = _remembered(self.entries)
        self.sizes = {key: size for key, size in self.sizes.items() if key[0] != source}

    def units(self) -> Iterator[dict[str, Any]]:
        """Entries of committed units, in order."""
        return (entry for entry in self.entries if "unit" in entry)

    @staticmethod
    def peek(path: Path) -> int:
        """Bytes of all committed units of a journal that may be in use, without opening it for writing."""
        entries = (parse_line(line) or {} for line in path.read_bytes().splitlines(keepends=True))
        return sum(entry["size"] for entry in _remembered(entries) if "unit" in entry)

    def bytes_done(self) -> int:
        """Bytes of all committed units."""
        return sum(self.sizes.values())


def _remembered(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries without those that were taken back later."""
    kept: list[dict[str, Any]] = []
    for entry in entries:
        if "forgotten" in entry:
            kept = [other for other in kept if entry["forgotten"] not in (other.get("unit"), other.get("of"))]
        else:
            kept.append(entry)
    return kept
