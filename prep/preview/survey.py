"""What the packed files hold, counted by class: one pass over indexes and lists, in which no picture is read.

Everything comes from the folder of packed files alone: MANIFEST.json, classes.tsv, `.idx` and `.lst`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from prep.datasets import classes
from prep.errors import IntegrityError
from prep.records import manifest
from prep.records.manifest import Manifest
from prep.state.layout import Layout

MOST_OF_A_KIND = 100  # images that needed care for the same reason, with their pictures
VARIABLE = re.compile(r"\(.*\)|\d+")  # in a reason: what differs from image to image


class Place(NamedTuple):
    """Where the record of an image is: bytes `offset` to `end` of `rec`; its label, and `<class>/<file>`."""

    rec: Path
    offset: int
    end: int
    label: int
    name: str


@dataclass
class Tally:
    """The images of one class in one split: their number, and the first of them."""

    images: int = 0
    first: list[Place] = field(default_factory=list)


class Cared(NamedTuple):
    """An image that needed care: its split, its record, and the reasons."""

    split: str
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

    `table` has (class, words) by label; `tallies` has for each split a tally by label; `kinds` has the images
    that needed care by their first reason, without its numbers; the rarest kind comes first.
    """

    facts: Manifest
    manifest_sha256: str
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
    table = classes.read_table(layout)
    tallies: dict[str, list[Tally]] = {}
    kinds: dict[str, Kind] = {}
    for split in facts.splits:
        reasons = _reasons(facts, split)
        tallies[split] = [Tally() for _ in table]
        for place in _places(layout, facts, split, len(table)):
            tally = tallies[split][place.label]
            tally.images += 1
            if len(tally.first) < first:
                tally.first.append(place)
            if place.name in reasons:
                one = Cared(split, place, reasons[place.name])
                kind = kinds.setdefault(kind_of(one.reasons[0]), Kind())
                kind.images += 1
                if len(kind.shown) < MOST_OF_A_KIND:
                    kind.shown.append(one)
    for kind in kinds.values():
        kind.shown.sort(key=lambda one: one.place.name)
    sha256 = manifest.facts_of(layout.manifest)["sha256"]
    rare_first = dict(sorted(kinds.items(), key=lambda item: (item[1].images, item[0])))
    return Survey(facts, sha256, table, tallies, rare_first)


def kind_of(reason: str) -> str:
    """The reason without what differs from image to image."""
    return VARIABLE.sub("…", reason)


def _reasons(facts: Manifest, split: str) -> dict[str, tuple[str, ...]]:
    """The reasons by the name of the image."""
    found = {name: tuple(map(str, reasons)) for name, reasons in facts.splits[split]["care"].items()}
    for name, damage in facts.splits[split].get("damaged", {}).items():
        found[name] = (*found.get(name, ()), f"has damaged picture data ({damage})")
    return {name: reasons for name, reasons in found.items() if reasons}


def _places(layout: Layout, facts: Manifest, split: str, labels: int) -> Iterator[Place]:
    """Every record of a split, in the order of the files."""
    for part in facts.splits[split]["parts"]:
        paths = layout.part(part)
        try:
            end = paths["rec"].stat().st_size
            with paths["idx"].open("rb") as idx, paths["lst"].open("rb") as lst:
                before: tuple[int, int, str] | None = None
                for place, line in zip(idx, lst, strict=True):
                    offset = int(place.split(b"\t")[1])
                    _, label, name = line.decode().rstrip("\n").split("\t")
                    if before:
                        yield _place(paths["rec"], before, offset, labels)
                    before = (offset, int(label), name)
                if before:
                    yield _place(paths["rec"], before, end, labels)
        except OSError as error:
            raise IntegrityError(f"{error.filename}: {error.strerror}: run pack") from error
        except (ValueError, IndexError) as error:
            raise IntegrityError(
                f"{paths['idx']} and {paths['lst'].name}: not what pack writes ({error}): run verify"
            ) from error


def _place(rec: Path, before: tuple[int, int, str], end: int, labels: int) -> Place:
    offset, label, name = before
    if not (0 <= label < labels and 0 <= offset < end):
        raise ValueError(f"label {label}, bytes {offset} to {end}")
    return Place(rec, offset, end, label, name)
