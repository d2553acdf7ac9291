"""Where the design bends: the size, or the number of nodes, from which on something does not fit or waits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bench.scale.cases import ISSUE, ISSUE_BYTES, ISSUE_IMAGES, TB, plan, sized
from bench.scale.design import PRESENT, Cut
from bench.scale.facts import (
    GETS_A_SECOND,
    GIB,
    LARGEST_OBJECT,
    LARGEST_PART,
    LIST_LINE,
    MOST_PARTS,
    NODES,
    SPREAD_OVER,
    STREAM_PART,
)
from bench.scale.model import DIGEST, GETS, NETWORK, Cluster, Plan
from prep.cluster.engine import CORES

LEAST, MOST = 1e9, 1e18  # bytes of archives
UNCAPPED = replace(PRESENT, name="without a limit of buckets", most_buckets=10**9)


@dataclass(frozen=True)
class Bend:
    """What bends, from where on (bytes of the archive; 0 for any), why, and what then."""

    what: str
    size: float
    at: str
    why: str
    then: str


def bends() -> list[Bend]:
    """Those that the model knows, the first first."""
    found = [*_of_digests(), *_of_memory(), *_of_objects(), *_of_requests()]
    return sorted(found, key=lambda bend: bend.size)


def first(holds: Callable[[float], bool], least: float = LEAST, most: float = MOST) -> float:
    """The smallest size from which on `holds` is true, within a thousandth.

    `holds` must not become false again, and must be true in the end.
    """
    assert holds(most)  # noqa: S101 - a mistake of this program
    while most / least > 1.001:
        middle = (least * most) ** 0.5
        least, most = (least, middle) if holds(middle) else (middle, most)
    return most


def _of_digests() -> Iterator[Bend]:
    yield Bend(
        "digest of a file",
        0,
        f"{digest_nodes()} machines",
        "SHA-256 takes the bytes of a file in order: from here on one chain is slower than the other work",
        "several files (`--part-mib`): they take turns, and each has its chain",
    )
    yield Bend(
        "digest of an archive, if it is not known",
        0,
        f"{md5_nodes()} machines",
        "MD5 takes the bytes of an archive in order, and splits are dealt one after the other",
        "send the archives with `backup`, which notes their digests; or deal splits side by side",
    )


def _of_memory() -> Iterator[Bend]:
    heap = Cluster().heap / GIB
    places = int(Cluster().machine.cores / CORES)
    yield _bend(
        "memory of workers that deal",
        first(_overfull(0)),
        f"a task holds a unit, a thousandth of the archive, up to 1 GiB. A machine has cores for {places} "
        f"tasks, but {heap:.0f} GiB for workers: fewer run at a time",
        "smaller units, or machines with more memory for each core",
    )
    yield _bend(
        "memory of workers that merge",
        first(_overfull(1)),
        "there are 4,096 buckets at most, so a bucket grows with the data set, and a task holds one",
        "several archives; or more buckets",
    )
    yield _bend(
        "memory of the driver",
        first(lambda size: Cut(sized(size), PRESENT).driver_bytes > Cluster().heap),
        "three tables of units x buckets numbers of 8 bytes",
        "a larger machine for the driver; several jobs",
    )


def _overfull(phase: int) -> Callable[[float], bool]:
    def holds(size: float) -> bool:
        found = plan(sized(size))
        one = found.phases[phase]
        return one.places(found.cluster) < int(found.cluster.machine.cores / CORES)

    return holds


def _of_objects() -> Iterator[Bend]:
    yield _bend(
        "part of an upload",
        first(lambda size: Cut(sized(size), PRESENT).range_bytes > LARGEST_PART),
        "a range is a part, and a bucket is the smallest range; S3 takes parts of 5 GiB",
        "several archives, or more buckets",
    )
    yield _bend(
        "object",
        LARGEST_OBJECT,
        "10,000 parts of 5 GiB are 48.8 TiB, which is also S3's largest object",
        "several archives; `--part-mib` for the packed files",
    )
    yield _bend(
        "list of a file",
        MOST_PARTS * STREAM_PART / LIST_LINE * ISSUE_BYTES / ISSUE_IMAGES,
        f"boto3 sends a stream in 10,000 parts of 8 MiB; the `.lst` is one stream, of {LIST_LINE} bytes an "
        "image",
        "`--part-mib`; or larger parts for that upload",
    )


def _of_requests() -> Iterator[Bend]:
    slices = plan(ISSUE).cut.slices
    one = slices / GETS_A_SECOND / 3600
    yield Bend(
        "S3's request rate",
        1,
        "any size",
        f"a prefix has {GETS_A_SECOND:,} GETs a second, but S3 has to notice first that there are "
        f"{SPREAD_OVER}. {slices / 1e6:,.0f} million slices take {one:.1f} h with one and "
        f"{one / SPREAD_OVER:.1f} h with all",
        "nothing: a request that S3 refuses is repeated, and meanwhile the rate grows",
    )
    size = first(lambda size: _dear(plan(sized(size), UNCAPPED)), least=TB)
    cut = Cut(sized(size), UNCAPPED)
    yield _bend(
        "requests of the shuffle, if ranges stayed at 128 MiB",
        size,
        f"{cut.units:,} units x {cut.ranges:,} ranges: slices of {cut.slice_bytes / 1e3:.0f} KB take four "
        "times as long as their bytes, and their number grows with the square",
        "larger units and ranges; or two rounds",
    )
    yield _bend(
        "parts of an upload, if ranges stayed at 128 MiB",
        first(lambda size: Cut(sized(size), UNCAPPED).ranges > MOST_PARTS),
        "S3 takes 10,000 parts",
        "`--part-mib`, or larger ranges",
    )


def _dear(found: Plan) -> bool:
    """Whether the GETs of merging take four times as long as its bytes."""
    demands = found.phases[-1].demands(found.cluster)
    return demands[GETS] > 4 * demands[NETWORK]


def digest_nodes() -> int:
    """The number of nodes from which on merging one file waits for its digest."""
    return _from(lambda nodes: plan(sized(TB), nodes=nodes).limits()["merge"] == DIGEST)


def md5_nodes() -> int:
    """The number of nodes from which on dealing waits for the digest of the archive."""
    return _from(lambda nodes: plan(sized(TB), nodes=nodes, known=False).limits()["deal"] == DIGEST)


def _from(holds: Callable[[int], bool]) -> int:
    return next(nodes for nodes in range(1, 10 * NODES) if holds(nodes))


def _bend(what: str, size: float, why: str, then: str) -> Bend:
    told = f"{size / 1e12:,.1f} TB" if size >= 1e12 else f"{size / 1e9:,.0f} GB"
    images = size * ISSUE_IMAGES / ISSUE_BYTES / 1e6
    return Bend(what, size, f"{told}, {images:,.0f} million images", why, then)
