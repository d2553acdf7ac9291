"""Processes that load images: they tell what they have done, and none is left behind."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

import cv2

from prep.errors import PrepError

PATIENCE = 120.0  # seconds for a process to start, or for one batch from a very slow volume
LOOK = 0.5  # seconds between two looks whether a process is still there


class Worker:
    """A process, and what it tells."""

    def __init__(self, process: BaseProcess, told: Connection) -> None:
        self.process = process
        self._told = told

    def hear(self) -> Any:
        """What it tells next.

        Raises:
            PrepError: it has failed or was killed, or says nothing.
        """
        end = time.monotonic() + PATIENCE
        while not self._told.poll(LOOK):
            if self.process.exitcode is not None and not self._told.poll(0):
                raise self._ended()
            if time.monotonic() > end:
                raise PrepError(
                    f"no batch within {PATIENCE:.0f} s: the volume hardly delivers: check its state in EC2"
                )
        try:
            said = self._told.recv()
        except EOFError:
            self.process.join(PATIENCE)
            raise self._ended() from None
        if isinstance(said, PrepError):
            raise said
        return said

    def _ended(self) -> PrepError:
        return PrepError(
            f"a loader process ended with code {self.process.exitcode}: run again, with fewer "
            "processes if there is too little memory"
        )


@contextmanager
def workers(
    context: ForkContext | SpawnContext, work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[list[Worker]]:
    """A process for each tuple of arguments; `work` gets a function that tells, then the arguments."""
    started: list[Worker] = []
    try:
        for some in arguments:
            receive, send = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(target=_guarded, args=(work, send, *some), daemon=True)
            process.start()
            send.close()
            started.append(Worker(process, receive))
        yield started
    finally:
        for worker in started:
            worker.process.terminate()
        for worker in started:
            worker.process.join()


def _guarded(work: Callable[..., None], send: Connection, *arguments: Any) -> None:
    """Do the work; a failure is told, not raised."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a fork has that of its parent
    cv2.setNumThreads(1)  # a process a core
    try:
        work(send.send, *arguments)
    except PrepError as error:
        send.send(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        send.send(PrepError(f"{where}{error.strerror or error}: check the volume, then run again"))
