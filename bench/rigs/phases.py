"""What a running `prep run` is at, seen from the outside: its open files, its journals and its receipts."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rigs.ours import Place
from prep.sources.arrival import RANGE_BYTES
from prep.state.journal import parse_line

# Each is at work by itself or along with the next: organize's last units are flushed while the merge begins,
# and verify follows the merge. ARRIVE is download, organize, pack's dealing and the archives' backup at once.
ARRIVE = "archives: arriving and dealt"
FLUSH = "organize: the last units"
MERGE = "pack: merging"
VERIFY = "verify, with the packed files' backup"
FINISH = "backup: completing"
PHASES = (ARRIVE, FLUSH, MERGE, VERIFY, FINISH)

Entry = dict[str, Any]
Unit = tuple[str, int]
"""A unit of an archive: the archive's file name, and the offset in it."""


@dataclass(frozen=True)
class Seen:
    """The files that a process has open, by path, and whether it has a connection.

    `read` has the descriptors of those that are open for reading only.
    """

    read: dict[str, str]
    written: frozenset[str]
    connected: bool


def look(pid: int) -> Seen:
    """What a process has open; nothing once it is gone."""
    read: dict[str, str] = {}
    written = set()
    connected = False
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(link.readlink())
                if not target.startswith("/"):
                    connected = connected or target.startswith("socket:")
                elif link.lstat().st_mode & 0o200:  # these links have the rights of the descriptor
                    written.add(target)
                else:
                    read[target] = link.name
    return Seen(read, frozenset(written), connected)


def position(pid: int, descriptor: str) -> int | None:
    """How far a process has read an open file, in bytes; None once it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines():
            if line.startswith("pos:"):
                return int(line.split()[1])
    return None


def rec_name(path: str) -> str | None:
    """The name of the `.rec` file that a path is of, be it whole or still growing; None for other files."""
    name = Path(path).name.removesuffix(".partial")
    return name if name.endswith(".rec") else None


def entries(journal: Path) -> list[Entry]:
    """The whole lines of a journal but for its first, which holds settings; none if it isn't there.

    Empty lines, which are written ahead, are the end of it.
    """
    found: list[Entry] = []
    with suppress(OSError):
        data, ahead, _ = journal.read_bytes().partition(b"\n\n")
        for line in (data + ahead[:1]).splitlines(keepends=True)[1:]:
            entry = parse_line(line)
            if entry is not None:
                found.append(entry)
    return found


def units(journal: Path) -> Iterator[Entry]:
    """A journal's entries of units."""
    return (entry for entry in entries(journal) if "unit" in entry)


@dataclass(frozen=True)
class Watch:
    """Watches a place where the archives of those names and sizes are prepared.

    `images` names the archives that hold images; `range_bytes` is the size of a download's ranges.
    """

    place: Place
    archives: dict[str, int]
    images: tuple[str, ...]
    range_bytes: int = RANGE_BYTES

    @property
    def organizing(self) -> Path:
        """Organize's journal."""
        return self.place.root / ".prep" / "journals" / "organize.jsonl"

    @property
    def noting(self) -> Path:
        """The inventory's journal; the inventory lies beside it."""
        return self.place.root / ".prep" / "journals" / "inventory.jsonl"

    @property
    def packing(self) -> Path:
        """Pack's journal."""
        return self.place.packed / ".packing" / "journal.jsonl"

    @property
    def sending(self) -> Path:
        """Backup's journal."""
        return self.place.root / ".prep" / "journals" / "backup.jsonl"

    def done(self, stage: str) -> bool:
        """Whether a stage has left its receipt."""
        return (self.place.root / ".prep" / f"{stage}.json").exists()

    def begun(self, phase: str, seen: Seen) -> bool:
        """Whether a process with that open is in the phase."""
        if phase == ARRIVE:
            return seen.connected and not self.done("download")
        if phase == FLUSH:
            return bool(seen.written or seen.read) and self.done("download") and not self.done("organize")
        if phase == MERGE:
            return any(path.endswith(".rec.partial") for path in seen.written)
        if phase == VERIFY:
            return any(map(rec_name, seen.read)) and not self.done("verify")
        return seen.connected and self.done("verify")

    def over(self, phase: str) -> bool:
        """Whether nothing of the phase is left to be done."""
        if phase == FINISH:
            return False  # after backup's receipt come the copies of all receipts, up to the end
        return self.done({ARRIVE: "download", FLUSH: "organize", MERGE: "pack", VERIFY: "verify"}[phase])

    def counted(self, phase: str) -> int:
        """Journal entries of the phase so far; 0 for a phase without."""
        if phase == ARRIVE:
            ranges = sum(self._ranges(name, size) for name, size in self.archives.items())
            sent = sum(entry["unit"] in self.images for entry in units(self.sending))
            return ranges + sent + sum(1 for _ in units(self.packing))
        if phase == MERGE:
            return sum("merged" in entry for entry in entries(self.packing))
        return 0

    def _ranges(self, name: str, size: int) -> int:
        path = self.place.root / "archives" / name
        if path.exists():
            return -(-size // self.range_bytes)
        return len({entry.get("range") for entry in entries(path.with_name(f"{name}.journal"))})

    def downloaded(self) -> int:
        """Bytes of archives that need not be fetched again."""
        total = 0
        for name, size in self.archives.items():
            path = self.place.root / "archives" / name
            if path.exists():
                total += size
                continue
            for entry in entries(path.with_name(f"{name}.journal")):
                if "range" in entry:
                    total += min(self.range_bytes, size - entry["range"] * self.range_bytes)
        return total

    def under_way(self) -> list[str]:
        """The phases that have something left to do and are not waiting for another to end."""
        if not self.done("download"):
            return [ARRIVE]
        left = [phase for phase in (FLUSH, MERGE, VERIFY) if not self.over(phase)]
        return left or [FINISH]
