"""Dealing all units of a split: what is to be done, and what was done before."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from prep.archives.units import Unit
from prep.cluster.boundaries import least_bytes, units_of, walk
from prep.cluster.dealing import BoundaryError, deal, memory_for, with_arrays
from prep.cluster.engine import Chain, Engine
from prep.cluster.place import AT_ONCE
from prep.cluster.work import Work, digest_name, packing, unit_name, units_name
from prep.errors import IntegrityError
from prep.progress import Progress

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """What the driver works with: the engine, the job, the same on the cluster, and who is told."""

    engine: Engine
    work: Work
    shared: Any
    progress: Progress


def deal_split(job: Job, split: str, checked: bool) -> list[Facts]:
    """Deal the units of a split that are not dealt yet; returns the facts of all, in order.

    `checked` says whether the digest of the archive is known to be right. If not, it is computed along.

    Raises:
        IntegrityError: the archive is damaged, or is not what the description says; nothing is kept of it.
        PrepError: a task has failed; what is dealt is kept.
    """
    units, walked = _cut(job, split)
    try:
        return _deal(job, split, units, checked)
    except BoundaryError as error:
        job.engine.settle()  # they would write over what is dealt of the other units
        before = _dealt_before(job.work, split, units[: error.number])
        if walked or (
            error.landed and None not in before
        ):  # the unit begins and ends right: the archive is wrong
            raise
        found, _ = _cut(job, split, walked=True)
        url = job.work.archives[split].url
        job.progress.note(f"{url}: looking for its members one by one, as an image may hold a tar file")
        return _deal(job, split, found, checked)


def _cut(job: Job, split: str, walked: bool = False) -> tuple[list[Unit], bool]:
    """The units of an archive, those that an earlier driver has found, or new ones.

    The second value says whether they are right for sure: all headers were read one by one, if not by `walk`,
    as asked for by `walked`, then because the archive is nested.
    """
    archive = job.work.archives[split]
    name, path = units_name(split), str(archive.path)
    noted = None if walked else job.work.doing.find_json(name)
    if noted:
        ends = [0, *noted["ends"]]
        pairs = pairwise(ends)
        file = archive.archive.file
        return [Unit(file, n, start, end - start) for n, (start, end) in enumerate(pairs)], noted["walked"]
    job.progress.note(f"{archive.url}: looking for the boundaries of its members")
    if walked:
        units = walk(archive.read, path, archive.size, least_bytes(archive.size))
    else:
        layout = job.work.splits[split].layout
        with ThreadPoolExecutor(AT_ONCE, "probe") as pool:
            units = units_of(archive.read, path, archive.size, layout, pool)
    units = [Unit(archive.archive.file, unit.index, unit.offset, unit.size) for unit in units]
    job.work.doing.remove([digest_name(split, archive.archive.file)])  # it counts other units
    walked = walked or job.work.splits[split].layout == "nested"
    job.work.doing.put_json(name, {"ends": [unit.end for unit in units], "walked": walked})
    return units, walked


def _deal(job: Job, split: str, units: Sequence[Unit], checked: bool) -> list[Facts]:
    work, archive = job.work, job.work.archives[split]
    facts = _dealt_before(work, split, units)
    chain = None if checked else _chain(job, split)
    # Units that are dealt, but are not in the digest yet, are only read again.
    todo = [
        unit.index for unit in units if facts[unit.index] is None or (chain and unit.index >= chain.through)
    ]
    task = f"deal {split}"
    job.progress.add(task, archive.size, archive.size - sum(units[number].size for number in todo))

    def calls() -> Iterator[tuple[Any, ...]]:
        for number in todo:
            last = number + 1 == len(units)
            yield job.shared, split, number, units[number], last, facts[number] is not None, bool(chain)

    def memory(call: int) -> int:
        return memory_for(units[todo[call]])

    def piece(call: int) -> int:
        return units[todo[call]].size if chain else 0

    def pass_on(call: int, data: Any) -> Chain | None:
        if chain:
            chain.give(todo[call], data)
        return chain

    for call, found in job.engine.run(deal, calls(), passing_on=pass_on, memory=memory, piece=piece):
        number = todo[call]
        facts[number] = facts[number] or found
        job.progress.advance(task, units[number].size)
    if chain:
        _compare(job, split, chain.finish(len(units)))
    return [each for each in facts if each is not None]


def _dealt_before(work: Work, split: str, units: Sequence[Unit]) -> list[Facts | None]:
    """The facts of the units that are dealt, and None for the others."""
    there = work.doing.list(packing(split))
    names = [unit_name(split, unit.index, "json") for unit in units]
    known = [name for name in names if name in there]
    found = dict(zip(known, work.doing.find_all_json(known, with_arrays), strict=True))
    return [
        facts if facts and (facts["offset"], facts["size"]) == (unit.offset, unit.size) else None
        for unit, facts in zip(units, map(found.get, names), strict=True)
    ]


def _chain(job: Job, split: str) -> Chain:
    """The digest of the archive of a split, as far as it is known."""
    archive = job.work.archives[split].archive
    name = digest_name(split, archive.file)
    noted = job.work.doing.find_json(name) or {"through": 0, "state": ""}

    def note(chain: Chain) -> None:
        job.work.doing.put_json(name, {"through": chain.through, "state": chain.state.hex()})

    state = bytes.fromhex(noted["state"])
    return Chain(job.engine, archive.algorithm, noted["through"], state, on_move=note)


def _compare(job: Job, split: str, found: str) -> None:
    archive = job.work.archives[split]
    if found == archive.archive.digest:
        return
    job.work.doing.remove(job.work.doing.list(packing(split)))
    raise IntegrityError(
        f"{archive.url}: its {archive.archive.algorithm.upper()} is {found}, should be "
        f"{archive.archive.digest}; nothing was made of it: put the right file there, or correct the "
        "description"
    )
