"""Cluster-kill: SIGKILL of workers, nodes and the driver of `pack --on ray`, and the same command again.

In each case a worker, in every third a whole node, is killed at a seeded moment; then the driver, at a later
one; then the command runs to its end. What is there must be byte for byte what one machine packs, no unit
that was dealt may have been dealt again, and nothing else may be left. Moments lie in both phases.
"""

import contextlib
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from bench.report import BenchError, Figure, Result, Table
from bench.rigs import process
from bench.rigs.cluster_job import DONE, PROGRAM, Job, Place, digest
from bench.rigs.ray_nodes import ray_nodes
from bench.workloads.workload import Given, Workload, scratch, workload
from rehearsal.sample.generate import make_sample
from rehearsal.servers.s3 import REGION, s3_server

NAME = "cluster-kill"
BUCKET = "cluster-kill"
NODES = 2
# The phases in which a worker or a node, and then the driver, is killed.
TURNS = (("deal", "deal"), ("merge", "merge"), ("deal", "merge"))
PATIENCE = 10.0  # seconds for a worker to be there; Ray starts one in two


@dataclass(frozen=True)
class Moment:
    """In which phase, and after which share of its units or ranges."""

    phase: str
    share: float


@dataclass(frozen=True)
class Case:
    """What is killed when: a node or else a worker, then the driver. `seed` chooses among them."""

    seed: int
    node: bool
    first: Moment
    driver: Moment


@dataclass
class Tally:
    """What came of all cases."""

    same: int = 0
    hit: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)
    dealt_again: int = 0
    merged_again: int = 0
    dealt: int = 0
    merged: int = 0
    left: list[str] = field(default_factory=list)
    orphans: int = 0
    missed: int = 0


