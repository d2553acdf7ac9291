"""The messages of the rehearsal on standard error while it runs, and the table at its end."""

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text without characters that could control a terminal: parts of it come from logs and data sets."""
    return CONTROL.sub("?", text)


class RehearsalError(Exception):
    """The rehearsal cannot go on. The message is one line; `details` help to find the cause."""

    def __init__(self, message: str, details: list[str] | None = None) -> None:
        super().__init__(message)
        self.details = details or []


@dataclass
class Narrator:
    """Steps with their times, live on a terminal, and the checks made along the way."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    rows: list[tuple[str, bool, str]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)  # of each wave of training instances
    step_name: str = ""
    _start: float = field(default_factory=time.monotonic)
    _note: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def elapsed(self) -> float:
        return time.monotonic() - self._start

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows the step while it runs; its last note stays beside it."""
        self.step_name, self._note = name, ""
        began = time.monotonic()
        done = threading.Event()
        live = threading.Thread(target=self._live, args=(name, began, done), daemon=True)
        if self.stream.isatty():
            live.start()
        mark = "FAILED"
        try:
            yield
            mark = "ok"
        finally:
            done.set()
            if live.is_alive():
                live.join()
            self._line(self._text(mark, name, time.monotonic() - began), end="\n")

    def note(self, text: str) -> None:
        """Shows a note beside the running step."""
        self._note = text

    def check(self, what: str, ok: bool, figure: str) -> None:
        """A row of the closing table."""
        self.rows.append((what, ok, figure))

    def _live(self, name: str, began: float, done: threading.Event) -> None:
        while not done.wait(0.5):
            self._line(self._text("...", name, time.monotonic() - began), end="")

    def _text(self, mark: str, name: str, seconds: float) -> str:
        note = f"  {self._note}" if self._note else ""
        return visible(f"{self.elapsed():6.1f} s  {mark:<6}  {name} ({seconds:.1f} s){note}")

    def _line(self, text: str, *, end: str) -> None:
        with self._lock:
            if self.stream.isatty():
                text = f"\r\x1b[2K{text[:159]}"
            self.stream.write(text + end)
            self.stream.flush()

    def table(self) -> str:
        """The table of the checks, with one line for each; failed checks are marked."""
        width = max((len(what) for what, _, _ in self.rows), default=0)
        return "\n".join(
            visible(f"  {'ok' if ok else 'FAILED':<6}  {what:<{width}}  {figure}")
            for what, ok, figure in self.rows
        )

    @property
    def all_ok(self) -> bool:
        return all(ok for _, ok, _ in self.rows)
