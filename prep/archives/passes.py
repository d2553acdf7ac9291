"""A pass: reads the archives once, in order, and gives each unit to every consumer that needs it.

Each consumer runs in a thread of its own, gets the units in order, and commits each unit to its own journal.
So each consumer resumes independently of the others. A unit that no consumer needs is not read. Few units are
in memory: the next one is read when the consumers have finished enough of those before it.
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
    """The part of a consumer's interface that a worker uses."""

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
    """Read the splits unit by unit, and give every consumer the units that it has not finished.

    An archive that is being downloaded is read as it arrives. An archive that has changed since it was
    checked is read as a whole, and its digest is computed again.

    Raises:
        IntegrityError: an archive has another digest than the description says.
        PrepError: a consumer has failed; raised after the other consumers have finished their units.
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
    except BaseException:
        for consumer in consumers:
            consumer.settle()
        digests.drop_bad_downloads()
        raise


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
    """Run the consumers in threads, and yield a function that gives a unit to each that has not finished it.

    The function returns when there is room in memory for the next unit. It returns False when the pass must
    end: a consumer has failed, or the user interrupts. `on_failure` is called at once with what a consumer
    raised.

    Raises:
        PrepError: a consumer has failed; raised at the end.
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
                progress.note("interrupted: finishing the current unit; press Ctrl-C again to stop at once")
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
    """Delay Ctrl-C and SIGTERM until the context ends, and yield a function that tells whether one came.

    A KeyboardInterrupt inside a queue operation could leave the queue locked and the workers waiting forever.
    A second signal is raised at once.
    """
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1
        stopping.set()
        if count > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield lambda: False
        return
    stopping.clear()
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: count > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if count:
        raise KeyboardInterrupt


class _Worker:
    """A thread that runs one consumer, with a queue of units."""

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
        except BaseException as error:  # the thread that runs the pass raises it
            self.failure = error
            self._on_failure(error)
