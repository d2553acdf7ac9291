"""A phase, simulated event by event: tasks of varying length on nodes, some slow or lost, and S3's rates.

It follows prep.cluster.engine: the driver has so many tasks under way or behind in a chain at most; a chain
takes the pieces of a file in order; a task is repeated if its node is lost, and so is one whose piece was
there. Times are seconds. The same seed gives the same outcome.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.scale.facts import MEASURED
from bench.scale.model import Cluster, Phase


@dataclass(frozen=True)
class Trouble:
    """What is not as planned.

    Attributes:
        spread: standard deviation of the logarithm of a task's size; its mean is that of the phase.
        slow: nodes that compute and transfer at half the rate.
        lost: when a node is lost, as a share of the time that the closed formula gives; None for never.
        notice: seconds until the loss is known.
        replace: seconds until there is another node.
    """

    spread: float = 0.0
    slow: int = 0
    lost: float | None = None
    notice: float = 30.0
    replace: float = 180.0


@dataclass
class Outcome:
    """Seconds of the phase; tasks that ran again; seconds that requests waited for S3's rates, all tasks."""

    seconds: float = 0.0
    repeated: int = 0
    throttled: float = 0.0


class Bucket:
    """Tokens that come at a rate; at most those of a second are kept. Requests are served in order."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at = 0.0

    def take(self, now: float, count: float) -> float:
        """When so many requests have been let through, if they are asked for now."""
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate) - count
        self._at = now
        return now if self._tokens >= 0 else now - self._tokens / self._rate


class Line:
    """A link that moves bytes in order."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free = 0.0

    def take(self, now: float, size: float) -> float:
        """When so many bytes have passed, if they come now."""
        self._free = max(self._free, now) + size / self._rate
        return self._free


class Node:
    """A machine: its cores, its network in both directions, its places for tasks."""

    def __init__(self, cluster: Cluster, places: int, pace: float) -> None:
        machine = cluster.machine
        self.pace = pace
        self.cores = [0.0] * machine.cores
        self.inward, self.outward = Line(machine.network * pace), Line(machine.network * pace)
        self.places = places
        self.alive = True

    def compute(self, now: float, seconds: float) -> float:
        """When a core has worked for so many seconds, from the moment that one is free."""
        end = max(now, heapq.heappop(self.cores)) + seconds / self.pace
        heapq.heappush(self.cores, end)
        return end


@dataclass
class Task:
    """A task: its number, its size relative to the mean, where it runs, how often it has begun."""

    number: int
    size: float
    node: Node | None = None
    begun: int = 0
    counted: bool = False


@dataclass
class _Chain:
    """A digest: the piece that comes next, the pieces that are there, and whether one is being absorbed."""

    tasks: deque[int]
    ready: set[int] = field(default_factory=set)
    busy: bool = False
    behind: int = 0


