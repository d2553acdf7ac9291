"""Ranges: the records that one task of verify checks. `ranges.json` says where each is in the packed files.

A range is what one merge task has written. Together the ranges must cover every byte of every file: otherwise
there would be records that nobody has checked.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from prep.errors import IntegrityError
from prep.records.manifest import Manifest

KINDS = ("rec", "idx", "lst")
PackedRanges = Mapping[str, Sequence["PackedRange"]]
"""The ranges of each split, in order."""


class Extent(NamedTuple):
    """A piece of a file, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class PackedRange:
    """Records that follow each other in a file.

    `number` counts the ranges of the split, `part` is the name of the files without suffix, `first` the index
    of the first record in the split. `rec`, `idx` and `lst` are the places in the three files.
    """

    split: str
    part: str
    number: int
    first: int
    records: int
    rec: Extent
    idx: Extent
    lst: Extent

    def place(self, kind: str) -> tuple[str, Extent]:
        """The name of one of its files, and the place in it."""
        extents = {"rec": self.rec, "idx": self.idx, "lst": self.lst}
        return f"{self.part}.{kind}", extents[kind]


def parse_ranges(text: bytes, facts: Manifest, where: str) -> PackedRanges:
    """The ranges of each split of the manifest, in the text of `ranges.json`, which messages call `where`.

    Raises:
        IntegrityError: it is damaged, or does not cover the files in the manifest.
    """
    try:
        found = [_range(row) for row in json.loads(text)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(f"{where}: damaged ({error!r}): run pack again") from error
    ranges = {split: [range_ for range_ in found if range_.split == split] for split in facts.splits}
    for split in facts.splits:
        if wrong := _gap(split, ranges[split], facts):
            raise IntegrityError(f"{where}: split {split}: {wrong}: run pack again")
    return ranges


def _range(row: Mapping[str, Any]) -> PackedRange:
    number, first, records = (_natural(row[key]) for key in ("number", "first", "records"))
    rec, idx, lst = (Extent(*map(_natural, row[kind])) for kind in KINDS)
    return PackedRange(str(row["split"]), str(row["part"]), number, first, records, rec, idx, lst)


def _natural(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of bytes or records")
    return value


def _gap(split: str, ranges: Sequence[PackedRange], facts: Manifest) -> str:
    """What is wrong with the ranges of a split, or ""."""
    first = 0
    for number, range_ in enumerate(ranges):
        if (range_.number, range_.first) != (number, first):
            return f"no range {number} that begins with record {first}"
        first += range_.records
    parts = [(part, [*group]) for part, group in groupby(ranges, key=lambda range_: range_.part)]
    if [part for part, _ in parts] != facts.splits[split]["parts"]:
        return "other files than in the manifest"
    for _, group in parts:
        for kind in KINDS:
            end = 0
            for range_ in group:
                name, extent = range_.place(kind)
                if extent.offset != end:
                    return f"no range of {name} that begins at byte {end}"
                end += extent.size
            if end != facts.files[name]["bytes"]:
                return f"the ranges of {name} end at byte {end}, it has {facts.files[name]['bytes']}"
    return ""
