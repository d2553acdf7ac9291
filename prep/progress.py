"""Progress on standard error: bars on a terminal, elsewhere a line every half minute."""

import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

LINE_SECONDS = 30.0  # a day of work is 3,000 lines of log
# What work can wait for.
LINK, WORK_VOLUME, DATASET_VOLUME, CORES, UPLOAD = "link", "work volume", "dataset volume", "cores", "S3"


class Progress:
    """Bytes done of bytes to do, for any number of things at once, with rate and time left.

    A context manager; its methods may be called from any thread.
    """

    def __init__(self, shown: bool = True) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bars = Bars(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (shown and self._console.is_terminal),
            speed_estimate_period=60.0,
        )
        self._lines = shown and not self._console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}
        self._waits: dict[str, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def add(self, name: str, total: int | None, done: int = 0) -> None:
        """Begin to show `name`, with `done` of `total` bytes behind it already."""
        with self._lock:
            self._tasks[name] = self._bars.add_task(name, total=total, completed=done)
            self._said[name] = time.monotonic()

    def advance(self, name: str, count: int) -> None:
        """Another `count` bytes of `name` are done."""
        with self._lock:
            self._bars.advance(self._tasks[name], count)
            now = time.monotonic()
            if self._lines and now - self._said[name] >= LINE_SECONDS:
                self._said[name] = now
                self._line(name)

    def note(self, text: str) -> None:
        """A line of its own, above the bars."""
        if self._bars.disable:
            print(text, file=sys.stderr, flush=True)
        else:
            self._console.print(text, markup=False)

    def waited(self, what: str, seconds: float) -> None:
        """The work stood still for so long because of a link, a volume, the cores or S3."""
        with self._lock:
            self._waits[what] = self._waits.get(what, 0.0) + seconds

    def take_waits(self) -> dict[str, float]:
        """Seconds by what was waited for, since this was asked last."""
        with self._lock:
            waits, self._waits = self._waits, {}
        return waits

    def _line(self, name: str) -> None:
        task = next(task for task in self._bars.tasks if task.id == self._tasks[name])
        parts = [f"{name}: {decimal(int(task.completed))}"]
        if task.total:
            parts[0] += f" of {decimal(int(task.total))} ({task.percentage:.0f} %)"
        if task.speed:
            parts.append(f"{decimal(int(task.speed))}/s")
        if task.time_remaining is not None:
            parts.append(f"{duration(task.time_remaining)} left")
        print(", ".join(parts), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Such as "2 h 05 min", "3 min 20 s" or "7 s"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
