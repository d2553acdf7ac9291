"""A pass: archives read once, in order, each unit handed to every consumer that has not had it yet.

Each consumer works in a thread of its own and gets the units in order; it commits each one to its own
journal, so that it resumes on its own. A unit that no consumer wants is skipped without being read. At most
three units a consumer are in memory, and they are the same ones, beside the one being read.
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
    """What a worker needs of a consumer."""

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
    """Read the splits unit by unit and have every consumer work on what it lacks.

    An archive that is not as it was when it was checked is read whole, and its digest runs along.

    Raises:
        IntegrityError: an archive has another digest than its description says.
        PrepError: what the first consumer to fail raised, once the others have finished their unit.
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
            if interrupted():
                progress.note("interrupted: finishing the unit at hand; Ctrl-C again stops at once")
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
    stopping.clear()

    def note(*_: object) -> None:
        nonlocal count
        count += 1
        stopping.set()
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
        except BaseException as error:  # handed to the thread that runs the pass
            self.failure = error
