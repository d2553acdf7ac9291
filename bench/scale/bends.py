"""Where the design bends: the size, or the number of nodes, from which on something does not fit or waits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bench.scale.cases import IMAGENET, ISSUE, ISSUE_BYTES, ISSUE_IMAGES, TB, plan, sized
from bench.scale.design import PRESENT, Cut
from bench.scale.facts import (
    GETS_A_SECOND,
    GIB,
    LARGEST_OBJECT,
    LARGEST_PART,
    LIST_LINE,
    MOST_PARTS,
    NODES,
    STREAM_PART,
)
from bench.scale.model import DIGEST, GETS, NETWORK, Cluster, Plan
from bench.scale.requests import requests

LEAST, MOST = 1e9, 1e18  # bytes of archives
UNCAPPED = replace(PRESENT, most_buckets=10**9, name="without a limit of buckets")


@dataclass(frozen=True)
class Bend:
    """What bends, from where on, why, and what then."""

    what: str
    at: str
    why: str
    then: str


def first(holds: Callable[[float], bool], least: float = LEAST, most: float = MOST) -> float | None:
    """The smallest size from which on `holds` is true, within a thousandth; None if it never is.

    `holds` must not become false again.
    """
    if not holds(most):
        return None
    while most / least > 1.001:
        middle = (least * most) ** 0.5
        least, most = (least, middle) if holds(middle) else (middle, most)
    return most


def _overfull(phase: int) -> Callable[[float], bool]:
    def holds(size: float) -> bool:
        found = plan(sized(size))
        one = found.phases[phase]
        return one.heap * one.places(found.cluster) > found.cluster.heap

    return holds


def bends() -> Iterator[Bend]:
    """Those that the model knows, the first first."""
    deals, merges = first(_overfull(0)), first(_overfull(1))
    heap = Cluster().heap / GIB
    places = plan(IMAGENET).phases[0].places(Cluster())
    yield Bend(
        "digest of a file",
        f"{_nodes(digest_nodes())} nodes",
        "SHA-256 takes the bytes of a file in order: one chain is slower than the rest of the work there",
        "more nodes make merging no faster; several files side by side (`--part-mib`), each with its chain",
    )
    yield Bend(
        "digest of an archive whose digest is not known",
        f"{_nodes(md5_nodes())} nodes",
        "MD5 takes the bytes of an archive in order, and splits are dealt one after the other",
        "send the archives with `backup`, which notes their digests; or deal splits side by side",
    )
    yield Bend(
        "memory of workers that deal",
        _size(deals),
        f"{places} tasks of a node hold a unit each, a thousandth of the archive, up to 1 GiB; workers have "
        f"{heap:.0f} GiB there",
        "units of 512 MiB at most; or tasks that tell Ray what they need, so that fewer run at a time",
    )
    yield Bend(
        "memory of workers that merge",
        _size(merges),
        "4,096 buckets at most: a bucket grows with the data set, and a task holds one",
        "several archives; or more buckets: the order of records does not depend on their number",
    )
    yield Bend(
        "memory of the driver",
        _size(first(lambda size: Cut(sized(size), PRESENT).driver_bytes > Cluster().heap)),
        "three tables of units x buckets numbers of 8 bytes",
        "a larger machine for the driver; several jobs",
    )
    yield Bend(
        "part of an upload",
        _size(first(lambda size: Cut(sized(size), PRESENT).range_bytes > LARGEST_PART)),
        "a range is a part, and a bucket is the smallest range; S3 takes parts of 5 GiB",
        "several archives, or more buckets",
    )
    yield Bend(
        "object",
        _size(LARGEST_OBJECT),
        "10,000 parts of 5 GiB are 48.8 TiB, which is also S3's largest object",
        "several archives; `--part-mib` for the packed files",
    )
    yield from _of_requests()
    images = MOST_PARTS * STREAM_PART / LIST_LINE
    yield Bend(
        "list of a file",
        f"{images / 1e9:.1f} billion images",
        "boto3 sends a stream in 10,000 parts of 8 MiB, and the `.lst` is one stream",
        "`--part-mib`; or larger parts for that upload",
    )


def _of_requests() -> Iterator[Bend]:
    issue = plan(ISSUE)
    one = issue.cut.slices / GETS_A_SECOND
    yield Bend(
        "S3's request rate",
        "any size",
        f"S3 gives 5,500 GETs a second until it has split the prefix; 16 prefixes have 88,000. "
        f"The issue's case has {issue.cut.slices / 1e6:,.0f} million slices: "
        f"{one / 3600:.1f} h at the first rate, {one / 16 / 3600:.1f} h at the other",
        "nothing: requests that S3 refuses are repeated, and the rate grows while they are",
    )
    size = first(lambda size: _dear(plan(sized(size), UNCAPPED)), least=TB)
    cut = Cut(sized(size or MOST), UNCAPPED)
    yield Bend(
        "requests of the shuffle, with as many buckets as ranges want",
        _size(size),
        f"units x ranges: {cut.units:,} x {cut.ranges:,} slices of {cut.slice_bytes / 1e3:.0f} KB take four "
        "times as long as the bytes, and their number grows with the square",
        "larger units and ranges; or two rounds, of which each has the square root of the ranges",
    )
    size = first(lambda size: Cut(sized(size), UNCAPPED).ranges > MOST_PARTS)
    yield Bend(
        "parts of an upload, with as many buckets as ranges want",
        _size(size),
        "10,000 parts of 128 MiB or a bucket more",
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


def _nodes(count: int) -> str:
    return f"{count}"


def _size(size: float | None) -> str:
    if size is None:
        return "never"
    told = f"{size / 1e12:.1f} TB" if size >= 1e12 else f"{size / 1e9:.0f} GB"
    return f"{told}, {size * ISSUE_IMAGES / ISSUE_BYTES / 1e6:,.0f} million images"


def money(found: Plan) -> tuple[float, float]:
    """Dollars of a plan: requests, and machines."""
    return requests(found.cut, found.digest_known).dollars, found.machine_dollars
