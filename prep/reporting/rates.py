"""Rates over the last minute, and for what the work waited in it, from what is seen every few seconds."""

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from prep.progress import Seen
from prep.reporting.document import MOST_TASKS, MOST_TEXT, Task

WINDOW_SECONDS = 60.0
LEAST_WAIT = 0.2  # share of the time that must be spent waiting for one thing before it is called the cause
DOWNLOAD = "download"
Progressed = tuple[int, int | None]
"""How much is done, and of how much."""
STAGE_OF = {"merge": "pack"}  # a task's stage is its first word, but for these


class Rates:
    """What changed between looks at a run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.still_seconds = 0.0
        self.waiting_for = ""
        self.stages: set[str] = set()  # that have had a task
        self._clock = clock
        self._looks: deque[tuple[float, Seen]] = deque()
        self._moved = clock()

    def note(self, seen: Seen) -> None:
        """Take a look into account."""
        now = self._clock()
        if not self._looks or _work(self._looks[-1][1]) != _work(seen):
            self._moved = now
        self.still_seconds = round(now - self._moved, 1)
        self._looks.append((now, seen))
        while len(self._looks) > 2 and self._looks[1][0] <= now - WINDOW_SECONDS:
            self._looks.popleft()
        self.waiting_for = self._longest_wait()

    def _longest_wait(self) -> str:
        (since, first), (now, last) = self._looks[0], self._looks[-1]
        begun = first.waits if first.part == last.part else {}
        waited = {what: seconds - begun.get(what, 0.0) for what, seconds in last.waits.items()}
        longest = max(waited, key=lambda what: waited[what], default="")
        return longest if longest and waited[longest] > LEAST_WAIT * max(1.0, now - since) else ""

    def tasks(
        self, archives: Mapping[str, int | None], stages: Sequence[str], folder: Path
    ) -> tuple[Task, ...]:
        """The bars of stages that were not finished at the last look. All archives make one: they arrive one
        after another.

        folder: where the archives are when they are whole.
        """
        seen = self._looks[-1][1]
        whole = {file for file in archives if (folder / file).exists()}
        found = []
        if seen.tasks.keys() & archives.keys():
            found.append(self._task(DOWNLOAD, DOWNLOAD, lambda look: _all_of(archives, whole, look)))
        for name in seen.tasks:
            word = name.partition(" ")[0]
            stage = STAGE_OF.get(word, word)
            if name not in archives and stage in stages:
                found.append(self._task(name, stage, lambda look, name=name: look.tasks.get(name)))  # type: ignore[misc]
        self.stages |= {task.stage for task in found}
        open_ones = [
            task
            for task in found
            if task.stage not in seen.finished and (task.total is None or task.done < task.total)
        ]
        return tuple(open_ones[:MOST_TASKS])

    def _task(self, name: str, stage: str, progress: Callable[[Seen], Progressed | None]) -> Task:
        looks = [(when, found) for when, seen in self._looks if (found := progress(seen)) is not None]
        now, (done, total) = looks[-1]
        # A bar may begin anew, for something else of the same name.
        since, first = next((when, at) for when, (at, of) in looks if of in (total, None) and at <= done)
        rate = max(0, done - first) / (now - since) if now > since else None
        left = (total - done) / rate if rate and total is not None else None
        return Task(
            name[:MOST_TEXT],
            stage,
            "percent" if stage == "snapshot" else "bytes",
            done,
            total,
            None if rate is None else round(rate, 3),
            None if left is None else round(left),
        )


def _work(seen: Seen) -> object:
    return seen.part, seen.finished, seen.tasks


def _all_of(archives: Mapping[str, int | None], whole: Collection[str], seen: Seen) -> Progressed | None:
    """Bytes done, and of how many, of all archives; None before the first has a bar."""
    if not seen.tasks.keys() & archives.keys():
        return None
    sizes = {
        file: seen.tasks.get(file, (0, None))[1] if size is None else size for file, size in archives.items()
    }
    done = sum(
        seen.tasks[file][0] if file in seen.tasks else (size or 0) if file in whole else 0
        for file, size in sizes.items()
    )
    known = [size for size in sizes.values() if size is not None]
    return done, sum(known) if len(known) == len(sizes) else None
