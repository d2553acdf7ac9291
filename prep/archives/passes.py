"""A pass: reads the archives once, in order, and gives each unit to every consumer that needs it.

Each consumer runs in a thread of its own, gets the units in order, and commits each unit to its own journal.
So each consumer resumes independently of the others. A unit that no consumer needs is not read. Besides the
unit being read, at most three units for each consumer are in memory; the consumers share them.
"""

import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from prep.archives.digests import ArchiveDigests
from prep.archives.readers import Consumer, SplitReader
from prep.archives.units import LoadedUnit
from prep.interrupt import stopping
from prep.progress import Progress
from prep.state.checked import CheckedFiles


class _Worked(Protocol):
    """The part of a consumer's interface that a worker uses."""

    stage: str

    def size_at(self, source: str, offset: int) -> int | None: ...

    def consume(self, loaded: LoadedUnit) -> None: ...

    def flush(self) -> None: ...


def run_pass(
    readers: Sequence[SplitReader],
    consumers: Sequence[Consumer],
    checked: CheckedFiles,
    progress: Progress,
) -> None:
    """Read the splits unit by unit, and give every consumer the units that it has not finished.

    An archive that has changed since it was checked is read as a whole, and its digest is computed again.

    Raises:
        IntegrityError: an archive has another digest than the description says.
        PrepError: a consumer has failed; raised after the other consumers have finished their units.
    """
    digests = ArchiveDigests(readers, consumers, checked)
    workers: list[_Worked] = [*consumers]
    if digests.bytes_to_read:
        progress.add(digests.stage, digests.bytes_to_read)
        workers.append(digests)
    with at_work(workers, progress) as give:
        for loaded in (
            loaded for reader in readers for loaded in reader.units(consumers, digests.wants(reader.path))
        ):
            if not give(loaded):
                break
    digests.settle()


@contextmanager
def at_work(consumers: Sequence[_Worked], progress: Progress) -> Iterator[Callable[[LoadedUnit], bool]]:
    """Run the consumers in threads, and yield a function that gives a unit to each that has not finished it.

    The function returns False when the pass must end: a consumer has failed, or the user interrupts.

    Raises:
        PrepError: a consumer has failed; raised at the end.
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
            if interrupted():
                progress.note("interrupted: finishing the current unit; press Ctrl-C again to stop at once")
            for worker in workers:
                worker.finish()
    for worker in workers:
        if worker.failure:
            raise worker.failure


@contextmanager
def _interrupt_kept() -> Iterator[Callable[[], bool]]:
    """Delay Ctrl-C and SIGTERM until the context ends, and yield a function that tells whether one came.

    A KeyboardInterrupt inside a queue operation could leave the queue locked and the workers waiting forever.
    A second signal is raised at once.
    """
    count = 0
    stopping.clear()

    def note(*_: object) -> None:
        nonlocal count
        count += 1
        stopping.set()
        if count > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
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
    """A thread that runs one consumer, with a queue for one unit."""

    def __init__(self, consumer: _Worked, progress: Progress) -> None:
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
        except BaseException as error:  # the thread that runs the pass raises it
            self.failure = error
