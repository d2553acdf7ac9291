"""docs/cluster-scale.md, from the model and the simulation: `python -m bench.scale.document`."""

from collections.abc import Iterable, Sequence

from bench.scale.assumed import assumed
from bench.scale.bends import bends
from bench.scale.cases import ANSWERS, IN_SPLITS, ISSUE, SIZES, plan
from bench.scale.facts import GET_PRICE, GIB, LATENCY, MIB, NODES, PUT_PRICE, TIB
from bench.scale.model import CORE, DIGEST, GETS, NETWORK, PLACES, PUTS, Plan
from bench.scale.requests import requests
from bench.scale.simulation import Simulation, Trouble

Rows = Iterable[Sequence[str]]
RESOURCES = (CORE, NETWORK, GETS, PUTS, PLACES, DIGEST)
SEED = 1
VARIED = Trouble(spread=0.3)
TROUBLED = Trouble(spread=0.3, slow=2, lost=0.5)


def document() -> str:
    """The whole document, as Markdown."""
    parts = [
        "# How far a cluster goes",
        "`python -m bench.scale.document > docs/cluster-scale.md` writes this document; a test compares it. "
        f"It says what `pack --on ray` would need on {NODES} machines, for data sets up to "
        f"{ISSUE.name} and {ISSUE.bytes / 1e12:.0f} TB, where the design bends, and what then. **All of this "
        "is calculated and simulated; nothing of it has run on AWS.** What single things cost is measured "
        "(`python -m bench scale`, on the machine that [bench/RESULTS.md](../bench/RESULTS.md) names). "
        "Limits, rates and prices are published.",
        "## What is assumed",
        _table("what, value, source", assumed()),
        "## By size, with the code as it is",
        "One archive and one `.rec` file each; the digest of the archive is known, as `backup` notes it. A "
        "task of dealing reads a unit, a task of merging its slice of every unit. The seconds of a phase are "
        "those of its slowest resource, and of one task.",
        _table(
            "data set, million images, TB, units, ranges, million slices, KB a slice, requests $, machines "
            "$, deal s, merge s, merge s without digest, limited by",
            (_size(plan(data)) for data in SIZES),
        ),
        "\n".join(_problems(plan(data) for data in SIZES)),
        f"## {ISSUE.name}, {ISSUE.bytes / 1e12:.0f} TB",
        *_issue(),
        "## Simulated",
        "Event by event: the driver's rule for how many tasks are under way, queues at cores, networks and "
        "S3's rates, chains that take pieces in order. Seconds. “Sizes vary”: the standard deviation of "
        f"their logarithm is {VARIED.spread:g}. “Trouble”: besides, {TROUBLED.slow} machines have half the "
        f"speed, and one is lost in the middle; after {TROUBLED.notice:.0f} s that is noticed and its tasks "
        f"run again, after {TROUBLED.replace:.0f} s there is a new one.",
        _table(
            "data set, phase, formula, all alike, to the formula, sizes vary, trouble, tasks repeated",
            _simulated(),
        ),
        "## Where it bends",
        "One archive and one file, on such machines. Sizes are those of the archive.",
        _table("what, from, why, what then", ((b.what, b.at, b.why, b.then) for b in bends())),
        "## What then",
        *_answers(),
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: str, rows: Rows) -> str:
    lines = [f"| {' | '.join(heads.split(', '))} |", "|" + "---|" * (heads.count(", ") + 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"


def _size(found: Plan) -> Sequence[str]:
    cut, times = found.cut, found.times()
    return (
        cut.data.name,
        f"{cut.data.images / 1e6:,.1f}",
        f"{cut.data.bytes / 1e12:,.2f}",
        f"{cut.units:,} of {cut.unit / MIB:,.0f} MiB",
        f"{cut.ranges:,} of {cut.range_bytes / MIB:,.0f} MiB",
        f"{cut.slices / 1e6:,.1f}",
        f"{cut.slice_bytes / 1000:,.0f}",
        f"{requests(cut, found.digest_known).dollars:,.2f}",
        f"{found.machine_dollars:,.0f}",
        f"{times['deal']:,.0f}",
        f"{times['merge']:,.0f}",
        f"{without_digest(found):,.0f}",
        "; ".join(f"{phase}: {what}" for phase, what in found.limits().items()),
    )


def without_digest(found: Plan) -> float:
    """Seconds of merging, if the digest were no limit."""
    phase = found.phases[-1]
    demands = phase.demands(found.cluster)
    return max(value for name, value in demands.items() if name != DIGEST) + phase.alone


def _problems(plans: Iterable[Plan]) -> Iterable[str]:
    for found in plans:
        if problems := list(found.problems()):
            yield f"- {found.cut.data.name}: this does not work: {'; '.join(problems)}."


def _issue() -> Iterable[str]:
    found = plan(ISSUE)
    made = requests(found.cut, digest_known=True)
    unknown = plan(ISSUE, known=False)
    yield (
        f"If S3 and the memory allowed it as one archive: {found.tasks:,} tasks, and a link of a chain for "
        f"each range; {made.all / 1e6:,.0f} million requests for ${made.dollars:,.0f}; "
        f"{found.cut.packed / 1e12:.1f} TB that the shuffle writes and reads; {_time(found.seconds)} on "
        f"machines for ${found.machine_dollars:,.0f}. If the digest of the archive is not known, MD5 makes "
        f"that {_time(unknown.seconds)}."
    )
    rows = (
        ("GET", "archives", made.archive_gets, GET_PRICE),
        ("GET", "slices of the shuffle", made.slice_gets, GET_PRICE),
        ("GET, HEAD", "pieces of index and list, journal", made.other_gets, GET_PRICE),
        ("PUT", "objects of the shuffle", made.entry_puts, PUT_PRICE),
        ("PUT", "pieces of index, list and inventory", made.piece_puts, PUT_PRICE),
        ("PUT", "journal and small files", made.journal_puts, PUT_PRICE),
        ("UploadPart", "parts of the `.rec`", made.parts, PUT_PRICE),
        ("POST, LIST", "uploads, journal", made.posts + made.lists, PUT_PRICE),
    )
    yield _table(
        "request, for, number, $",
        ((kind, what, f"{count:,}", f"{count * price:,.2f}") for kind, what, count, price in rows),
    )
    yield (
        "Seconds that each resource needs for all tasks of a phase. A task keeps its place while it waits "
        f"for S3, {LATENCY * 1000:.0f} ms a request, over 4 connections when it deals and 16 when it merges:"
    )
    yield _table(
        "phase, tasks, " + ", ".join(RESOURCES),
        (
            (phase.name, f"{phase.tasks:,}", *(f"{demands[name]:,.0f}" for name in RESOURCES))
            for phase in found.phases
            for demands in [phase.demands(found.cluster)]
        ),
    )


def _simulated() -> Rows:
    for data in SIZES:
        found = plan(data)
        for phase in found.phases:
            formula = phase.seconds(found.cluster)
            alike, varied, troubled = (
                Simulation(phase, found.cluster, trouble, SEED).run() for trouble in (None, VARIED, TROUBLED)
            )
            yield (
                data.name,
                phase.name,
                f"{formula:,.0f}",
                f"{alike.seconds:,.0f}",
                f"{alike.seconds / formula - 1:+.1%}",
                f"{varied.seconds:,.0f}",
                f"{troubled.seconds:,.0f}",
                f"{troubled.repeated}",
            )


def _answers() -> Iterable[str]:
    pieces = IN_SPLITS.bytes / IN_SPLITS.splits / TIB
    yield (
        f"The same {ISSUE.bytes / 1e12:.0f} TB in other ways. A description has an archive for each split, "
        f"and each split is shuffled for itself; {IN_SPLITS.splits} archives have {pieces:.1f} TiB each. The "
        "code does only what the rows “as it is” say."
    )
    yield _table(
        "archives, design, million slices, KB a slice, requests $, machines $, time, driver GiB, does not "
        "work",
        (_answer(plan(data, design)) for data, design in ANSWERS),
    )
    yield "\n".join(
        [
            "- **More buckets.** The order of the records is that of their keys and does not depend on the "
            "number of buckets; where `--part-mib` ends a file does. But there are units x ranges slices: "
            "their number grows with the square of the size, and so do the driver's tables.",
            "- **Two rounds.** A task combines a column of some hundred objects of units into one object, "
            "ordered by bucket. In each round a unit then has about as many slices as the square root of the "
            "ranges. All records pass through S3 once more.",
        ]
    )


def _answer(found: Plan) -> Sequence[str]:
    cut, splits = found.cut, found.cut.data.splits
    return (
        str(splits),
        cut.design.name,
        f"{cut.slices * splits / 1e6:,.0f}",
        f"{cut.slice_bytes / 1000:,.0f}",
        f"{requests(cut, found.digest_known).dollars:,.0f}",
        f"{found.machine_dollars:,.0f}",
        _time(found.seconds),
        f"{cut.driver_bytes / GIB:,.1f}",
        "; ".join(found.problems()),
    )


if __name__ == "__main__":
    print(document(), end="")
