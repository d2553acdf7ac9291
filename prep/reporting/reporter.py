"""The reporter: a thread that writes down how far the run is, while the run works.

It writes at the beginning, when a part begins or a stage is finished, every 15 seconds, and at the end. It
never stops or fails the run: what can't be written is noted once.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from prep.errors import IntegrityError, PrepError
from prep.progress import Progress, one_line
from prep.reporting import document, places
from prep.reporting.document import AT_WORK, BEGUN, FINISHED, NOT_BEGUN, Document, Mishap
from prep.reporting.places import Put
from prep.reporting.rates import Rates
from prep.reporting.service import up_seconds
from prep.stages.status import status
from prep.state.layout import Layout

EVERY_SECONDS = 15.0
LEAST_SECONDS = 1.0  # between two writes: many stages may be found finished in one moment
END_SECONDS = 6.0  # how long the end of a run waits for the last write
FULL = {errno.ENOSPC, errno.EDQUOT}
ERROR = "error: "  # how command_line begins it
KILLED = "the process ended without a word: it was killed, memory ran out, or the instance stopped"


@dataclass(frozen=True)
class Subject:
    """What is reported on. archives: file name → bytes, if the description says how many.

    instance, machine: as contract.ENV_INSTANCE and contract.ENV_MACHINE; "" outside AWS.
    """

    dataset: str
    stages: Sequence[str]
    archives: Mapping[str, int | None]
    instance: str = ""
    machine: str = ""


@contextmanager
def reporting(subject: Subject, layout: Layout, progress: Progress, put: Put | None) -> Iterator[None]:
    """Report on the block, in the run's folder and, with `put`, in the bucket."""
    reporter = Reporter(subject, layout, progress, put)
    reporter.start()
    try:
        yield
    except BaseException as error:
        reporter.end(*_ending(error))
        raise
    reporter.end(document.DONE)


