"""The status of a run as a document: status.json, in the run's folder and in the bucket.

docs/status.md lists its fields. A reader takes nothing for granted: the document may come from a bucket.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from prep.errors import IntegrityError

SCHEMA = 1  # a change that an older reader would misunderstand gets the next number
RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"
STATES = (RUNNING, DONE, FAILED, INTERRUPTED)
NOT_BEGUN, BEGUN, AT_WORK, FINISHED = "not begun", "begun", "at work", "done"  # of a stage
MOST_BYTES = 32 << 10  # a reader looks at no more; what is written has less than half of it
MOST_TEXT = 500  # characters of a text, such as an error
MOST_TASKS = 30


@dataclass(frozen=True)
class Task:
    """A bar: done of total, in `unit`; `rate` a second over the last minute. None: not known."""

    name: str
    stage: str
    unit: str  # "bytes" or "percent"
    done: int
    total: int | None
    rate: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Mishap:
    """Something that went wrong: when (UTC), and what; "" where there was none."""

    at: str = ""
    text: str = ""


@dataclass(frozen=True)
class Document:
    """The status of a run. Times are UTC, as 2026-11-25T21:00:00Z; a run may take several processes.

    state: of STATES. processes, work_seconds: of the whole run, with this process. earlier_work_seconds: of
    them, those before the machine was started last. still_seconds: since a byte moved. waits: seconds since
    the part began, by what for. error, exit_code: why this process failed. last_error: why an earlier process
    ended, or this one. gave_up: the service does not start it again.
    """

    dataset: str
    state: str
    updated: str
    began: str
    sequence: int = 0
    processes: int = 1
    work_seconds: float = 0.0
    earlier_work_seconds: float = 0.0
    instance: str = ""
    machine: str = ""
    part: str = ""
    stages: Mapping[str, str] = field(default_factory=dict)
    tasks: Sequence[Task] = ()
    still_seconds: float = 0.0
    waits: Mapping[str, float] = field(default_factory=dict)
    waiting_for: str = ""
    retries: int = 0
    last_retry: Mishap = Mishap()
    error: str = ""
    exit_code: int = 0
    gave_up: bool = False
    last_error: Mishap = Mishap()
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        """As it is written."""
        return (json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n").encode()


def parse(data: bytes, where: str) -> Document:
    """Read a document that came from `where`.

    Raises:
        IntegrityError: it is none, or it was written by a newer prep.
    """
    try:
        table = json.loads(data)
        if isinstance(table, dict) and isinstance(table.get("schema"), int) and table["schema"] > SCHEMA:
            raise IntegrityError(f"{where}: written by a newer version of prep: update this one")
        document = _document(_Table(table))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(
            f"{where}: not the status of a run: {error}: wait a minute, or remove it; the run writes it anew"
        ) from error
    return document


class _Table:
    """A JSON object whose values have the types that are asked for; else a TypeError names the key."""

    def __init__(self, table: Any) -> None:
        if not isinstance(table, dict):
            raise TypeError("no JSON object")
        self._table = table

    def text(self, key: str) -> str:
        return self._is(key, str)[:MOST_TEXT]  # type: ignore[no-any-return]

    def whole(self, key: str) -> int:
        return self._is(key, int)  # type: ignore[no-any-return]

    def number(self, key: str) -> float:
        return float(self._is(key, (int, float)))

    def maybe(self, key: str) -> float | None:
        return None if self._table[key] is None else self.number(key)

    def flag(self, key: str) -> bool:
        if not isinstance(self._table[key], bool):
            raise TypeError(f"{key} is no truth value")
        return bool(self._table[key])

    def inner(self, key: str) -> "_Table":
        return _Table(self._table[key])

    def rows(self, key: str) -> "list[_Table]":
        return [_Table(row) for row in self._is(key, list)[:MOST_TASKS]]

    def keys(self) -> list[str]:
        return list(self._table)[:MOST_TASKS]

    def _is(self, key: str, kind: Any) -> Any:
        value = self._table[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(f"{key} is {type(value).__name__}")
        return value


def _document(table: _Table) -> Document:
    stages, waits = table.inner("stages"), table.inner("waits")
    if table.text("state") not in STATES:
        raise TypeError("state is none of those that there are")
    return Document(
        dataset=table.text("dataset"),
        state=table.text("state"),
        updated=table.text("updated"),
        began=table.text("began"),
        sequence=table.whole("sequence"),
        processes=table.whole("processes"),
        work_seconds=table.number("work_seconds"),
        earlier_work_seconds=table.number("earlier_work_seconds"),
        instance=table.text("instance"),
        machine=table.text("machine"),
        part=table.text("part"),
        stages={name: stages.text(name) for name in stages.keys()},  # noqa: SIM118 - no dict
        tasks=tuple(_task(row) for row in table.rows("tasks")),
        still_seconds=table.number("still_seconds"),
        waits={name: waits.number(name) for name in waits.keys()},  # noqa: SIM118 - no dict
        waiting_for=table.text("waiting_for"),
        retries=table.whole("retries"),
        last_retry=_mishap(table.inner("last_retry")),
        error=table.text("error"),
        exit_code=table.whole("exit_code"),
        gave_up=table.flag("gave_up"),
        last_error=_mishap(table.inner("last_error")),
        schema=table.whole("schema"),
    )


def _task(table: _Table) -> Task:
    total = table.maybe("total")
    return Task(
        name=table.text("name"),
        stage=table.text("stage"),
        unit=table.text("unit"),
        done=table.whole("done"),
        total=None if total is None else int(total),
        rate=table.maybe("rate"),
        seconds_left=table.maybe("seconds_left"),
    )


def _mishap(table: _Table) -> Mishap:
    return Mishap(table.text("at"), table.text("text"))
