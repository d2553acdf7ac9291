"""The engine that runs tasks on many machines: Ray. No other module knows it.

A task is a function of a module. Ray starts it where a core is free, sends its arguments, and repeats it if
its worker or machine is lost. What a task returns stays in Ray's object store, near the worker that made it,
until it is asked for.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prep.errors import ClusterError, DescriptionError, PrepError
from prep.progress import Progress, duration
from prep.state import midstate

# Three tasks share two cores: while one waits for S3, the others compute.
CORES = 0.66
RETRIES = 3  # after the loss of a worker or a machine; errors of the task itself are never repeated
# Tasks that wait beside those that run. They also tell an autoscaler how many machines it should start.
LEAST_AHEAD = 64
MEMORY_STEP = 256 << 20  # bytes: a worker goes from task to task only while they want the same
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # without it, Ray warns that it will hide no GPUs one day
    "RAY_task_oom_retries": str(RETRIES),  # its default is for ever
    # Ray ends an idle worker after a second, and the next task, as one of a digest, has to wait for another.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of the second result of a task whose first has raised the error
}
SILENT_SECONDS = 60.0
LONGEST_SILENCE = 1800.0  # seconds: a worker joins within ten minutes, and a task takes a few
CONNECT_SECONDS = 10.0
ADDRESS = "RAY_ADDRESS"
STDERR = 2  # its file descriptor
Task = Callable[..., Any]


@contextmanager
def connected(address: str | None, progress: Progress) -> Iterator["Engine"]:
    """An engine on the cluster at that address; None is the one on this machine, or else a new one.

    Raises:
        DescriptionError: Ray is not installed.
        ClusterError: there is no such cluster.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        raise DescriptionError(
            "--on ray: Ray is not installed: run `pip install -r requirements-cluster.txt`"
        ) from error
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    named = address or os.environ.get(ADDRESS)
    try:
        ray.init(
            address=_address(named),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"connect to the Ray cluster{f' at {named}' if named else ''}: {_first_line(error)}: "
            "check --address, and on the head `ray status`"
        ) from error
    for number, handler in handlers.items():  # Ray would end the process in its own way
        signal.signal(number, handler)
    try:
        yield Engine(ray, progress)
    finally:
        with _silent():
            ray.shutdown()


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what Ray itself writes to the standard error: lines about tasks whose driver ends."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


def _address(named: str | None) -> str:
    """The address for ray.init, which by itself tries for 14 minutes to reach a cluster that isn't there.

    Raises:
        OSError: nobody answers.
    """
    from ray._private import services

    if named:
        _reach(named)
        return named
    # `ray start` and `ray.init` note the address of their cluster. The note stays when that is killed.
    noted = services.find_bootstrap_address(None)
    try:
        if noted:
            _reach(noted)
    except OSError:
        return "local"
    return noted or "local"


def _reach(address: str) -> None:
    """Connect to host:port; addresses of another form are for Ray to judge."""
    host, _, port = address.rpartition(":")
    if "/" in host or not port.isdecimal():
        return
    # After this, one try of Ray's, which takes 40 s, instead of 20.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
    with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS):
        pass


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def calls_ahead(cores: float, store: float, piece: int) -> int:
    """How many calls of `run` may be under way: they run, wait for a core, or wait for their chain.

    Args:
        cores: of the cluster.
        store: the bytes of its object store, of which half may be taken.
        piece: the bytes that a call keeps there for its chain; 0 for none.
    """
    ahead = max(LEAST_AHEAD, int(2 * cores / CORES))
    return min(ahead, max(2, int(store / 2 / piece))) if piece else ahead


