"""The table of what the document assumes, with sources."""

from collections.abc import Sequence

from bench.scale.cases import ISSUE, plan
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
)
from bench.scale.model import Cluster

GUIDE = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"


def assumed() -> Sequence[tuple[str, str, str]]:
    """What, its value, and where it is from."""
    return (*_published(), *_measured())


def _published() -> Sequence[tuple[str, str, str]]:
    cluster = Cluster()
    return (
        (
            "machines",
            f"{NODES} {MACHINE.name}: {MACHINE.cores} vCPUs, {MACHINE.memory / GIB:.0f} GiB, "
            f"{MACHINE.network * 8 / 1e9:g} Gbit/s each way (base), ${MACHINE.hour:.4f} an hour; one more "
            "for the driver",
            "DescribeInstanceTypes as moto 5.2.5 records it; twice the price of m7i.xlarge in "
            "`prep/prices.toml`",
        ),
        (
            "tasks at a time on a machine",
            f"{plan(ISSUE).phases[0].places(cluster)}; they have {cluster.heap / GIB:.0f} GiB, Ray's object "
            f"store {cluster.store / NODES / GIB:.1f} GiB",
            "`CORES` in `prep/cluster/engine.py`; Ray's default of 30 %",
        ),
        (
            "S3, each prefix",
            f"{GETS_A_SECOND:,} GET and {PUTS_A_SECOND:,} PUT a second; {SPREAD_OVER} prefixes",
            f"<{GUIDE}/optimizing-performance.html>; `PREFIXES` in `prep/cluster/work.py`",
        ),
        (
            "a request to S3",
            f"{LATENCY * 1000:.0f} ms, then {CONNECTION / 1e6:.0f} MB/s a connection",
            f"the same page; <{GUIDE}/optimizing-performance-design-patterns.html>",
        ),
        (
            "an upload",
            "10,000 parts of 5 MiB to 5 GiB; an object of 48.8 TiB",
            f"<{GUIDE}/qfacts.html>",
        ),
        (
            "1,000 requests",
            f"GET ${GET_PRICE * 1000:.4f}; PUT, POST, LIST ${PUT_PRICE * 1000:.3f}; DELETE nothing",
            "<https://aws.amazon.com/s3/pricing/>, us-east-1",
        ),
    )


def _measured() -> Sequence[tuple[str, str, str]]:
    costs = MEASURED
    return (
        (
            "a core",
            f"{costs.deal * 1e9:.1f} s a GB dealt, {costs.merge * 1e9:.1f} s a GB merged, "
            f"{costs.get * 1e3:.1f} ms a GET of a slice, {costs.task * 1e3:.0f} ms of Ray's a task",
            "measured at 480/95 with photographs of 111 KB",
        ),
        ("packed", f"{costs.packed:.2f} bytes for a byte of the archive", "measured, the same"),
        (
            "a digest",
            f"SHA-256 {costs.sha256 / 1e9:.1f} GB/s, MD5 {costs.md5 / 1e9:.2f} GB/s, {costs.link * 1e3:.0f} "
            "ms from a piece to the next",
            "measured, on a processor with SHA instructions",
        ),
        (
            "a worker's memory",
            f"{costs.base / MIB:.0f} MiB, and {costs.deal_heap:g} times its unit or {costs.merge_heap:g} "
            "times its range",
            "measured",
        ),
    )
