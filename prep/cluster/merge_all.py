"""Merging all ranges: what is to be done, what was done before, and the files that come of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from prep.cluster.deal_all import Facts, Job
from prep.cluster.engine import Chain
from prep.cluster.merging import Slice, join, memory_for, merge
from prep.cluster.ranges import Range, plan_ranges
from prep.cluster.uploads import begin_upload, complete_upload, find_upload, is_known, is_object
from prep.cluster.work import digest_name, packing, range_name


@dataclass
class _File:
    """A `.rec` file: its ranges in order, and what is known of each that is merged."""

    split: str
    part: str
    ranges: Sequence[Range]
    upload: str | None
    facts: list[Facts | None]
    chain: Chain
    whole: bool = False  # the object is there

    def is_done(self, number: int) -> bool:
        """Whether the range, counted from 0 in this file, is merged, sent, and in the digest."""
        return self.facts[number] is not None and self.chain.through > number

    @property
    def parts(self) -> list[Facts]:
        """What is known of the ranges, if all are merged."""
        return [each for each in self.facts if each is not None]


@dataclass(frozen=True)
class Merged:
    """The files of all splits: their names without suffix by split, their facts by file name, their ranges.

    `table` is what `ranges.json` says: the place of each range in the files.
    """

    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    table: Sequence[Mapping[str, Any]] = ()


def merge_all(job: Job, dealt: Mapping[str, Sequence[Facts]], labels: Mapping[str, int]) -> Merged:
    """Merge the ranges of all splits that are not merged yet, and have S3 put the files together.

    Raises:
        IntegrityError: two images have the same name.
        PrepError: a task has failed; what is merged is kept.
    """
    files = [file for split, units in dealt.items() for file in _open(job, split, units)]
    _merge(job, files, {split: _ends(units) for split, units in dealt.items()}, labels)
    return _finish(job, files)


def _ends(units: Sequence[Facts]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Where each bucket ends in the object of each unit: (units, buckets + 1), the first column is 0."""
    table = np.zeros((len(units), len(units[0]["ends"]) + 1), np.int64)
    for number, facts in enumerate(units):
        table[number, 1:] = facts["ends"]
    return table


def _open(job: Job, split: str, units: Sequence[Facts]) -> Iterator[_File]:
    """The files of a split, with what an earlier driver has done."""
    counts = sum(facts["counts"] for facts in units).tolist()
    sizes = sum(facts["sizes"] for facts in units).tolist()
    work = job.work
    planned = plan_ranges(split, counts, sizes, work.settings.part_mib << 20, work.range_bytes)
    there = work.doing.list(packing(split))
    for part, group in groupby(planned, key=lambda range_: range_.part):
        ranges = [*group]
        names = [range_name(split, range_.number, "json") for range_ in ranges]
        known = [name for name in names if name in there]
        found = dict(zip(known, work.doing.find_all_json(known), strict=True))
        upload = find_upload(work.doing, part)
        facts = [
            each if each and each["range"] == range_.as_json() and each["upload"] == upload else None
            for range_, each in zip(ranges, map(found.get, names), strict=True)
        ]
        file = _File(split, part, ranges, upload, facts, _chain(job, split, part, upload))
        if upload and not is_known(work.packed, part, upload):
            complete = len(file.parts) == file.chain.through == len(ranges)
            if complete and is_object(work.packed, part, file.parts):
                file.whole = True
            else:  # aborted: its parts are gone
                file.upload, file.facts = None, [None] * len(ranges)
                file.chain = _chain(job, split, part, None)
        file.chain.on_move = partial(_note, job, file)
        yield file


def _chain(job: Job, split: str, part: str, upload: str | None) -> Chain:
    """The digest of a file, as far as it is known of this upload."""
    noted = job.work.doing.find_json(digest_name(split, part)) if upload else None
    if noted is None or noted["upload"] != upload:
        return Chain(job.engine, "sha256")
    return Chain(job.engine, "sha256", noted["through"], bytes.fromhex(noted["state"]))


