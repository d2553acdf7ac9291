"""A pass: archives read once, in order, each unit handed to every consumer that has not had it yet.

Each consumer works in a thread of its own and gets the units in order; it commits each one to its own
journal, so that it resumes on its own. A unit that no consumer wants is skipped without being read. The units
in memory are few: the next one is read only when those before it have been dropped.
"""

import queue
import signal
import threading
import time
import weakref
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

# Bytes of units that may be in memory while the next one is read. Two are always allowed, however large:
# one that the consumers work on, and one that is being read.
MOST_BYTES = 192 << 20


class _Worked(Protocol):
    """What a worker needs of a consumer."""

    stage: str
    busy_with: str

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

    An archive that is being downloaded is read as it arrives. One that is not as it was when it was checked
    is read whole, and its digest runs along.

    Raises:
        IntegrityError: an archive has another digest than its description says.
        PrepError: what the first consumer to fail raised, once the others have finished their unit.
    """
    digests = ArchiveDigests(readers, consumers, checked)
    workers: list[_Worked] = [*consumers]
    if digests.bytes_to_read:
        progress.add(digests.stage, digests.bytes_to_read)
        workers.append(digests)
    try:
        with at_work(workers, progress, digests.give_up) as give:
            _read(readers, consumers, digests, give)
        digests.settle()
    finally:
        digests.drop_bad_downloads()


def _read(
    readers: Sequence[SplitReader],
    consumers: Sequence[Consumer],
    digests: ArchiveDigests,
    give: Callable[[LoadedUnit], bool],
) -> None:
    for reader in readers:
        units = reader.units(consumers, every=digests.wants(reader))
        while given := next(map(give, units), None):  # nothing here keeps a unit in memory
            reader.class_of()  # a devkit that can't be read ends the pass at once, whatever the layout
        if given is False:
            return


@contextmanager
def at_work(
    consumers: Sequence[_Worked],
    progress: Progress,
    on_failure: Callable[[BaseException], None] = lambda _: None,
) -> Iterator[Callable[[LoadedUnit], bool]]:
    """Consumers in their threads, and what hands a unit to each that lacks it; False once one has failed.

    It returns when there is room in memory for the next unit. `on_failure` is told at once of what a consumer
    raised.

    Raises:
        PrepError: at the end, what the first consumer to fail raised.
    """
    workers = [_Worker(consumer, progress, on_failure) for consumer in consumers]
    memory = _Memory()

    with _interrupt_kept() as interrupted:

        def going() -> bool:
            return not interrupted() and not any(worker.failure for worker in workers)

        def give(loaded: LoadedUnit) -> bool:
            memory.hold(loaded)
            for worker in workers:
                worker.give(loaded)
            memory.wait_for_room(going, partial(_blame, workers, progress))
            return going()

        try:
            yield give
        finally:
            if interrupted():
                progress.note("interrupted: finishing the unit at hand; Ctrl-C again stops at once")
            for worker in workers:
                worker.finish(drop=not going())
    for worker in workers:
        if worker.failure:
            raise worker.failure


def _blame(workers: Sequence["_Worker"], progress: Progress, seconds: float) -> None:
    """Note for what the pass has waited: for that with which the consumer that is furthest behind is busy."""
    slowest = max(workers, key=lambda worker: worker.behind, default=None)
    if slowest:
        progress.waited(slowest.busy_with, seconds)


class _Memory:
    """The units in memory, each from when it is handed out until nobody refers to it any more."""

    def __init__(self) -> None:
        self._bytes = self._count = 0
        # Its put may be called from a finalizer, whatever the thread is doing.
        self._dropped: queue.SimpleQueue[int] = queue.SimpleQueue()

    def hold(self, loaded: LoadedUnit) -> None:
        self._bytes += loaded.unit.size
        self._count += 1
        weakref.finalize(loaded, self._dropped.put, loaded.unit.size)

    def wait_for_room(self, going: Callable[[], bool], waited: Callable[[float], None]) -> None:
        """Wait until the next unit may be read. The unit that was handed out last counts."""
        while self._bytes > MOST_BYTES and self._count > 1 and going():
            begun = time.monotonic()
            try:
                self._bytes -= self._dropped.get(timeout=0.1)
                self._count -= 1
            except queue.Empty:
                pass
            waited(time.monotonic() - begun)


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
    """One consumer in its thread, behind a queue."""

    def __init__(
        self, consumer: _Worked, progress: Progress, on_failure: Callable[[BaseException], None]
    ) -> None:
        self.failure: BaseException | None = None
        self._given = self._done = 0  # units; each is counted by one thread only
        self._drop = False
        self._consumer = consumer
        self._progress = progress
        self._on_failure = on_failure
        self._queue: queue.SimpleQueue[LoadedUnit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=consumer.stage)
        self._thread.start()

    @property
    def behind(self) -> int:
        """Units that it has not finished."""
        return self._given - self._done

    @property
    def busy_with(self) -> str:
        """What the consumer is waiting for at the moment."""
        return self._consumer.busy_with

    def give(self, loaded: LoadedUnit) -> None:
        if self._consumer.size_at(loaded.unit.archive, loaded.unit.offset) is None:
            self._given += 1
            self._queue.put(loaded)

    def finish(self, drop: bool) -> None:
        """Wait for the units given so far or, if `drop`, for the one at hand."""
        self._drop = drop
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (loaded := self._queue.get()) is not None:
            size = loaded.unit.size
            if self.failure is None and not self._drop:
                self._guard(partial(self._consumer.consume, loaded))
                self._progress.advance(self._consumer.stage, size)
            loaded = None
            self._done += 1
        if self.failure is None:
            self._guard(self._consumer.flush)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # handed to the thread that runs the pass
            self.failure = error
            self._on_failure(error)
