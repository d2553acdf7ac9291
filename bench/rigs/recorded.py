"""`python -m bench.rigs.recorded FILE …`: `python -m prep …`, and how it went, as JSON in FILE.

The command is the real one; only what it tells its progress display is noted too: {task: [[seconds, seconds
of processor time, bytes done], …]}, at most STEPS times a task, so that noting it costs nothing.
"""

import json
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import TracebackType

from prep import cli
from prep.commands import perform
from prep.progress import Progress

STEPS = 500


class Recorded(Progress):
    """A progress display that remembers."""

    file: Path

    def __init__(self, shown: bool = True) -> None:
        super().__init__(shown)
        self._seen: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
        self._done: dict[str, int] = {}
        self._step: dict[str, float] = {}
        self._noting = threading.Lock()

    def add(self, name: str, total: int | None, done: int = 0) -> None:
        """As in `Progress`."""
        super().add(name, total, done)
        self._done[name], self._step[name] = done, (total or 0) / STEPS

    def advance(self, name: str, count: int) -> None:
        """As in `Progress`."""
        super().advance(name, count)
        with self._noting:
            before = self._done[name]
            self._done[name] = done = before + count
            step, seen = self._step[name], self._seen[name]
            if not seen or done - seen[-1][2] >= step:
                seen.append((time.perf_counter(), time.process_time(), done))

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """As in `Progress`."""
        super().__exit__(_type, _error, _trace)
        self.file.write_text(json.dumps(self._seen))


def main() -> int:
    """Run prep's command line."""
    Recorded.file = Path(sys.argv.pop(1))
    perform.Progress = Recorded  # type: ignore[attr-defined]  # the name by which a command makes its display
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
