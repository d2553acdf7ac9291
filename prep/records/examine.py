"""Examine: check the records of a run, and add up what several runs have shown.

It does not matter where the records come from and who runs it: one machine gives all records of a split as
one run, a cluster gives a run to each task. The checks for every record are: its label, which is the rank of
its class; its place in the shuffle, which also shows that no name occurs twice; its image, which must decode;
and for an image that was packed unchanged, that it has the bytes in the archive.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from prep.archives.inventory import Original
from prep.archives.units import ClassOf
from prep.datasets.description import Description, Split
from prep.errors import IntegrityError
from prep.images.jpeg import JpegError, inspect
from prep.images.messages import with_messages
from prep.images.prepare import SMALL, UnreadableImageError, decode_small
from prep.records.buckets import key_of
from prep.records.manifest import Manifest
from prep.records.reader import NamedRecord, check_digest
from prep.state.receipts import Receipt

BATCH = 8  # images examined together, so that capturing messages and handing over cost little beside decoding


class Examined(NamedTuple):
    """A packed image: its problem ("" for none), the damage that libjpeg reports in it, and its CRC-32."""

    problem: str
    damage: str = ""
    crc32: int = 0


class Decoded(NamedTuple):
    """A record and its image, decoded."""

    located: NamedRecord
    image: Examined


class Place(NamedTuple):
    """The place of a record in the shuffle, and its name in messages."""

    key: int
    name: str
    where: str


@dataclass(frozen=True)
class Rules:
    """What the records of a split are checked against.

    `labels` has the label of each class, `class_of` finds the class of an image in a flat archive by its file
    name, and `seed` is that of the shuffle.
    """

    split: Split
    labels: Mapping[str, int]
    class_of: ClassOf
    seed: int


@dataclass
class Tally:
    """What the records of a run have shown, or those of several runs that follow each other.

    `as_is` counts the images with the bytes in the archive, and `originals` those in the inventory. `lost`
    names images in the inventory that no record has, `damaged` those with damaged picture data and why.
    """

    originals: int = 0
    records: int = 0
    as_is: int = 0
    labels: set[int] = field(default_factory=set)
    damaged: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    first: Place | None = None
    last: Place | None = None

    def add(self, following: "Tally") -> None:
        """Add the run that follows.

        Raises:
            IntegrityError: its first record does not come after the last one of this run in the shuffle.
        """
        if self.last and following.first:
            _check_order(self.last, following.first)
        self.originals += following.originals
        self.records += following.records
        self.as_is += following.as_is
        self.labels |= following.labels
        self.damaged |= following.damaged
        self.lost |= following.lost
        self.first = self.first or following.first
        self.last = following.last or self.last

    def counts(self) -> dict[str, int]:
        """The numbers for people."""
        return {"records": self.records, "as in the archive": self.as_is, "classes": len(self.labels)}


def check_run(records: Iterable[Decoded], originals: MutableMapping[str, Original], rules: Rules) -> Tally:
    """Check the records of a run, and say what they have shown.

    `originals` are the images of the run by the inventory. Those that have a record are removed.

    Raises:
        IntegrityError: a record is not what it should be; the message names it.
    """
    tally = Tally(originals=len(originals))
    for (where, name, record), image in records:
        wnid, _, file = name.partition("/")
        label = rules.labels.get(wnid)
        if label is None or record.label != label:
            raise IntegrityError(f"{where}: label {record.label:g}, should be {label}: run pack again")
        if rules.split.layout == "flat" and rules.class_of(file) != wnid:
            raise IntegrityError(f"{where}: the ground truth says {rules.class_of(file)}: run pack again")
        original = originals.pop(name, None)
        if original is None:
            raise IntegrityError(f"{where}: no such image in the archive: run pack again")
        place = Place(key_of(rules.seed, name), name, where)
        if tally.last:
            _check_order(tally.last, place)
        tally.first = tally.first or place
        tally.last = place
        if image.problem:
            raise IntegrityError(f"{where}: {image.problem}: run pack again")
        if image.damage:
            tally.damaged[name] = image.damage
        tally.as_is += (len(record.image), image.crc32) == original
        tally.labels.add(label)
        tally.records += 1
    tally.lost = set(originals)
    return tally


def _check_order(before: Place, after: Place) -> None:
    if (after.key, after.name) <= (before.key, before.name):
        raise IntegrityError(f"{after.where}: not in the order of the shuffle: run pack again")


def check_originals(count: int, split: Split) -> None:
    """Check how many images the inventory of a split has.

    Raises:
        IntegrityError: the description says another number.
    """
    if count != split.images:
        raise IntegrityError(
            f"verify: split {split.name}: the archive holds {count} images, the description says "
            f"{split.images}: correct [splits.{split.name}] images, then run pack again"
        )


def check_totals(tally: Tally, split: str, facts: Manifest, packed: Path | str) -> None:
    """Check what all records of a split have shown against the manifest; `packed` is where they are.

    Raises:
        IntegrityError: images are missing, or not as many as the manifest says have the bytes in the archive.
    """
    summary = facts.splits[split]
    missing = sorted(tally.lost - set(summary["unreadable"]))
    if missing:
        raise IntegrityError(
            f"{packed}: split {split}: {len(missing)} images are missing, such as {missing[0]}: "
            "run pack again"
        )
    if tally.as_is != summary["as_is"]:
        raise IntegrityError(
            f"{packed}: split {split}: {tally.as_is} of {tally.records} images have the bytes "
            f"in the archive, the manifest says {summary['as_is']}: run pack again"
        )


def refuse_damage(receipt: Receipt, strict: bool) -> None:
    """Fail if `strict` and `verify`, whose receipt it is, has found images with damaged picture data.

    Raises:
        IntegrityError: there are such images; the message names up to three.
    """
    found = [
        f"{split}/{name} ({reason})"
        for split, images in receipt.findings.get("damaged", {}).items()
        for name, reason in images.items()
    ]
    if strict and found:
        raise IntegrityError(
            f"verify: {len(found)} images are damaged inside, such as {', '.join(found[:3])}: get undamaged "
            "archives, or leave --strict out (the manifest names the images)"
        )


def check_description(description: Description, facts: Manifest, where: Path | str) -> None:
    """Check that the packed files were made from this description; `where` is their manifest.

    Raises:
        IntegrityError: they were not.
    """
    splits = {split.name for split in description.splits}
    if facts.description_sha256 != description.sha256 or set(facts.splits) != splits:
        raise IntegrityError(f"{where}: made from another description: run pack again")


def labels_of_table(
    table: Sequence[tuple[str, str]],
    sha256: str,
    description: Description,
    facts: Manifest,
    where: Path | str,
) -> dict[str, int]:
    """The label of every class, from the rows of `classes.tsv`, class and words; `where` is that file.

    Raises:
        IntegrityError: the description says another number of classes, or the manifest another SHA-256.
    """
    if len(table) != description.classes:
        raise IntegrityError(
            f"{where}: {len(table)} classes, the description says {description.classes}: "
            "correct [classes] count, then run pack again"
        )
    check_digest(where, sha256, facts.files.get("classes.tsv", {}).get("sha256"))
    return {name: label for label, (name, _) in enumerate(table)}


def batches(records: Iterator[NamedRecord]) -> Iterator[list[NamedRecord]]:
    """Records in groups that are examined together."""
    while batch := list(islice(records, BATCH)):
        yield batch


def examined(records: Iterator[NamedRecord]) -> Iterator[Decoded]:
    """Every record, in order, with its decoded image; this thread decodes them."""
    for batch in batches(records):
        yield from map(Decoded, batch, examine_images([located.record.image for located in batch]))


def examine_images(images: Sequence[bytes]) -> list[Examined]:
    """Decode packed JPEGs, and report the problem, the damage and the checksum of each."""
    found, message = with_messages(lambda: list(map(_examine_one, images)))
    return list(map(_examine_damage, images)) if message else found


def _examine_damage(image: bytes) -> Examined:
    """Examine one image of a batch about which libjpeg has said something."""
    found, message = with_messages(lambda: _examine_one(image))
    return found if found.problem else found._replace(damage=message)


def _examine_one(image: bytes) -> Examined:
    """Decode a packed JPEG, and report its problem and its checksum.

    It is decoded at an eighth of its size: that reads and checks all of the compressed data, and leaves out
    just most of the inverse transform, in which nothing can be wrong.
    """
    data = memoryview(image)
    try:
        facts = inspect(data)
        pixels = decode_small(data)
    except (JpegError, UnreadableImageError) as error:
        return Examined(str(error))
    if pixels.shape[:2] != (-(-facts.height // SMALL), -(-facts.width // SMALL)):
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        return Examined(f"decodes at an eighth to {size}, declares {facts.width}x{facts.height}")
    return Examined("", crc32=zlib.crc32(data))
