"""Scale: what the model of a large cluster (`bench.scale`) rests on, and the model beside a simulation.

The costs of single things are measured on this machine: digests, ranged GETs, tasks of Ray, and the tasks of
`pack --on ray` in one process, without Ray. The model assumes those in `bench/scale/facts.py`. If one of them
has become larger, the figures of docs/cluster-scale.md are too good.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.measures.cluster import CLASSES, IMAGES_PER_CLASS, VALIDATION
from bench.report import Figure, Result, Table
from bench.rigs import costs, engines
from bench.rigs.engines import ARCHIVES, PACKED, Store
from bench.rigs.process import run
from bench.scale.cases import ISSUE, SIZES, plan
from bench.scale.facts import MEASURED
from bench.scale.requests import requests
from bench.scale.simulation import Simulation
from bench.workloads import photographs
from bench.workloads.photographs import Plan
from bench.workloads.workload import Given, Workload, scratch
from rehearsal.servers.s3 import s3_server

WITHIN = 1.25
AGREEMENT = 0.05  # in phases that take more than MINUTE seconds: a short one is one wave of tasks
MINUTE = 60.0


@dataclass(frozen=True)
class Cost:
    """One thing: what it costs here, and what the model assumes; `rate`: more is better."""

    name: str
    unit: str
    here: float
    assumed: float
    rate: bool = False

    @property
    def ratio(self) -> float:
        """How much worse it is here than assumed."""
        return self.assumed / self.here if self.rate else self.here / self.assumed


def measure(given: Given) -> Result:
    """Measure the costs, and compare."""
    plan = Plan(CLASSES, IMAGES_PER_CLASS, VALIDATION)
    data = photographs.workload(given, "photographs-cluster", plan)
    with s3_server(scratch("scale-s3")) as s3:
        there = engines.store(s3, data)
        found = [*_digests(), *_requests(there), *_tasks(there, data)]
    return result(data, found)


def _digests() -> list[Cost]:
    return [
        Cost("SHA-256 of a chain", "GB/s", costs.digest_rate("sha256") / 1e9, MEASURED.sha256 / 1e9, True),
        Cost("MD5 of a chain", "GB/s", costs.digest_rate("md5") / 1e9, MEASURED.md5 / 1e9, True),
    ]


def _requests(there: Store) -> list[Cost]:
    get, _ = costs.get_costs(there)
    ray = costs.ray_costs(there)
    return [
        Cost("a ranged GET, beside its bytes", "processor ms", get * 1e3, MEASURED.get * 1e3),
        Cost("a task, of Ray's processes", "processor ms", ray.task * 1e3, MEASURED.task * 1e3),
        Cost(
            "a GB that tasks leave in Ray's object store",
            "processor s",
            ray.copied * 1e9,
            MEASURED.copy * 1e9,
        ),
        Cost("from a link of a chain to the next", "ms", ray.link * 1e3, MEASURED.link * 1e3),
    ]


def _tasks(there: Store, data: Workload) -> list[Cost]:
    """What the tasks of `pack --on ray` cost by themselves, at 480/95."""
    with there.bucket() as bucket:
        words = ["-m", "bench.rigs.without_ray", "--dataset", str(data.description)]
        places = ["--source", f"s3://{ARCHIVES}/{ARCHIVES}", "--packed", f"s3://{bucket}/{PACKED}"]
        log = scratch("scale") / "pack.log"
        ran = run([sys.executable, *words, *places], log, environment=there.server.environment())
        told = json.loads(ran.output)["tasks"]
        answer = there.client.get_object(Bucket=bucket, Key=f"{PACKED}/MANIFEST.json")
        files: dict[str, Any] = json.loads(answer["Body"].read())["files"]
    packed = sum(facts["bytes"] for name, facts in files.items() if name.endswith(".rec"))
    slices = told["deal"]["calls"] * told["merge"]["calls"]
    merging = told["merge"]["processor"] - slices * MEASURED.get
    return [
        Cost(
            "a GB of archives dealt", "processor s", told["deal"]["processor"] / data.archive_bytes * 1e9,
            MEASURED.deal * 1e9,
        ),
        Cost("a GB of records merged", "processor s", merging / packed * 1e9, MEASURED.merge * 1e9),
        Cost("packed bytes for a byte of archives", "", packed / data.archive_bytes, MEASURED.packed),
    ]  # fmt: skip


def result(data: Workload, found: Sequence[Cost]) -> Result:
    """Figures and tables."""
    issue = plan(ISSUE)
    worst = max(found, key=lambda cost: cost.ratio)
    gaps = list(_gaps())
    widest = max((gap for *_, gap, seconds in gaps if seconds > MINUTE), key=abs)
    figures = (
        Figure(
            "costs, the worst over what the model assumes", worst.ratio, "times", WITHIN, "most", worst.name
        ),
        Figure("model, seconds of a simulation beside it", abs(widest), "away from 0", AGREEMENT, "most"),
        Figure(f"{ISSUE.name}, hours as one archive", issue.seconds / 3600, "h", note=_limits()),
        Figure(f"{ISSUE.name}, requests to S3", requests(issue.cut, True).dollars, "$"),
    )
    table = Table(
        "Costs",
        ("what", "here", "assumed", "unit", "worse by"),
        tuple(
            (cost.name, f"{cost.here:.3g}", f"{cost.assumed:.3g}", cost.unit, f"{cost.ratio:.2f}")
            for cost in found
        ),
    )
    phases = Table(
        "Model and simulation",
        ("data set", "phase", "model, s", "simulated, s", "away"),
        tuple(
            (name, phase, f"{seconds:,.0f}", f"{seconds * (1 + gap):,.0f}", f"{gap:+.1%}")
            for name, phase, gap, seconds in gaps
        ),
    )
    return Result("scale", data.text, figures, tables=(table, phases))


def _limits() -> str:
    return "; ".join(f"{phase}: {what}" for phase, what in plan(ISSUE).limits().items())


def _gaps() -> Sequence[tuple[str, str, float, float]]:
    """Data set, phase, by how much the simulation takes longer, and the seconds of the model."""
    found = []
    for data in SIZES:
        whole = plan(data)
        for phase in whole.phases:
            seconds = phase.seconds(whole.cluster)
            simulated = Simulation(phase, whole.cluster).run().seconds
            found.append((data.name, phase.name, simulated / seconds - 1, seconds))
    return found