class Engine:
    """Runs tasks on a cluster."""

    def __init__(self, ray: Any, progress: Progress) -> None:
        self._ray = ray
        self._progress = progress
        self._remote: dict[Task, Any] = {}
        self._left: list[Any] = []
        self._silence = 0.0  # seconds since a task has ended

    def share(self, value: object) -> Any:
        """Send a value to the cluster once; tasks get it where what this returns is an argument."""
        return self._ray.put(value)

    def cores(self) -> float:
        """The cores of the cluster at the moment."""
        return float(self._ray.cluster_resources().get("CPU", 0.0))

    def submit(
        self, task: Task, *arguments: object, returns: int = 1, cores: float = CORES, memory: int = 0
    ) -> Any:
        """Start a task where there are cores and memory (bytes, rounded up) for it.

        Returns a reference to its result, or a list of `returns` references.
        """
        if task not in self._remote:
            self._remote[task] = self._ray.remote(max_retries=RETRIES, retry_exceptions=False)(task)
        rounded = -(-memory // MEMORY_STEP) * MEMORY_STEP or None
        wanted = self._remote[task].options(num_returns=returns, num_cpus=cores, memory=rounded)
        return wanted.remote(*arguments)

    def value(self, reference: Any) -> Any:
        """The result of a task, when it is there.

        Raises:
            PrepError: what the task has raised, or ClusterError if its worker was lost too often.
        """
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, PrepError):
                raise error.cause from None
            raise ClusterError(
                f"a task of the cluster failed: {_first_line(error.cause or error)}: run again; what is done "
                "is kept; if it fails again, look into Ray's logs, session_latest/logs below /tmp/ray or its "
                "--temp-dir"
            ) from error
        except exceptions.RayError as error:
            raise ClusterError(
                f"the cluster failed: {_first_line(error)}: run again; finished work is kept"
            ) from error

    def run(
        self,
        task: Task,
        calls: Iterable[tuple[Any, ...]],
        *,
        passing_on: "Callable[[int, Any], Chain | None] | None" = None,
        memory: Callable[[int], int] = lambda _: 0,
        piece: Callable[[int], int] = lambda _: 0,
    ) -> Iterator[tuple[int, Any]]:
        """Run a task once for each tuple of arguments; yields (number of the call, result) as they finish.

        So many wait or run at once that no core is idle. The calls are taken from their iterator in order.

        Args:
            task: the function.
            calls: its arguments.
            passing_on: the task has a second result, bytes, which stay on the cluster. This function gets the
                number of the call and a reference to them, and returns the chain that has taken them. There
                are no more calls while chains are behind.
            memory: how much the call with that number needs, in bytes; 0 for little.
            piece: how many bytes of the call with that number go into a chain. So many calls run or wait for
                their chain that half of the object store is enough for them.

        Raises:
            PrepError: what a task has raised. The others go on; they end with the connection.
        """
        running: dict[Any, tuple[int, Any]] = {}
        chains: set[Chain] = set()
        calls = enumerate(calls)
        more, largest = True, 0
        try:
            while more or running:
                there = self._ray.cluster_resources()
                ahead = calls_ahead(there.get("CPU", 0.0), there.get("object_store_memory", 0.0), largest)
                while more and len(running) + sum(chain.behind for chain in chains) < ahead:
                    call = next(calls, None)
                    if call is None:
                        more = False
                        break
                    returns, needed = 2 if passing_on else 1, memory(call[0])
                    largest = max(largest, piece(call[0]))
                    made = self.submit(task, *call[1], returns=returns, memory=needed)
                    first, second = made if passing_on else (made, None)
                    running[first] = (call[0], second)
                for reference in self._wait(running, chains):
                    number, second = running.pop(reference)
                    result = self.value(reference)
                    if passing_on and (chain := passing_on(number, second)):
                        chains.add(chain)
                    yield number, result
        finally:
            self._left += running  # told to cancel them, and disconnected, Ray may abort the process

    def settle(self) -> None:
        """Wait until the tasks have ended that were under way when an error ended `run`."""
        while self._left:
            _, self._left = self._ray.wait(
                self._left, num_returns=len(self._left), timeout=SILENT_SECONDS, fetch_local=False
            )

    def _wait(self, running: dict[Any, tuple[int, Any]], chains: "set[Chain]") -> list[Any]:
        """Those of the running tasks that have finished, when there is one or a chain has moved on."""
        watched = [*running, *(chain.next for chain in chains if chain.next is not None)]
        if not watched:
            return []
        ready, _ = self._ray.wait(watched, timeout=SILENT_SECONDS, fetch_local=False)
        for chain in chains:
            chain.move_on()
        self._silence = 0.0 if ready else self._silence + SILENT_SECONDS
        if not ready:
            self._say_that_nothing_happens(len(running))
        return self._ready(running)

    def _say_that_nothing_happens(self, waiting: int) -> None:
        """Note it; an error after long: no machine has come, or none is large enough.

        Raises:
            ClusterError: as said.
        """
        since = duration(self._silence)
        self._progress.note(
            f"no task has ended for {since}; {waiting} wait or run on {self.cores():.0f} cores"
        )
        if self._silence >= LONGEST_SILENCE:
            raise ClusterError(
                f"no task of the cluster has ended for {since}: `ray status` on its head says what they wait "
                "for; check the quota of vCPUs and the memory of the machines, then run again"
            )

    def _ready(self, references: Iterable[Any]) -> list[Any]:
        """Those of which the results are there."""
        watched = [*references]
        if not watched:
            return []
        ready, _ = self._ray.wait(watched, num_returns=len(watched), timeout=0, fetch_local=False)
        return list(ready)

    def is_ready(self, reference: Any) -> bool:
        """Whether a result is there."""
        return bool(self._ready([reference]))


