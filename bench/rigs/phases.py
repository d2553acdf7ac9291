"""What a running `prep run` is at, seen from the outside: its open files, its journals and its receipts."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rigs.ours import Place
from prep.sources.arrival import RANGE_BYTES
from prep.state.journal import parse_line

DOWNLOAD, ORGANIZE, DEAL, SEND = "download", "organize", "pack: dealing", "backup: archives"
MERGE, VERIFY, FINISH = "pack: merging", "verify", "backup: packed files"
PHASES = (DOWNLOAD, ORGANIZE, DEAL, SEND, MERGE, VERIFY, FINISH)
ONE_PASS = (ORGANIZE, DEAL, SEND)  # at work at the same time

Entry = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """The files that a process has open, by path, with the descriptor; and whether it has a connection."""

    files: dict[str, str]
    connected: bool


def look(pid: int) -> Seen:
    """What a process has open; nothing once it is gone."""
    files: dict[str, str] = {}
    connected = False
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(link.readlink())
                connected = connected or target.startswith("socket:")
                files[target] = link.name
    return Seen(files, connected)


def position(pid: int, descriptor: str) -> int | None:
    """How far a process has read an open file, in bytes; None once it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().splitlines():
            if line.startswith("pos:"):
                return int(line.split()[1])
    return None


def entries(journal: Path) -> list[Entry]:
    """The whole lines of a journal but for its first, which holds settings; none if it isn't there."""
    found: list[Entry] = []
    with suppress(OSError):
        for line in journal.read_bytes().splitlines(keepends=True)[1:]:
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

    `images` names the archives that hold images, in the order in which a pass reads them; `range_bytes` is
    the size of a download's ranges.
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
        if phase == DOWNLOAD:
            return seen.connected and not self.done("download")
        if phase == FINISH:
            return seen.connected and self.done("verify")
        if phase == MERGE:
            return any(path.endswith(".rec.partial") for path in seen.files)
        if phase == VERIFY:
            return self.done("pack") and any(path.endswith(".rec") for path in seen.files)
        return self.done("download") and any(Path(path).name in self.images for path in seen.files)

    def over(self, phase: str) -> bool:
        """Whether nothing of the phase is left to be done."""
        if phase == FINISH:
            return False  # after backup's receipt come the copies of all receipts, up to the end
        if phase == DEAL:
            return self.done("pack") or sum(1 for _ in units(self.packing)) >= self._all_dealt
        if phase == SEND:
            return self.done("pack") or self.counted(SEND) >= self._all_dealt
        return self.done({DOWNLOAD: "download", ORGANIZE: "organize", MERGE: "pack", VERIFY: "verify"}[phase])

    @property
    def _all_dealt(self) -> float:
        """Units of a pass, as the inventory knows them once the pass has read all; until then no number."""
        noted = list(units(self.organizing.with_name("inventory.jsonl")))
        whole = sum(entry["size"] for entry in noted) >= sum(self.archives[name] for name in self.images)
        return len(noted) if whole else float("inf")

    def counted(self, phase: str) -> int:
        """Journal entries of the phase so far; 0 for a phase without."""
        if phase == DOWNLOAD:
            return sum(self._ranges(name, size) for name, size in self.archives.items())
        if phase == ORGANIZE:
            return sum(1 for _ in units(self.organizing))
        if phase == DEAL:
            return sum(1 for _ in units(self.packing))
        if phase == SEND:
            return sum(entry["unit"] in self.images for entry in units(self.sending))
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
            return [DOWNLOAD]
        if not (self.done("organize") and self.done("pack")):
            left = [phase for phase in ONE_PASS if not self.over(phase)]
            return left or [MERGE]
        return [FINISH if self.done("verify") else VERIFY]
