"""Processes and what they have started: processor time and memory, read from /proc."""

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_SECONDS = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
MEMORY = re.compile(r"^(Rss|Pss):\s*(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """Bytes of memory of a process: all pages (`resident`), and its share of pages that several have."""

    resident: int
    share: int


def tree(pid: int) -> list[int]:
    """A process and all that descend from it, as far as they are there."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def tree_seconds(pid: int) -> float:
    """Seconds of processor time that a tree has had so far: of processes there, and of those waited for."""
    return sum(sum(map(int, fields[11:15])) for one in tree(pid) if (fields := _stat(one))) / TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none once the process is gone."""
    try:
        # The name of the program, in brackets, can hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def title(pid: int) -> str:
    """The command line of a process, or what it has set in its place; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def memory(pid: int) -> Memory | None:
    """Memory of a process now; None once it is gone."""
    try:
        found = dict(MEMORY.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()))
    except OSError:
        return None
    return Memory(int(found["Rss"]) * 1024, int(found["Pss"]) * 1024) if len(found) == 2 else None


class MemoryWatch:
    """The most memory of each process of a tree that `counts`, for the length of a `with` block.

    `counts` gets the title of a process. `peaks` has the most of both figures, by process ID.
    """

    def __init__(self, pid: int, counts: Callable[[str], bool]) -> None:
        self._pid = pid
        self._counts = counts
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peaks: dict[int, Memory] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            for pid in tree(self._pid):
                if self._counts(title(pid)) and (now := memory(pid)):
                    most = self.peaks.get(pid, now)
                    self.peaks[pid] = Memory(max(most.resident, now.resident), max(most.share, now.share))