def absorb(algorithm: str, state: bytes, piece: Any) -> bytes:
    """The task of a chain: the state of a digest after another piece of its file."""
    return midstate.absorb(algorithm, state, memoryview(piece))


@dataclass(eq=False)
class Chain:
    """The digest of a file over its pieces, which may come in any order; each stays where Ray has it.

    Only the state of the digest moves, from piece to piece. `through` is the number of pieces, from the first
    on, that are in `state`; both are what a journal keeps.
    """

    engine: Engine
    algorithm: str
    through: int = 0
    state: bytes = b""
    on_move: Callable[["Chain"], None] = lambda _: None
    _waiting: dict[int, Any] = field(default_factory=dict)
    _absorbing: list[Any] = field(default_factory=list)  # references to the states that follow, in order

    def __post_init__(self) -> None:
        """Begin with the state of no bytes, unless there is one."""
        self.state = self.state or midstate.begin(self.algorithm)

    def give(self, number: int, piece: Any) -> None:
        """Take a reference to the piece with that number, counted from 0, unless it is in the state."""
        if number < self.through:
            return
        self._waiting[number] = piece
        state = self._absorbing[-1] if self._absorbing else self.state
        while (following := self.through + len(self._absorbing)) in self._waiting:
            state = self.engine.submit(absorb, self.algorithm, state, self._waiting.pop(following), cores=0)
            self._absorbing.append(state)

    @property
    def behind(self) -> int:
        """Pieces that were given and are not in the state yet."""
        return len(self._waiting) + len(self._absorbing)

    @property
    def next(self) -> Any:
        """A reference to the next state, or None if no piece is being absorbed."""
        return self._absorbing[0] if self._absorbing else None

    def move_on(self) -> None:
        """Take the states that are there.

        Raises:
            PrepError: absorbing a piece has failed.
        """
        moved = False
        while self._absorbing and self.engine.is_ready(self._absorbing[0]):
            self.state = self.engine.value(self._absorbing.pop(0))
            self.through += 1
            moved = True
        if moved:
            self.on_move(self)

    def finish(self, pieces: int) -> str:
        """Wait for all pieces of the file, and return the digest, hexadecimal.

        Raises:
            PrepError: absorbing a piece has failed, or there are other pieces than the file has.
        """
        while self._absorbing:
            self.engine.value(self._absorbing[0])
            self.move_on()
        if self.through != pieces or self._waiting:
            raise ClusterError(
                f"the digest of a file has {self.through} of its {pieces} pieces: run again; if it fails "
                "again, remove .packing/ there"
            )
        return midstate.digest_of(self.algorithm, self.state)