def _note(job: Job, file: _File, chain: Chain) -> None:
    """Note how far the digest of a file is."""
    noted = {"through": chain.through, "state": chain.state.hex(), "upload": file.upload}
    job.work.doing.put_json(digest_name(file.split, file.part), noted)


def _merge(job: Job, files: Sequence[_File], ends: Mapping[str, Any], labels: Mapping[str, int]) -> None:
    todo = [(file, n) for file in files for n in range(len(file.ranges)) if not file.is_done(n)]
    todo.sort(key=lambda one: one[1])  # files take turns: the digest of each is a chain, as fast as one core
    shared = job.engine.share(dict(labels))
    for split in ends:
        mine = [range_.bytes for file in files if file.split == split for range_ in file.ranges]
        left = sum(file.ranges[n].bytes for file, n in todo if file.split == split)
        job.progress.add(f"merge {split}", sum(mine), sum(mine) - left)

    def calls() -> Iterator[tuple[Any, ...]]:
        for file, number in todo:
            if file.upload is None:
                file.upload = begin_upload(job.work.packed, job.work.doing, file.part)
            range_ = file.ranges[number]
            yield job.shared, range_, _slices(range_, ends[file.split]), shared, file.upload

    def memory(call: int) -> int:
        file, number = todo[call]
        return memory_for(file.ranges[number].bytes)

    def piece(call: int) -> int:
        file, number = todo[call]
        return file.ranges[number].bytes

    def pass_on(call: int, data: Any) -> Chain:
        file, number = todo[call]
        file.chain.give(number, data)
        return file.chain

    for call, facts in job.engine.run(merge, calls(), passing_on=pass_on, memory=memory, piece=piece):
        file, number = todo[call]
        file.facts[number] = facts
        job.progress.advance(f"merge {file.split}", file.ranges[number].bytes)


def _slices(range_: Range, ends: Any) -> list[Slice]:
    """Where the range is in the object of each unit; units without it are left out."""
    begin, end = ends[:, range_.begin].tolist(), ends[:, range_.end].tolist()
    return [
        Slice(unit, start, stop - start)
        for unit, (start, stop) in enumerate(zip(begin, end, strict=True))
        if stop > start
    ]


def _finish(job: Job, files: Sequence[_File]) -> Merged:
    """Complete the uploads, and join the pieces of each index and list."""
    packed, doing = job.work.packed, job.work.doing
    facts: dict[str, dict[str, Any]] = {}
    for file in files:
        sha256 = file.chain.finish(len(file.ranges))
        if not file.whole and file.upload:
            complete_upload(packed, doing, file.part, file.upload, file.parts)
        size = sum(range_.bytes for range_ in file.ranges)
        facts[f"{file.part}.rec"] = {"bytes": size, "sha256": sha256}
    texts = [(file, kind) for file in files for kind in ("idx", "lst")]
    calls = ((packed, doing, _pieces(file, kind), f"{file.part}.{kind}") for file, kind in texts)
    joined = dict(job.engine.run(join, calls))
    for call, (file, kind) in enumerate(texts):
        facts[f"{file.part}.{kind}"] = joined[call]
    parts = {
        split: [file.part for file in group] for split, group in groupby(files, key=lambda one: one.split)
    }
    ordered = {
        f"{file.part}.{kind}": facts[f"{file.part}.{kind}"]
        for file in files
        for kind in ("rec", "idx", "lst")
    }
    return Merged(parts, ordered, [row for file in files for row in _table(file)])


def _pieces(file: _File, kind: str) -> list[str]:
    """The names of the pieces of its index or list, in order."""
    return [range_name(file.split, each.number, kind) for each in file.ranges]


def _table(file: _File) -> Iterator[dict[str, Any]]:
    """The place of each range in the three files."""
    ends = {"idx": 0, "lst": 0}
    for range_, facts in zip(file.ranges, file.parts, strict=True):
        texts = {kind: [ends[kind], facts[kind]] for kind in ends}
        ends = {kind: ends[kind] + facts[kind] for kind in ends}
        yield {
            "split": file.split,
            "part": file.part,
            "number": range_.number,
            "first": range_.first,
            "records": range_.records,
            "rec": [range_.offset, range_.bytes],
            **texts,
        }