def _ending(error: BaseException) -> tuple[str, str, int]:
    """State, text and exit code for what ended the run."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return document.INTERRUPTED, "", 0
    if isinstance(error, PrepError):
        return document.FAILED, str(error), error.exit_code
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return document.FAILED, f"{where}{error.strerror or type(error).__name__}", PrepError.exit_code
    # Of a mistake in prep only the kind: nobody has looked at what its text may hold.
    return document.FAILED, f"{type(error).__name__}, a mistake in prep: see the log", PrepError.exit_code


class Reporter:
    """Writes the status of one process of a run."""

    def __init__(self, subject: Subject, layout: Layout, progress: Progress, put: Put | None) -> None:
        self._subject = subject
        self._layout = layout
        self._progress = progress
        self._put = put
        self._begun = time.monotonic()
        self._rates = Rates()
        self._sequence = 0
        self._refused: set[str] = set()
        self._wake, self._ended = threading.Event(), threading.Event()
        self._last: tuple[str, str, int] = (document.RUNNING, "", 0)
        self._repeats, self._retry = 0, Mishap()
        self._before = read(layout.status)
        up = up_seconds()
        self._started = None if up is None else time.time() - up
        self._run_before = _content(layout.receipts / "run.json")
        self._begun_before = _begun_stages(layout)
        self._thread = threading.Thread(target=self._work, name="status", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._progress.on_change = self._wake.set
        self._wake.set()
        self._thread.start()

    def end(self, state: str, error: str = "", exit_code: int = 0) -> None:
        """Report the end, and wait a moment until that is written."""
        self._last = (state, one_line(error)[: document.MOST_TEXT], exit_code)
        self._ended.set()
        self._wake.set()
        self._thread.join(END_SECONDS)

    def _work(self) -> None:
        ended = False
        while not ended:
            self._wake.wait(EVERY_SECONDS)
            self._wake.clear()
            ended = self._ended.is_set()
            try:
                data = self._document().to_json()
            except Exception as error:  # whatever it is, the run must go on
                self._note_once("made", f"{type(error).__name__}: {error}")
                continue
            self._write("the file", lambda data=data: places.write_file(self._layout.status, data))  # type: ignore[misc]
            if self._put:
                self._write("the bucket", lambda data=data, put=self._put: put(data))  # type: ignore[misc]
            self._ended.wait(LEAST_SECONDS)

    def _write(self, where: str, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                return  # the run itself will tell
            self._note_once(f"written to {where}", str(error))

    def _note_once(self, what: str, reason: str) -> None:
        if what not in self._refused:
            self._refused.add(what)
            self._progress.note(f"status: can't be {what}: {reason} (the run goes on)")

    def _document(self) -> Document:
        seen, now = self._progress.seen(), utc(time.time())
        state, error, exit_code = self._last
        if seen.repeats != self._repeats:
            self._repeats, self._retry = seen.repeats, Mishap(now, seen.last_repeat[: document.MOST_TEXT])
        self._sequence += 1
        self._rates.note(seen)
        before = self._previous(state)
        archives, stages = self._subject.archives, self._subject.stages
        tasks = self._rates.tasks(archives, stages, self._layout.archives)
        return replace(
            before,
            dataset=self._subject.dataset,
            state=state,
            updated=now,
            sequence=self._sequence,
            work_seconds=round(before.work_seconds + time.monotonic() - self._begun, 1),
            instance=self._subject.instance,
            machine=self._subject.machine,
            part=seen.part,
            stages=self._stages(state, seen.part, seen.finished),
            tasks=() if state == document.DONE else tasks,
            still_seconds=self._rates.still_seconds,
            waits={what: round(seconds, 1) for what, seconds in seen.waits.items()},
            waiting_for=self._rates.waiting_for,
            retries=before.retries + seen.repeats,
            last_retry=self._retry if self._retry.text else before.last_retry,
            error=error,
            exit_code=exit_code,
            gave_up=False,
            last_error=Mishap(now, error) if error else before.last_error,
        )

    def _stages(self, state: str, part: str, finished: Sequence[str]) -> dict[str, str]:
        begun = {*self._rates.stages, part}  # parts that are a stage alone have its name
        stages = {}
        for stage in self._subject.stages:
            if stage in finished:
                stages[stage] = FINISHED
            elif stage in begun and state == document.RUNNING:
                stages[stage] = AT_WORK
            else:
                stages[stage] = BEGUN if stage in begun | self._begun_before else NOT_BEGUN
        return stages

    def _previous(self, state: str) -> Document:
        """The run as the processes before this one have left it; a new run if theirs was complete."""
        now = utc(time.time() - (time.monotonic() - self._begun))
        before = self._before
        if before is None:
            return Document("", document.RUNNING, now, began=now)
        if before.state == document.DONE:
            # A run that finds everything done is no new one.
            same = self._run_before is not None and self._run_before == _content(
                self._layout.receipts / "run.json"
            )
            return before if state == document.DONE and same else Document("", "", now, began=now)
        killed = Mishap(before.updated, KILLED) if before.state == document.RUNNING else before.last_error
        earlier = before.work_seconds if self._started_since(before) else before.earlier_work_seconds
        return replace(
            before, processes=before.processes + 1, last_error=killed, earlier_work_seconds=earlier
        )

    def _started_since(self, before: Document) -> bool:
        """Whether the machine was started after the process before this one had its last word."""
        return self._started is not None and before.updated < utc(self._started)


def read(path: Path) -> Document | None:
    """The status in a file, or None if there is none that can be read."""
    try:
        found = places.read_file(path)
    except (OSError, IntegrityError):
        return None
    return found[0] if found else None


def _begun_stages(layout: Layout) -> set[str]:
    """The stages that an earlier process has begun, as far as its journals can be read."""
    try:
        return {stage for stage, facts in status(layout).items() if facts["state"] != NOT_BEGUN}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def give_up(path: Path, put: Put | None, subject: Subject, error: str) -> None:
    """Note that the service has failed and is not started again.

    error: the last that its log tells. If it begins with ERROR, prep wrote it, perhaps in a process that
    failed before it reported; else systemd did, which knows less than the process.

    Raises:
        PrepError, OSError: it can't be written.
    """
    now = utc(time.time())
    before = read(path) or Document(subject.dataset, document.FAILED, now, began=now)
    text = one_line(error.removeprefix(ERROR))[: document.MOST_TEXT]
    if before.error and (text.startswith(before.error) or not error.startswith(ERROR)):
        text = before.error
    ended = replace(
        before,
        state=document.FAILED,
        updated=now,
        sequence=before.sequence + 1,
        instance=subject.instance,
        machine=subject.machine,
        stages={stage: BEGUN if state == AT_WORK else state for stage, state in before.stages.items()},
        tasks=(),
        error=text,
        exit_code=(before.exit_code if text == before.error else 0) or PrepError.exit_code,
        gave_up=True,
        last_error=before.last_error if before.last_error.text == text else Mishap(now, text),
    )
    try:
        if put:
            put(ended.to_json())
    finally:
        places.write_file(path, ended.to_json())


def utc(seconds: float) -> str:
    """A moment as text, from seconds since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
