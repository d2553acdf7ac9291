"""docs/cluster-scale.md, from the model and the simulation: `python -m bench.scale.document`."""

from collections.abc import Iterator, Sequence

from bench.scale.bends import bends, money
from bench.scale.cases import ANSWERS, IN_SPLITS, ISSUE, SIZES, plan
from bench.scale.design import Cut
from bench.scale.facts import (
    CONNECTION,
    GET_PRICE,
    GETS_A_SECOND,
    GIB,
    LATENCY,
    MACHINE,
    MEASURED,
    MIB,
    NODES,
    PUT_PRICE,
    PUTS_A_SECOND,
    SPREAD_OVER,
    TIB,
)
from bench.scale.model import CORE, DIGEST, GETS, NETWORK, PLACES, PUTS, Cluster, Plan
from bench.scale.requests import requests
from bench.scale.simulation import Simulation, Trouble

Rows = Sequence[tuple[str, ...]]
RESOURCES = (CORE, NETWORK, GETS, PUTS, PLACES, DIGEST)
SEED = 1
VARIED = Trouble(spread=0.3)
TROUBLED = Trouble(spread=0.3, slow=2, lost=0.5)


def document() -> str:
    """The whole document, as Markdown."""
    parts = [
        "# How far a cluster goes",
        "`python -m bench.scale.document > docs/cluster-scale.md` writes this document; a test compares it. It "
        "says what `pack --on ray` would need for data sets up to "
        f"{ISSUE.images / 1e6:.0f} million images and {ISSUE.bytes / 1e12:.0f} TB, on {NODES} machines, where the "
        "design bends, and what then. **All of this is calculated and simulated: nothing of it has run on AWS.** "
        "The costs of single things are measured (`python -m bench scale`, `python -m bench cluster`, on the "
        "machine that [bench/RESULTS.md](../bench/RESULTS.md) names); limits, rates and prices are published.",
        "## What is assumed",
        _table("what, value, source", _assumed()),
        "## By size, as the code is",
        "One archive and one `.rec` file each; the digest of the archive is known, as `backup` notes it. A task of "
        "dealing reads a unit; a task of merging reads its slice of every unit. Seconds are those of the slowest "
        "resource, and of one task.",
        _table(
            "data set, units, ranges, slices, KB a slice, GB through the shuffle, requests $, machines $, deal s, "
            "merge s, limited by, merge without digest s",
            [_size(plan(data)) for data in SIZES],
        ),
        "\n".join(f"- {line}" for line in _problems(plan(data) for data in SIZES)),
        f"## {ISSUE.name}, {ISSUE.bytes / 1e12:.0f} TB",
        _issue(),
        "## Simulated",
        _simulated(),
        "## Where it bends",
        "With archives of one split, on such machines, from the first to the last. Sizes are those of the archive.",
        _table("what, from, why, what then", [(b.what, b.at, b.why, b.then) for b in bends()]),
        "## What then",
        _answers(),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: str, rows: Rows) -> str:
    lines = [f"| {' | '.join(heads.split(', '))} |", "|" + "---|" * (heads.count(", ") + 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _assumed() -> Rows:
    user_guide = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"
    cluster, costs = Cluster(), MEASURED
    return (
        (
            "machines",
            f"{NODES} {MACHINE.name}: {MACHINE.cores} vCPUs, {MACHINE.memory / GIB:.0f} GiB, "
            f"{MACHINE.network * 8 / 1e9:g} Gbit/s each way (base), ${MACHINE.hour:.4f} an hour; and one more for the "
            "driver",
            "DescribeInstanceTypes as moto 5.2.5 records it; twice the price of m7i.xlarge in `prep/prices.toml`",
        ),
        (
            "tasks at a time on a machine",
            f"{plan(ISSUE).phases[0].places(cluster)}; {cluster.heap / GIB:.0f} GiB for them, "
            f"{cluster.store / NODES / GIB:.1f} GiB for Ray's object store",
            "`CORES` in `prep/cluster/engine.py`; Ray's default of 30 %",
        ),
        (
            "S3, for each prefix",
            f"{GETS_A_SECOND:,} GET and {PUTS_A_SECOND:,} PUT a second; {SPREAD_OVER} prefixes",
            f"<{user_guide}/optimizing-performance.html>; `PREFIXES` in `prep/cluster/work.py`",
        ),
        (
            "a request",
            f"{LATENCY * 1000:.0f} ms, then {CONNECTION / 1e6:.0f} MB/s a connection",
            f"the same page, and <{user_guide}/optimizing-performance-design-patterns.html>",
        ),
        (
            "an upload",
            "10,000 parts of 5 MiB to 5 GiB, an object of 48.8 TiB",
            f"<{user_guide}/qfacts.html>",
        ),
        (
            "1,000 requests",
            f"GET ${GET_PRICE * 1000:.4f}; PUT, POST, LIST ${PUT_PRICE * 1000:.3f}; DELETE nothing",
            "<https://aws.amazon.com/s3/pricing/>, us-east-1",
        ),
        (
            "a core",
            f"{costs.deal * 1e9:.1f} s a GB dealt, {costs.merge * 1e9:.1f} s a GB merged, {costs.get * 1e3:.1f} ms a GET "
            f"of a slice, {costs.task * 1e3:.0f} ms a task for Ray; {costs.packed:.2f} bytes packed for one",
            "measured at 480/95 with photographs of 111 KB",
        ),
        (
            "a digest",
            f"SHA-256 {costs.sha256 / 1e9:.1f} GB/s, MD5 {costs.md5 / 1e9:.2f} GB/s, {costs.link * 1e3:.0f} ms between "
            "two pieces",
            "measured, on a processor with SHA instructions",
        ),
        (
            "a worker's memory",
            f"{costs.base / MIB:.0f} MiB, {costs.deal_heap:g} times its unit, {costs.merge_heap:g} times its range",
            "measured",
        ),
    )


def _hours(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"


def _size(found: Plan) -> tuple[str, ...]:
    cut = found.cut
    spent, machines = money(found)
    times = found.times()
    return (
        f"{cut.data.name}, {cut.data.images / 1e6:,.1f} M, {cut.data.bytes / 1e12:,.1f} TB",
        f"{cut.units:,} of {cut.unit / MIB:,.0f} MiB",
        f"{cut.ranges:,} of {cut.range_bytes / MIB:,.0f} MiB",
        f"{cut.slices / 1e6:,.1f} M",
        f"{cut.slice_bytes / 1000:,.0f}",
        f"{cut.packed / 1e9:,.0f}",
        f"{spent:,.2f}",
        f"{machines:,.0f}",
        f"{times['deal']:,.0f}",
        f"{times['merge']:,.0f}",
        "; ".join(f"{phase}: {what}" for phase, what in found.limits().items()),
        f"{_without_digest(found):,.0f}",
    )


def _without_digest(found: Plan) -> float:
    phase = found.phases[-1]
    demands = phase.demands(found.cluster)
    return max(value for name, value in demands.items() if name != DIGEST) + phase.alone


def _problems(plans: Iterator[Plan]) -> Iterator[str]:
    for found in plans:
        if problems := list(found.problems()):
            yield f"{found.cut.data.name} does not work so: {'; '.join(problems)}."


def _issue() -> str:
    found = plan(ISSUE)
    made = requests(found.cut, digest_known=True)
    unknown = plan(ISSUE, known=False)
    cut: Cut = found.cut
    kinds = (
        ("GET", "archives", made.archive_gets),
        ("GET", "slices of the shuffle", made.slice_gets),
        ("GET, HEAD", "pieces of index and list, journal", made.other_gets),
        ("PUT", "objects of the shuffle", made.entry_puts),
        ("PUT", "pieces of index, list and inventory", made.piece_puts),
        ("PUT", "journal, packed files", made.journal_puts),
        ("UploadPart", "parts of the `.rec`", made.parts),
        ("POST, LIST", "uploads, journal", made.posts + made.lists),
    )
    prices = [GET_PRICE if kind.startswith("GET") else PUT_PRICE for kind, _, _ in kinds]
    rows = [
        (kind, what, f"{count:,}", f"{count * price:,.2f}")
        for (kind, what, count), price in zip(kinds, prices, strict=True)
    ]
    demands = [
        (
            phase.name,
            f"{phase.tasks:,}",
            *(f"{phase.demands(found.cluster)[name]:,.0f}" for name in RESOURCES),
        )
        for phase in found.phases
    ]
    return "\n\n".join(
        [
            f"As one archive, if S3 and the memory allowed it: {found.tasks:,} tasks and as many links of chains, "
            f"{made.all / 1e6:,.0f} million requests for ${made.dollars:,.0f}, "
            f"{cut.packed / 1e12:.1f} TB written and read by the shuffle, {_hours(found.seconds)} on machines for "
            f"${found.machine_dollars:,.0f}. If the digest of the archive is not known, MD5 makes that "
            f"{_hours(unknown.seconds)}.",
            _table("request, for, number, $", rows),
            "Seconds that each resource needs for all tasks of a phase. A task keeps its place while it waits for S3, "
            f"{LATENCY * 1000:.0f} ms a request, over 4 connections when it deals and 16 when it merges:",
            _table("phase, tasks, " + ", ".join(RESOURCES), demands),
        ]
    )


def _simulated() -> str:
    rows = []
    for data in SIZES:
        found = plan(data)
        for phase in found.phases:
            formula = phase.seconds(found.cluster)
            runs = [
                Simulation(phase, found.cluster, trouble, SEED).run() for trouble in (None, VARIED, TROUBLED)
            ]
            rows.append(
                (
                    data.name,
                    phase.name,
                    f"{formula:,.0f}",
                    *(f"{run.seconds:,.0f}" for run in runs),
                    f"{runs[0].seconds / formula - 1:+.0%}",
                    f"{runs[-1].repeated}",
                )
            )
    return "\n\n".join(
        [
            "Event by event, with the driver's rule for how many tasks are under way, queues at cores, networks and S3's "
            "rates, and chains that take pieces in order. Seconds. In the last but one case sizes vary (the standard "
            f"deviation of their logarithm is {VARIED.spread:g}); in the last two of the machines also have half the "
            f"speed, and another is lost in the middle: that is noticed after {TROUBLED.notice:.0f} s, its tasks run "
            f"again, and after {TROUBLED.replace:.0f} s there is a new one.",
            _table(
                "data set, phase, formula, all alike, sizes vary, and trouble, simulated to formula, tasks repeated",
                rows,
            ),
        ]
    )


def _answers() -> str:
    rows = []
    for data, design in ANSWERS:
        found = plan(data, design)
        cut = found.cut
        spent, machines = money(found)
        archives = "1 archive" if data.splits == 1 else f"{data.splits} archives"
        rows.append(
            (
                f"{archives}: {design.name}",
                f"{cut.slices * data.splits / 1e6:,.0f} M",
                f"{cut.slice_bytes / 1000:,.0f}",
                f"{spent:,.0f}",
                f"{machines:,.0f}",
                _hours(found.seconds),
                f"{cut.driver_bytes / GIB:,.1f}",
                "; ".join(found.problems()) or "none",
            )
        )
    pieces = IN_SPLITS.bytes / IN_SPLITS.splits / TIB
    return "\n\n".join(
        [
            f"The same {ISSUE.bytes / 1e12:.0f} TB in other ways. A description has an archive for each split, and each "
            f"split is shuffled for itself; {IN_SPLITS.splits} archives have {pieces:.1f} TiB each. Only the rows “as it "
            "is” are what the code does.",
            _table(
                "design, slices, KB a slice, requests $, machines $, time, driver GiB, what does not work",
                rows,
            ),
            "- **Files side by side**: today the ranges are merged file by file, so that one chain moves at a time. In "
            "turns, each file has its own.",
            "- **More buckets** give smaller ranges, but units x ranges slices: their number grows with the square of "
            "the size, and the driver's tables grow with it.",
            "- **Two rounds**: a task combines its column of some hundred objects into one, ordered by bucket. Each "
            "round then has about the square root of the ranges as slices for each unit. All records pass through S3 "
            "once more.",
            "- The number of buckets does not change the order of records: it is that of their keys. Only where "
            "`--part-mib` ends a file depends on it.",
        ]
    )


if __name__ == "__main__":
    print(document(), end="")
