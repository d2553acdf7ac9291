"""How long packing on a cluster takes, in closed form: of each phase, the resource that is slowest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.scale.design import Cut
from bench.scale.facts import (
    CONNECTION,
    CONNECTIONS_DEAL,
    CONNECTIONS_MERGE,
    GETS_A_SECOND,
    GIB,
    LATENCY,
    MACHINE,
    MEASURED,
    NODES,
    PUTS_A_SECOND,
    SPREAD_OVER,
    STORE_SHARE,
    SYSTEM_MEMORY,
    TIB,
    Machine,
)
from prep.cluster.engine import CORES, LEAST_AHEAD

CORE, NETWORK, GETS, PUTS, PLACES, DIGEST = (
    "cores", "network", "GET rate", "PUT rate", "places of tasks", "digest",
)  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """The nodes, and the rates of S3: over all prefixes that the keys of a split have."""

    nodes: int = NODES
    machine: Machine = MACHINE
    prefixes: int = SPREAD_OVER

    @property
    def heap(self) -> float:
        """Memory of a node for its workers."""
        return self.machine.memory * (1 - STORE_SHARE) - SYSTEM_MEMORY

    @property
    def store(self) -> float:
        """Memory of all nodes for what tasks return."""
        return self.nodes * self.machine.memory * STORE_SHARE

    @property
    def gets(self) -> float:
        """GET requests a second."""
        return self.prefixes * GETS_A_SECOND

    @property
    def puts(self) -> float:
        """PUT requests a second."""
        return self.prefixes * PUTS_A_SECOND

    @property
    def ahead(self) -> int:
        """Tasks that the driver has under way or behind in a chain at most."""
        return max(LEAST_AHEAD, int(2 * self.nodes * self.machine.cores / CORES))


@dataclass(frozen=True)
class Phase:
    """Tasks of one kind.

    Attributes:
        name: the phase.
        tasks: how many.
        received, sent: bytes from and to S3, of a task.
        gets, puts: requests of a task.
        core: processor seconds of a task.
        reads, writes: seconds that a task alone waits for S3, before and after it computes.
        piece: bytes of a task that go through a chain; 0 without one.
        digest: bytes a second of a chain.
        chains: chains that move at the same time.
        heap: bytes of memory of a worker.
    """

    name: str
    tasks: int
    received: float
    sent: float
    gets: float
    puts: float
    core: float
    reads: float
    writes: float
    heap: float
    piece: float = 0.0
    digest: float = 1.0
    chains: int = 1

    def places(self, cluster: Cluster) -> int:
        """Tasks that a node runs at a time: they ask Ray for cores and memory."""
        return min(int(cluster.machine.cores / CORES), max(1, int(cluster.heap / self.heap)))

    @property
    def alone(self) -> float:
        """Seconds of a task to which nothing else is in the way."""
        return self.reads + self.core + self.writes

    def demands(self, cluster: Cluster) -> Mapping[str, float]:
        """Seconds that each resource needs for all tasks."""
        machine, nodes, n = cluster.machine, cluster.nodes, self.tasks
        link = MEASURED.link + self.piece / self.digest
        return {
            CORE: n * self.core / (nodes * machine.cores),
            NETWORK: n * max(self.received, self.sent) / (nodes * machine.network),
            GETS: n * self.gets / cluster.gets,
            PUTS: n * self.puts / cluster.puts,
            PLACES: n * self.alone / (nodes * self.places(cluster)),
            DIGEST: n * link / self.chains if self.piece else 0.0,
        }

    def limit(self, cluster: Cluster) -> str:
        """The slowest resource."""
        demands = self.demands(cluster)
        return max(demands, key=lambda name: demands[name])

    def seconds(self, cluster: Cluster) -> float:
        """How long the phase takes: the slowest resource, and the first task, for which it waits."""
        return max(self.demands(cluster).values()) + self.alone


def phases(cut: Cut, digest_known: bool = True) -> list[Phase]:
    """The phases of one split; `digest_known` is that of the archive."""
    costs, splits = MEASURED, cut.data.splits
    dealt = cut.unit * costs.packed
    found = [
        Phase(
            "deal",
            cut.units,
            received=cut.unit,
            sent=dealt,
            gets=cut.unit_reads,
            puts=2,
            core=costs.task + cut.unit * (costs.deal + (0 if digest_known else costs.copy)),
            reads=_reads(cut.unit, cut.unit_reads, CONNECTIONS_DEAL),
            writes=_writes(dealt, 2),
            piece=0.0 if digest_known else cut.unit,
            digest=costs.md5,
            heap=costs.base + costs.deal_heap * cut.unit,
        )
    ]
    if cut.combines:
        found.append(_combine(cut))
    slices = cut.groups
    found.append(
        Phase(
            "merge",
            cut.ranges,
            received=cut.range_bytes,
            sent=cut.range_bytes,
            gets=slices,
            puts=5,
            core=costs.task + slices * costs.get + cut.range_bytes * (costs.merge + costs.copy),
            reads=_reads(cut.range_bytes, slices, CONNECTIONS_MERGE),
            writes=_writes(cut.range_bytes, 5),
            piece=cut.range_bytes,
            digest=costs.sha256,
            chains=cut.files * splits,
            heap=costs.base + costs.merge_heap * cut.range_bytes,
        )
    )
    return found


def _combine(cut: Cut) -> Phase:
    column = cut.packed / cut.combines
    return Phase(
        "combine",
        cut.combines,
        received=column,
        sent=column,
        gets=cut.group,
        puts=2,
        core=MEASURED.task + cut.group * MEASURED.get + column * MEASURED.merge,
        reads=_reads(column, cut.group, CONNECTIONS_MERGE),
        writes=_writes(column, 2),
        heap=MEASURED.base + MEASURED.merge_heap * column,
    )


def _reads(size: float, requests: int, connections: int) -> float:
    """Seconds of so many GETs over so many connections."""
    return (requests * LATENCY + size / CONNECTION) / min(connections, requests)


def _writes(size: float, requests: int) -> float:
    return requests * LATENCY + size / CONNECTION


@dataclass(frozen=True)
class Plan:
    """A data set, cut in one way, on a cluster."""

    cut: Cut
    cluster: Cluster
    digest_known: bool = True

    @property
    def phases(self) -> list[Phase]:
        """Those of one split."""
        return phases(self.cut, self.digest_known)

    @property
    def seconds(self) -> float:
        """Splits are dealt one after the other, and all are merged then."""
        return sum(self.times().values())

    def times(self) -> dict[str, float]:
        """Seconds of each phase, all splits."""
        splits = self.cut.data.splits
        return {phase.name: splits * phase.seconds(self.cluster) for phase in self.phases}

    def limits(self) -> dict[str, str]:
        """What limits each phase."""
        return {phase.name: phase.limit(self.cluster) for phase in self.phases}

    def without(self, *resources: str) -> float:
        """Seconds if these resources were no limit."""
        splits = self.cut.data.splits
        return splits * sum(
            max(value for name, value in phase.demands(self.cluster).items() if name not in resources)
            + phase.alone
            for phase in self.phases
        )

    @property
    def tasks(self) -> int:
        """Tasks that deal, combine or merge; a chain has as many small ones."""
        return self.cut.data.splits * sum(phase.tasks for phase in self.phases)

    @property
    def machine_dollars(self) -> float:
        """What the nodes cost, and one more for the driver."""
        return (self.cluster.nodes + 1) * self.cluster.machine.hour * self.seconds / 3600

    def problems(self) -> Iterator[str]:
        """What does not work."""
        yield from self.cut.impossible(self.cluster.heap)
        for phase in self.phases:
            if phase.heap > self.cluster.heap:
                needed, there = phase.heap / GIB, self.cluster.heap / GIB
                yield f"{phase.name}: a task needs {needed:,.0f} GiB of a node's {there:.0f}"
            waiting = self.cluster.ahead * phase.piece
            if (
                phase.limit(self.cluster) == DIGEST
                and min(waiting, phase.tasks * phase.piece) > self.cluster.store
            ):
                yield (
                    f"{phase.name}: up to {waiting / TIB:.1f} TiB wait for the digest, Ray's object store "
                    f"has {self.cluster.store / TIB:.1f}"
                )
