"""Progress on standard error: bars on a terminal, otherwise a line every half minute about all tasks."""

import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

LINE_SECONDS = 30.0  # a day of work gives about 3,000 log lines
LONGEST_NAME = 24  # columns, as of ILSVRC2012_img_train.tar
BAR_FROM = 72  # columns of a terminal in which there is room for a bar beside the numbers
# What work can wait for, and the directions in which bytes move over the network.
LINK, WORK_VOLUME, DATASET_VOLUME, CORES, UPLOAD = "link", "work volume", "dataset volume", "cores", "S3"
DOWN, UP = "down", "up"
# Control characters, line ends, and what turns the direction of text.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """The text as one line that can't control a terminal: servers, archives and lists wrote parts of it."""
    return CONTROL.sub("?", re.sub(r"\s*\n\s*", " ", text.strip()))


class _Name(ProgressColumn):
    """The name of a task: shortened, and never folded. Brackets in it are no markup."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


def _columns(width: int) -> list[ProgressColumn]:
    """The columns of a line that fits a terminal of this width. Only names become shorter there."""
    whole = [Column(no_wrap=True, justify="right") for _ in range(4)]
    return [
        _Name(table_column=Column(max_width=LONGEST_NAME)),
        *([BarColumn(bar_width=None, table_column=Column(ratio=1))] if width >= BAR_FROM else []),
        TaskProgressColumn(table_column=whole[0]),
        DownloadColumn(table_column=whole[1]),
        TransferSpeedColumn(table_column=whole[2]),
        TimeRemainingColumn(table_column=whole[3]),
    ]


@dataclass(frozen=True)
class Seen:
    """What a run has told so far, for whoever reports it elsewhere.

    tasks: name → done and total, in bytes as a rule; waits: seconds since the part began, by what for;
    repeats: how many calls and requests were repeated, and what was said of the last one.
    """

    part: str
    finished: Sequence[str]
    tasks: Mapping[str, tuple[int, int | None]]
    waits: Mapping[str, float]
    repeats: int
    last_repeat: str


class Progress:
    """Shows the bytes done, the rate and the time left for any number of tasks at once.

    It is a context manager. Its methods may be called from any thread.
    """

    def __init__(self, shown: bool = True) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bars = Bars(
            *_columns(self._console.width),
            console=self._console,
            expand=True,
            disable=not (shown and self._console.is_terminal),
            speed_estimate_period=60.0,
        )
        self._lines = shown and not self._console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._said = time.monotonic()
        self._waits: dict[str, float] = {}
        self._moved: dict[str, int] = {}
        self._part = ""
        self._finished: list[str] = []
        self._repeats, self._last_repeat = 0, ""
        self.on_change: Callable[[], None] = lambda: None  # called when a part begins or a stage is finished
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def add(self, name: str, total: int | None, done: int = 0) -> None:
        """Start to show the task `name`, of which `done` of `total` bytes are done already."""
        with self._lock:
            self._tasks[name] = self._bars.add_task(name, total=total, completed=done)

    def advance(self, name: str, count: int) -> None:
        """Add `count` bytes to the bytes done of `name`."""
        with self._lock:
            self._bars.advance(self._tasks[name], count)
            now = time.monotonic()
            if self._lines and now - self._said >= LINE_SECONDS:
                self._said = now
                print(self._line(), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Print a line of text, above the bars."""
        text = one_line(text)
        if self._bars.disable:
            # In one write: several threads may say something at once.
            print(f"{text}\n", end="", file=sys.stderr, flush=True)
        else:
            self._console.print(text, markup=False)

    def repeated(self, text: str) -> None:
        """Print a line about a call or a request that will be repeated, and count it."""
        with self._lock:
            self._repeats, self._last_repeat = self._repeats + 1, one_line(text)
        self.note(text)

    def begin(self, part: str) -> None:
        """Note that a part of the run begins."""
        with self._lock:
            self._part = part
        self.on_change()

    def finish(self, stage: str) -> None:
        """Note that a stage is finished, or was so before."""
        with self._lock:
            if stage in self._finished:
                return
            self._finished.append(stage)
        self.on_change()

    def seen(self) -> Seen:
        """What has been told so far."""
        with self._lock:
            by_id = {task.id: task for task in self._bars.tasks}
            found = {name: by_id[number] for name, number in self._tasks.items()}
            tasks = {
                name: (int(task.completed), None if task.total is None else int(task.total))
                for name, task in found.items()
            }
            return Seen(
                self._part, [*self._finished], tasks, {**self._waits}, self._repeats, self._last_repeat
            )

    def waited(self, what: str, seconds: float) -> None:
        """Note that the work waited so long for a link, a volume, the cores or S3."""
        with self._lock:
            self._waits[what] = self._waits.get(what, 0.0) + seconds

    def moved(self, direction: str, count: int) -> None:
        """Note that `count` bytes moved over the network."""
        with self._lock:
            self._moved[direction] = self._moved.get(direction, 0) + count

    def take_waits(self) -> dict[str, float]:
        """Seconds waited, by what for, since the last call."""
        with self._lock:
            waits, self._waits = self._waits, {}
        return waits

    def take_moved(self) -> dict[str, int]:
        """Bytes moved, by direction, since the last call."""
        with self._lock:
            moved, self._moved = self._moved, {}
        return moved

    def _line(self) -> str:
        """All tasks that are not done: the one with most bytes to go with its figures, the others briefly."""
        tasks = [task for task in self._bars.tasks if task.remaining != 0.0] or self._bars.tasks[-1:]
        first, *others = sorted(tasks, key=lambda task: -(task.remaining or 0.0))
        parts = [f"{first.description}: {decimal(int(first.completed))}"]
        if first.total:
            parts[0] += f" of {decimal(int(first.total))} ({first.percentage:.0f} %)"
        if first.speed:
            parts.append(f"{decimal(int(first.speed))}/s")
        if first.time_remaining is not None:
            parts.append(f"{duration(first.time_remaining)} left")
        briefly = [f"{task.description} {task.percentage:.0f} %" for task in others if task.total]
        return one_line("; ".join([", ".join(parts), *([", ".join(briefly)] if briefly else [])]))


def duration(seconds: float) -> str:
    """A duration as text, such as "2 h 05 min", "3 min 20 s" or "7 s"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