class Simulation:
    """One phase. `run` gives its outcome."""

    def __init__(self, phase: Phase, cluster: Cluster, trouble: Trouble | None = None, seed: int = 0) -> None:
        self.phase, self.cluster, self.trouble = phase, cluster, trouble or Trouble()
        rng = random.Random(seed)  # noqa: S311 - a simulation, no secrets
        spread = self.trouble.spread
        self.tasks = [
            Task(number, math.exp(rng.gauss(-spread * spread / 2, spread))) for number in range(phase.tasks)
        ]
        paces = [0.5 if number < self.trouble.slow else 1.0 for number in range(cluster.nodes)]
        self.nodes = [Node(cluster, phase.places(cluster), pace) for pace in paces]
        self.gets, self.puts = Bucket(cluster.gets), Bucket(cluster.puts)
        self.outcome = Outcome()
        self._calls = deque(range(phase.tasks))  # not given to the cluster yet
        self._queue: deque[int] = deque()  # given, and waiting for a place
        self._running = self._done = 0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = 0
        self._chains = self._make_chains()

    def _make_chains(self) -> list[_Chain]:
        count = self.phase.chains if self.phase.piece else 0
        return [_Chain(deque(range(first, self.phase.tasks, count))) for first in range(count)]

    def run(self) -> Outcome:
        """From the first task to the last, and to the end of the chains."""
        if self.trouble.lost is not None:
            self._at(self.trouble.lost * self.phase.seconds(self.cluster), self._lose)
        self._submit(0.0)
        while self._done < len(self.tasks) or any(chain.tasks for chain in self._chains):
            now, _, act = heapq.heappop(self._events)
            act(now)
            self.outcome.seconds = now
        return self.outcome

    def _at(self, when: float, act: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, act))

    def _submit(self, now: float) -> None:
        """What the driver does when something has changed."""
        behind = sum(chain.behind for chain in self._chains)
        while self._calls and self._running + behind < self.cluster.ahead:
            self._queue.append(self._calls.popleft())
            self._running += 1
        for node in self.nodes:
            while node.alive and node.places and self._queue:
                node.places -= 1
                self._begin(now, self.tasks[self._queue.popleft()], node)

    def _begin(self, now: float, task: Task, node: Node) -> None:
        """A task begins: it reads, computes, writes."""
        phase = self.phase
        task.node, task.begun = node, task.begun + 1
        attempt = task.begun
        let_through = self.gets.take(now, phase.gets)
        self.outcome.throttled += let_through - now
        read = max(
            let_through, now + phase.reads * task.size, node.inward.take(now, phase.received * task.size)
        )

        def compute(at: float) -> None:
            if self._is_on(task, node, attempt):
                self._at(node.compute(at, phase.core * task.size), write)

        def write(at: float) -> None:
            if not self._is_on(task, node, attempt):
                return
            allowed = self.puts.take(at, phase.puts)
            self.outcome.throttled += allowed - at
            sent = node.outward.take(at, phase.sent * task.size)
            self._at(max(allowed, at + phase.writes * task.size, sent), end)

        def end(at: float) -> None:
            if self._is_on(task, node, attempt):
                node.places += 1
                self._end(at, task)

        self._at(read, compute)

    @staticmethod
    def _is_on(task: Task, node: Node, attempt: int) -> bool:
        return node.alive and task.node is node and task.begun == attempt

    def _end(self, now: float, task: Task) -> None:
        if not task.counted:
            task.counted = True
            self._done += 1
            self._running -= 1
        if self._chains:
            chain = self._chains[task.number % len(self._chains)]
            chain.behind += task.begun == 1 or task.number not in chain.ready
            chain.ready.add(task.number)
            self._absorb(now, chain)
        self._submit(now)

    def _absorb(self, now: float, chain: _Chain) -> None:
        """Begin with the next piece of a chain, if it is there and the one before is absorbed."""
        if chain.busy or not chain.tasks or chain.tasks[0] not in chain.ready:
            return
        chain.busy = True
        number = chain.tasks[0]
        seconds = MEASURED.link + self.phase.piece * self.tasks[number].size / self.phase.digest

        def absorbed(at: float) -> None:
            chain.busy = False
            chain.ready.discard(number)
            chain.tasks.popleft()
            chain.behind -= 1
            self._absorb(at, chain)
            self._submit(at)

        self._at(now + seconds, absorbed)

    def _lose(self, now: float) -> None:
        """The last node is lost, with its tasks and with the pieces that it has; another one comes."""
        node = self.nodes[-1]
        node.alive = False
        waiting = {number for chain in self._chains for number in chain.ready}
        lost = [
            task for task in self.tasks if task.node is node and (not task.counted or task.number in waiting)
        ]
        for task in lost:
            for chain in self._chains:
                if task.number in chain.ready and not (chain.busy and chain.tasks[0] == task.number):
                    chain.ready.discard(task.number)
                    chain.behind -= 1
            task.node = None

        def repeat(at: float) -> None:
            self.outcome.repeated += len(lost)
            self._queue.extendleft(task.number for task in reversed(lost))
            self._submit(at)

        def replace(at: float) -> None:
            self.nodes[-1] = Node(self.cluster, self.phase.places(self.cluster), 1.0)
            self._submit(at)

        self._at(now + self.trouble.notice, repeat)
        self._at(now + self.trouble.replace, replace)
