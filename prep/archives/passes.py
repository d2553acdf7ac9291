"""A pass: archives read once, in order, each unit handed to every consumer that has not had it yet.

Each consumer works in a thread of its own and gets the units in order; it commits each one to its own
journal, so that it resumes on its own. A unit that no consumer wants is skipped without being read. At most
three units a consumer are in memory, and they are the same ones, beside the one being read.
"""

import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from prep.archives.journal import UnitJournal
from prep.archives.units import ClassOf, LoadedUnit, read_folder_units, read_units
from prep.datasets.description import Split
from prep.progress import Progress


class Consumer(Protocol):
    """What a stage does with units."""

    stage: str
    journal: UnitJournal

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit of the archive of that name that begins at `offset` if it is done, else None."""

    def consume(self, loaded: LoadedUnit) -> None:
        """Work on one unit and commit it, at the latest when the next but one has come."""

    def flush(self) -> None:
        """Commit what is under way."""


@dataclass(frozen=True)
class SplitReader:
    """An archive, or a folder of class folders, to be read by a pass.

    `class_of` gives what tells the class of an image in a flat archive, and may have to wait for it.
    """

    path: Path
    split: Split
    class_of: Callable[[], ClassOf]

    def units(self, consumers: Sequence[Consumer]) -> Iterator[LoadedUnit]:
        """Its units, but for those that none of the consumers wants."""

        def skip(offset: int) -> int | None:
            sizes = [consumer.size_at(self.path.name, offset) for consumer in consumers]
            return None if None in sizes else sizes[0]

        if self.path.is_dir():
            units = read_folder_units(self.path, self.split, skip)
        else:
            units = read_units(self.path, self.split, lambda name: self.class_of()(name), skip)
        for loaded in units:
            yield loaded
            self.class_of()  # a devkit that can't be read ends the pass at once, whatever the layout


def run_pass(readers: Iterable[SplitReader], consumers: Sequence[Consumer], progress: Progress) -> None:
    """Read the splits unit by unit and have every consumer work on what it lacks.

    Raises:
        PrepError: what the first consumer to fail raised, once the others have finished their unit.
    """
    with at_work(consumers, progress) as give:
        for loaded in (loaded for reader in readers for loaded in reader.units(consumers)):
            if not give(loaded):
                break


@contextmanager
def at_work(consumers: Sequence[Consumer], progress: Progress) -> Iterator[Callable[[LoadedUnit], bool]]:
    """Consumers in their threads, and what hands a unit to each that lacks it; False once one has failed.

    Raises:
        PrepError: at the end, what the first consumer to fail raised.
    """
    workers = [_Worker(consumer, progress) for consumer in consumers]

    with _interrupt_kept() as interrupted:

        def give(loaded: LoadedUnit) -> bool:
            for worker in workers:
                worker.give(loaded)
            return not interrupted() and not any(worker.failure for worker in workers)

        try:
            yield give
        finally:
            for worker in workers:
                worker.finish()
    for worker in workers:
        if worker.failure:
            raise worker.failure


@contextmanager
def _interrupt_kept() -> Iterator[Callable[[], bool]]:
    """Keep Ctrl-C and SIGTERM until the end of this, and tell of them; a second one comes through at once.

    Raised in the middle of a queue's own work, it could leave the queue locked, and the workers waiting.
    """
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: count > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if count:
        raise KeyboardInterrupt


class _Worker:
    """One consumer in its thread, behind a queue that holds one unit."""

    def __init__(self, consumer: Consumer, progress: Progress) -> None:
        self.failure: BaseException | None = None
        self._consumer = consumer
        self._progress = progress
        self._queue: queue.Queue[LoadedUnit | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._work, name=consumer.stage)
        self._thread.start()

    def give(self, loaded: LoadedUnit) -> None:
        if self._consumer.size_at(loaded.unit.archive, loaded.unit.offset) is None:
            self._queue.put(loaded)

    def finish(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (loaded := self._queue.get()) is not None:
            if self.failure is None:
                self._guard(partial(self._consumer.consume, loaded))
                self._progress.advance(self._consumer.stage, loaded.unit.size)
        if self.failure is None:
            self._guard(self._consumer.flush)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # handed to the thread that runs the pass
            self.failure = error
