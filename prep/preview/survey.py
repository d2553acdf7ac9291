"""What the packed files hold, counted by class from indexes and lists; no picture is read.

Everything comes from the folder of packed files alone: MANIFEST.json, classes.tsv, `.idx` and `.lst`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from prep.datasets import classes
from prep.errors import IntegrityError
from prep.records import manifest
from prep.records.access import Records
from prep.records.manifest import Manifest
from prep.state.layout import Layout

MOST_OF_A_KIND = 100  # images that needed care for the same reason, with their pictures
VARIABLE = re.compile(r"\(.*\)|\d+")  # in a reason: what differs from image to image


class Place(NamedTuple):
    """A packed image: its split, its number there, and its name `<class>/<file>`."""

    split: str
    number: int
    name: str


class Tally(NamedTuple):
    """The images of one class in one split: their number, and the first of them."""

    images: int
    first: Sequence[Place]


class Cared(NamedTuple):
    """An image that needed care, and the reasons."""

    place: Place
    reasons: tuple[str, ...]


@dataclass
class Kind:
    """The images that needed care for one reason: their number, and those that are shown."""

    images: int = 0
    shown: list[Cared] = field(default_factory=list)


class Check(NamedTuple):
    """A number that was counted, and the one that it should be."""

    what: str
    expected: int
    found: int

    @property
    def right(self) -> bool:
        """Whether they are the same."""
        return self.expected == self.found


@dataclass(frozen=True)
class Survey:
    """The packed files of a data set.

    `records` reads every split. `table` has (class, words) by label; `tallies` has for each split a tally by
    label; `kinds` has the images that needed care by their first reason, without its numbers; the rarest
    kind comes first.
    """

    facts: Manifest
    manifest_sha256: str
    records: Mapping[str, Records]
    table: Sequence[tuple[str, str]]
    tallies: Mapping[str, Sequence[Tally]]
    kinds: Mapping[str, Kind]

    @property
    def images(self) -> int:
        """Images of all splits."""
        return sum(tally.images for tallies in self.tallies.values() for tally in tallies)

    @property
    def packed_bytes(self) -> int:
        """Bytes of all `.rec` files, as the manifest has them."""
        return sum(self.rec_bytes(split) for split in self.facts.splits)

    def rec_bytes(self, split: str) -> int:
        """Bytes of the `.rec` files of a split, as the manifest has them."""
        parts: list[str] = self.facts.splits[split]["parts"]
        return sum(int(self.facts.files[f"{part}.rec"]["bytes"]) for part in parts)

    def checks(self) -> list[Check]:
        """What was counted against what the description of the data set promises.

        The manifest's number of images of a split is that of the description: pack fails if an archive has
        another. Images that were left out on purpose are not expected.
        """
        found = [Check("classes", self.facts.classes, len(self.table))]
        for split, facts in self.facts.splits.items():
            expected = int(facts["images"]) - len(facts["unreadable"])
            images = sum(tally.images for tally in self.tallies[split])
            found.append(Check(f"images of {split}", expected, images))
        return found


def survey(layout: Layout, facts: Manifest, first: int) -> Survey:
    """Count the images of every class, and find the first `first` records of each class in each split.

    Raises:
        IntegrityError: a file is missing, or is not what pack writes.
    """
    _check(layout, facts)
    table = classes.read_table(layout)
    records = {split: Records(layout.packed, split) for split in facts.splits}
    tallies = {split: _tallies(split, records[split], len(table), first) for split in facts.splits}
    kinds: dict[str, Kind] = {}
    for split in facts.splits:
        for one in _cared(split, records[split], _reasons(facts, split)):
            kind = kinds.setdefault(kind_of(one.reasons[0]), Kind())
            kind.images += 1
            if len(kind.shown) < MOST_OF_A_KIND:
                kind.shown.append(one)
    for kind in kinds.values():
        kind.shown.sort(key=lambda one: one.place.name)
    rare_first = dict(sorted(kinds.items(), key=lambda item: (item[1].images, item[0])))
    sha256 = manifest.facts_of(layout.manifest)["sha256"]
    return Survey(facts, sha256, records, table, tallies, rare_first)


def _tallies(split: str, records: Records, classes: int, first: int) -> list[Tally]:
    """The tallies of a split, by label."""
    labels = records.labels
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise IntegrityError(f"split {split}: label {labels.max()} of {classes} classes: run verify")
    counts = np.bincount(labels, minlength=classes)
    by_label = np.argsort(labels, kind="stable")
    ends = np.cumsum(counts)
    return [
        Tally(
            int(count),
            [_place(split, records, int(number)) for number in by_label[end - count : end][:first]],
        )
        for count, end in zip(counts, ends, strict=True)
    ]


def _cared(split: str, records: Records, reasons: Mapping[str, tuple[str, ...]]) -> Iterator[Cared]:
    """The images that have reasons, in the order of the file."""
    for number in range(len(records) if reasons else 0):
        name = records.name(number)
        if name in reasons:
            yield Cared(_place(split, records, number), reasons[name])


def _place(split: str, records: Records, number: int) -> Place:
    return Place(split, number, records.name(number))


def _check(layout: Layout, facts: Manifest) -> None:
    """Raise IntegrityError unless what the page shows of the manifest has the form that pack gives it."""
    try:
        for split in facts.splits:
            of = facts.splits[split]
            _reasons(facts, split)
            [int(of[name]) for name in ("images", "records", "resized", "as_is")]
            int(of.get("source_bytes", 0))
            dict(of["unreadable"]).items()
        dict(facts.settings).items()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"{layout.manifest}: damaged ({error!r}): run pack again") from error


def kind_of(reason: str) -> str:
    """The reason without what differs from image to image."""
    return VARIABLE.sub("…", reason)


def _reasons(facts: Manifest, split: str) -> dict[str, tuple[str, ...]]:
    """The reasons by the name of the image."""
    found = {name: tuple(map(str, reasons)) for name, reasons in facts.splits[split]["care"].items()}
    for name, damage in facts.splits[split].get("damaged", {}).items():
        found[name] = (*found.get(name, ()), f"has damaged picture data ({damage})")
    return {name: reasons for name, reasons in found.items() if reasons}
