"""Processes and what they have started: processor time and memory, read from /proc."""

import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.rigs.process import processor_seconds

LOOK_SECONDS = 0.2
MEMORY_EVERY = 3  # looks
MEMORY = re.compile(r"^(Rss|Pss):\s*(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """Bytes of memory of a process: all pages (`resident`), and its share of pages that several have."""

    resident: int
    share: int


def tree(*pids: int) -> list[int]:
    """Processes and all that descend from them, as far as they are there."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - many times a second
        if name.isdecimal() and (parent := _parent(int(name))) is not None:
            children.setdefault(parent, []).append(int(name))
    found = [*pids]
    for one in found:
        found += children.get(one, [])
    return found


def _parent(pid: int) -> int | None:
    """The parent of a process; None once it is gone."""
    try:
        # The name of the program, in brackets, can hold anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def title(pid: int) -> str:
    """The command line of a process, or what it has set in its place; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def busy_seconds() -> float:
    """Seconds that the processors of this machine have worked so far, for whomever."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory | None:
    """Memory of a process now; None once it is gone."""
    try:
        found = dict(MEMORY.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()))
    except OSError:
        return None
    return Memory(int(found["Rss"]) * 1024, int(found["Pss"]) * 1024) if len(found) == 2 else None


class TreeWatch:
    """Processor time and memory of trees of processes, for the length of a `with` block.

    What a process used in its last fifth of a second is not seen. `peaks` has the most of both figures of
    memory, by process ID, of the processes that `counts`; it gets the title of a process.
    """

    def __init__(self, pids: Sequence[int], counts: Callable[[str], bool] = lambda _: False) -> None:
        self.peaks: dict[int, Memory] = {}
        self._pids = pids
        self._counts = counts
        self._seconds: dict[int, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._before = sum(self._seconds.values())
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    @property
    def seconds(self) -> float:
        """Processor seconds of all processes seen, since the begin."""
        return sum(self._seconds.values()) - self._before

    def _look(self) -> None:
        for pid in tree(*self._pids) if self._pids else ():
            self._seconds[pid] = max(self._seconds.get(pid, 0.0), processor_seconds(pid))

    def _watch(self) -> None:
        looks = 0
        while not self._end.wait(LOOK_SECONDS):
            self._look()
            looks += 1
            if looks % MEMORY_EVERY == 0:
                self._look_at_memory()

    def _look_at_memory(self) -> None:
        for pid in [*self._seconds]:
            if self._counts(title(pid)) and (now := memory(pid)):
                most = self.peaks.get(pid, now)
                self.peaks[pid] = Memory(max(most.resident, now.resident), max(most.share, now.share))