def plan(kills: int, seed: int) -> list[Case]:
    """The cases; the same seed gives the same."""
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    cases = []
    for number in range(kills):
        shares = sorted(rng.uniform(0.05, 0.95) for _ in range(2))
        first, driver = TURNS[(number + number // 3) % len(TURNS)]  # each with a worker and with a node
        if first != driver:
            rng.shuffle(shares)
        moments = Moment(first, shares[0]), Moment(driver, shares[1])
        cases.append(Case(rng.randrange(1 << 30), number % 3 == 2, *moments))
    return cases


def measure(given: Given, kills: int, seed: int) -> Result:
    """Do all cases."""
    data = workload(given, NAME, _sample)
    begun = time.monotonic()
    tally = Tally()
    with _place(data) as place:
        expected = _on_one_machine(data, place)
        whole, totals = _undisturbed(place, expected)
        jobs = [whole]
        for number, case in enumerate(plan(kills, seed)):
            job = Job(place, f"job-{number}")
            _disturbed(job, case, totals, tally)
            _judge(job, case, expected, tally)
            jobs.append(job)
        # A task whose driver was killed may have ended after the job.
        tally.left += [f"{job.name}/{name}" for job in jobs for name in job.left()]
    if not tally.different:
        shutil.rmtree(place.folder)
    return _result(data, tally, kills, seed, totals, time.monotonic() - begun)


def _sample(folder: Path) -> object:
    """About 65 MB: sixty units and eight ranges in small sizes, oddities among the images."""
    return make_sample(folder, name=NAME, seed=4, classes=16, images_per_class=26, validation_images=60)


@contextlib.contextmanager
def _place(data: Workload) -> Iterator[Place]:
    folder = scratch(NAME)
    with s3_server(folder / "s3") as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=REGION,
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=server.secret_access_key,
        )
        client.create_bucket(Bucket=BUCKET)
        for path in data.archives.iterdir():
            client.put_object(Bucket=BUCKET, Key=f"archives/{path.name}", Body=path.read_bytes())
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREP_", "RAY_"))}
        environment |= server.environment()
        with ray_nodes(NODES, server.environment()) as nodes:
            source = f"s3://{BUCKET}/archives"
            yield Place(nodes, client, environment, data.description, BUCKET, source, folder)


def _on_one_machine(data: Workload, place: Place) -> dict[str, str]:
    """SHA-256 of the files that one machine packs, by name."""
    root, packed = place.folder / "root", place.folder / "packed"
    root.mkdir()
    (root / "archives").symlink_to(data.archives.resolve())
    where = ("--dataset", data.description, "--root", root, "--packed", packed)
    process.run([sys.executable, "-m", PROGRAM, "pack", "--no-progress", *where], place.folder / "prep.log")
    return {
        str(path.relative_to(packed)): digest(iter([path.read_bytes()]))
        for path in packed.rglob("*")
        if path.is_file()
    }


def _undisturbed(place: Place, expected: Mapping[str, str]) -> tuple[Job, dict[str, int]]:
    """A job that nobody disturbs, and the number of its units and ranges."""
    job = Job(place, "undisturbed")
    job.start()
    most = Counter[str]()

    def look() -> bool:
        for phase, count in job.done().items():
            most[phase] = max(most[phase], count)
        return False

    job.until(look)
    job.end()
    if job.files() != expected:
        raise BenchError(f"{NAME}: an undisturbed job differs from one machine: nothing to compare with")
    return job, {"deal": most["deal"], "merge": job.ranges()}


def _disturbed(job: Job, case: Case, totals: Mapping[str, int], tally: Tally) -> None:
    """Run the job, kill what the case says, and run it to its end."""

    def reached(moment: Moment) -> bool:
        count = max(1, int(moment.share * totals[moment.phase]))  # not the last: the driver may end at once
        return job.until(lambda: job.done()[moment.phase] >= count)

    nodes = job.place.nodes
    job.start()
    if reached(case.first):
        if case.node:
            numbers = nodes.numbers()
            nodes.kill_node(numbers[case.seed % len(numbers)])
            tally.hit[f"node, {case.first.phase}"] += 1
            nodes.add()
        else:
            deadline = time.monotonic() + PATIENCE
            title: list[str | None] = [None]

            def killed() -> bool:
                title[0] = nodes.kill_worker(case.seed)
                return bool(title[0]) or time.monotonic() > deadline

            job.until(killed)
            if title[0]:
                tally.hit[f"worker, {title[0].removeprefix('ray::').partition(' ')[0]}"] += 1
    if reached(case.driver) and job.kill():
        job.remember()
        done = job.done()
        tally.dealt += done["deal"]
        tally.merged += done["merge"]
        phase = "merge" if done["deal"] == totals["deal"] else "deal"
        tally.hit[f"driver, {phase}"] += 1
        job.start()
    else:
        tally.missed += 1
    job.end()


def _judge(job: Job, case: Case, expected: Mapping[str, str], tally: Tally) -> None:
    found = job.files()
    differing = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if differing:
        tally.different.append(f"{job.name} ({case}): {', '.join(differing[:5])}")
    else:
        tally.same += 1
    for phase, pattern in DONE.items():
        again = sum(bool(pattern.search(name)) for name in job.again)
        if phase == "deal":
            tally.dealt_again += again
        else:
            tally.merged_again += again
    tally.orphans += len(job.uploads())


def _result(
    data: Workload, tally: Tally, kills: int, seed: int, totals: Mapping[str, int], seconds: float
) -> Result:
    different, left = "; ".join(tally.different), "; ".join(tally.left[:3])
    late = "those that the digest of their file had not passed"
    figures = (
        Figure("jobs that ended with the same bytes", tally.same, f"of {kills}", kills, note=different),
        Figure("drivers killed", kills - tally.missed, f"of {kills}", kills),
        Figure("units dealt again", tally.dealt_again, f"of {tally.dealt} that were dealt", 0, "most"),
        Figure("ranges merged again", tally.merged_again, f"of {tally.merged} that were merged", note=late),
        Figure("objects left below .packing", len(tally.left), "", 0, "most", note=left),
        Figure("uploads left", tally.orphans, "", 0, "most"),
    )
    rows = tuple((what, str(count)) for what, count in sorted(tally.hit.items()))
    notes = [
        f"seed {seed}, {NODES} nodes with a core each; {totals['deal']} units and {totals['merge']} ranges a "
        f"job; {seconds:.0f} s"
    ]
    table = Table("Kills", ("what, in which phase", "kills"), rows)
    return Result(NAME, data.text, figures, {"notes": notes}, (table,))
