"""Kill: SIGKILL at random moments of `prep run`, each followed by the same command again.

A run is killed about ten times over, at moments drawn for each phase, until it has ended by itself; what is
there then must be byte for byte what an undisturbed run leaves: archives, class folders, packed files and
objects in S3. Every other run has ranges, buckets and so on that suit small data (see bench.rigs.scaled).
What had to be done twice is measured after each kill (see bench.rigs.losses).
"""

import contextlib
import os
import random
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import boto3

from bench.report import BenchError, Figure, Result, Table
from bench.rigs import losses as lost
from bench.rigs.killed_run import PROGRAMS, Aim, Paces, Run, Stand, Tally
from bench.rigs.phases import ARRIVE, FINISH, FLUSH, MERGE, PHASES, VERIFY
from bench.rigs.scaled import MIB, SCALED
from bench.workloads.workload import Given, Workload, scratch, workload
from rehearsal.sample.generate import make_sample
from rehearsal.servers.archive import ArchiveServer, Fault, Request
from rehearsal.servers.s3 import s3_server

NAME = "kill"
# Ten kills a run, of which the phases that have most to lose get most.
ROUND = (ARRIVE, MERGE, FLUSH, VERIFY, FINISH, ARRIVE, MERGE, ARRIVE, VERIFY, ARRIVE)
# The archives' server pauses within every range: on loopback alone a download would be over at once.
PAUSE = Fault(stall_after=1 << 20, stall_seconds=0.1)


def measure(given: Given, kills: int, seed: int) -> Result:
    """Kill and run again; the whole is done when `kills` kills have hit and every run has ended."""
    data = workload(given, NAME, _sample)
    begun = time.monotonic()
    tally = Tally()
    with _stand(data) as stand:
        references = {}
        for program in PROGRAMS:
            run = Run(stand, program, f"undisturbed-{program.rpartition('.')[2]}")
            references[program] = run.undisturbed(), run.contents()
            run.remove()
        whole, small = (contents for _, contents in references.values())
        if small != whole:
            raise BenchError("kill: two undisturbed runs differ: nothing to compare with")
        planned, late = plan(kills, seed), list[Aim]()
        most = 3 * len(planned) + 3
        while planned or late:
            if tally.runs == most:
                raise BenchError(
                    f"kill: {len(late)} moments could not be hit in {most} runs, such as {late[0]}"
                )
            if not planned:
                late.sort(key=lambda aim: PHASES.index(aim.phase))
                planned, late = [late[: len(ROUND)]], late[len(ROUND) :]
            program = list(PROGRAMS)[tally.runs % len(PROGRAMS)]
            late += _killed_run(stand, program, planned.pop(0), references[program][0], whole, tally)
    if not tally.different:
        shutil.rmtree(stand.folder)
    return _result(data, tally, kills, seed, time.monotonic() - begun)


def _sample(folder: Path) -> object:
    """About 80 MB: ten units, oddities and bounding boxes among them."""
    return make_sample(folder, name=NAME, seed=3, classes=24, images_per_class=26, validation_images=100)


def plan(kills: int, seed: int) -> list[list[Aim]]:
    """The moments of every run, in the order of its phases.

    Those of one phase divide it among them.
    """
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    runs = []
    for first in range(0, kills, len(ROUND)):
        chosen = ROUND[: min(len(ROUND), kills - first)]
        aims = []
        for phase in PHASES:
            count = chosen.count(phase)
            aims += [Aim(phase, (number + rng.random()) / count) for number in range(count)]
        runs.append(aims)
    return runs


@contextlib.contextmanager
def _stand(data: Workload) -> Iterator[Stand]:
    folder = scratch(NAME)
    username, access_key = "bench", secrets.token_hex(16)

    def pause(_: Request) -> Fault:
        return PAUSE

    with (
        s3_server(folder / "s3") as s3,
        ArchiveServer(data.archives, username, access_key, plan=pause) as site,
    ):
        client = boto3.client(
            "s3",
            endpoint_url=s3.endpoint,
            region_name="us-east-1",
            aws_access_key_id=s3.access_key_id,
            aws_secret_access_key=s3.secret_access_key,
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PREP_")}
        environment |= s3.environment() | {"PREP_USERNAME": username, "PREP_ACCESS_KEY": access_key}
        yield Stand(data, site, client, environment, folder)


def _killed_run(
    stand: Stand, program: str, aims: list[Aim], paces: Paces, whole: dict[str, str], tally: Tally
) -> list[Aim]:
    """One run, killed at those moments, up to its end; returns the moments that it was past already."""
    tally.runs += 1
    run = Run(stand, program, f"run-{tally.runs}")
    before, waiting, missed = tally.kills, list(aims), list[Aim]()
    while waiting:
        missed += run.until_killed(waiting, paces, tally)
    if run.alive:
        run.end()
    else:
        run.start()
        run.end()
    lost.resent(tally.losses, run.watch)
    found = run.contents()
    differing = sorted(name for name in whole.keys() | found.keys() if whole.get(name) != found.get(name))
    if differing:
        tally.different.append(f"{run.place.root.parent}: {len(differing)} differ, such as {differing[:5]}")
    else:
        tally.identical += tally.kills - before
        run.remove()
    return missed


def _result(data: Workload, tally: Tally, kills: int, seed: int, seconds: float) -> Result:
    figures = [
        Figure(
            "kills after which the run ended with the same bytes",
            tally.identical,
            f"of {tally.kills}",
            kills,
            note="; ".join(tally.different),
        )
    ]
    for kind, bound in lost.BOUNDS.items():
        worst = tally.losses.worst.get(kind, lost.Worst())
        note = f"{bound}; {worst.kills} kills cost some"
        figures.append(Figure(kind, worst.value, "", worst.bound, "most", note))
    notes = [
        f"seed {seed}; {tally.runs} runs, {seconds:.0f} s; sizes are as shipped in every other run; in the "
        f"others, {_sizes()}",
        f"uploads begun in S3 that no journal knows, for a lifecycle rule to end: {tally.orphans}",
    ]
    return Result(NAME, data.text, tuple(figures), {"notes": notes}, (_spread(tally),))


def _sizes() -> str:
    """The small sizes, in MiB."""
    most = (
        f"group_commit.MOST_BYTES {SCALED.unflushed / MIB:.0f}, passes.MOST_BYTES {SCALED.memory / MIB:.0f}"
    )
    return (
        f"in MiB: ranges {SCALED.range_bytes / MIB:.0f} ({SCALED.window} in the window), buckets "
        f"{SCALED.bucket / MIB:.0f}, blocks {SCALED.block / MIB:.0f}, {most}"
    )


def _spread(tally: Tally) -> Table:
    """Where the kills hit."""
    rows = []
    for phase in PHASES:
        where = tally.where.get(phase, [])
        quarters = [sum(part / 4 <= place < (part + 1) / 4 for place in where) for part in range(4)]
        rows.append(
            (phase, str(tally.aimed[phase]), str(tally.under_way[phase]), " ".join(map(str, quarters)))
        )
    return Table(
        "Kills", ("phase", "aimed at it", "hit while it was under way", "by quarter of it"), tuple(rows)
    )
