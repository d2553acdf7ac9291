"""Verify: check every record of the packed files against the manifest and the inventory, and read a sample
with MXNet's own reader.

Each file is read once, in order, from the disk and not from the page cache; while the merge is under way,
verify follows one bucket behind it. The checks for every record are: its frame; its line in `.idx` and in
`.lst`; its label, which is the rank of its class; its place in the shuffle, which also shows that no name
occurs twice; its image, which must decode; and for an image that was packed unchanged, that it has the bytes
in the archive.
"""

import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

import cv2

from prep.archives import inventory
from prep.archives.passes import at_work
from prep.archives.readers import Consumer
from prep.archives.units import ClassOf, LoadedUnit, block_bytes
from prep.datasets import classes
from prep.datasets.description import Description, Split
from prep.errors import IntegrityError
from prep.images.jpeg import JpegError, inspect
from prep.images.messages import messages_kept, with_messages
from prep.images.prepare import SMALL, UnreadableImageError, decode_small
from prep.progress import CORES, DATASET_VOLUME, Progress
from prep.records import manifest
from prep.records.buckets import key_of
from prep.records.growth import Growth, WholePart
from prep.records.manifest import Manifest
from prep.records.reader import NamedRecord, ReadBack, check_digest, read_part
from prep.state.layout import Layout
from prep.state.receipts import Receipt


class Examined(NamedTuple):
    """A packed image: its problem ("" for none), the damage that libjpeg reports in it, and its CRC-32."""

    problem: str
    damage: str = ""
    crc32: int = 0


class Decoded(NamedTuple):
    """A record and its image, decoded."""

    located: NamedRecord
    image: Examined


STAGE = "verify"


class ReadsAlong(Consumer, Protocol):
    """A consumer that gets the `.rec` files while verify reads them."""

    def begin_part(self, name: str, expected: int) -> int:
        """Prepare for the `.rec` file of that name and of about that size; returns the size of its blocks."""


MXNET_SAMPLE = 200  # records of each split that MXNet reads; all of ImageNet would take it a day
BATCH = 8  # images a task, so that a task costs little beside the images themselves
IN_FLIGHT = 64  # records for each thread, decoded or waiting: bounds memory, keeps every core busy


class _Whole:
    """What is packed and whole, told in the way that `Growth` tells of a merge that goes on."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._facts = manifest.read(layout)

    def draft(self) -> tuple[Manifest, int]:
        return self._facts, 0

    def parts(self, split: str) -> Iterator[WholePart]:
        for name in self._facts.splits[split]["parts"]:
            yield WholePart(self._layout, name, self._facts)

    def wait_for_end(self) -> None:
        """It is over."""


def verify(
    description: Description,
    layout: Layout,
    progress: Progress,
    threads: int | None = None,
    reads_along: ReadsAlong | None = None,
    growth: Growth | None = None,
) -> Receipt:
    """Check all packed files and return the receipt.

    The manifest and the receipt name the images in whose picture data libjpeg reports damage.

    Args:
        description: the data set.
        layout: where its files are.
        progress: shows what has been checked.
        threads: number of images decoded at once; None for one thread for each core.
        reads_along: gets the blocks of the `.rec` files while they are read, before they are known to be
            correct. Backup sends the blocks, so that the files are read only once, and completes the uploads
            after this has returned.
        growth: the merge, if it is under way; verify checks what the merge has put on disk.

    Raises:
        IntegrityError: a check fails; the message names the file and the record.
    """
    begun = time.monotonic()
    cv2.setNumThreads(1)
    packed = growth or _Whole(layout)
    facts, _ = packed.draft()
    labels = _labels(description, layout, facts)
    class_of = classes.class_finder(description, layout)
    counts: dict[str, Any] = {}
    damaged: dict[str, dict[str, str]] = {}
    workers = threads or len(os.sched_getaffinity(0))
    reading = _Reading(reads_along, progress)
    consumers = [reads_along] if reads_along else []
    # The pool must not belong to one of the generators below. After an error, a generator ends only in
    # garbage collection, and joining threads from there can block forever.
    with messages_kept(), ThreadPoolExecutor(workers, "verify") as pool:
        pool.submit(_load_mxnet)  # takes a second, which the merge's first bucket takes as well
        for split in description.splits:
            damaged[split.name] = {}
            with at_work(consumers, progress) as give:
                located = reading.records(split, packed.parts(split.name), give)
                records = _decoded(located, pool, workers * IN_FLIGHT, reading)
                found = _verify_split(
                    split, layout, facts, labels, class_of(split), records, damaged[split.name]
                )
            names = [part.name for part in packed.parts(split.name)]
            read = sum(_mxnet_sample(layout, name, MXNET_SAMPLE // len(names) + 1) for name in names)
            counts[split.name] = found | {"read by MXNet": read, "damaged": len(damaged[split.name])}
    packed.wait_for_end()
    progress.waited(CORES, reading.decoding_seconds)
    progress.waited(DATASET_VOLUME, reading.read_back.seconds)
    counts["bytes"] = {"read": reading.read_back.bytes, "from memory": reading.read_back.from_memory}
    return _receipt(layout, counts, damaged, round(time.monotonic() - begun, 1))


def _receipt(
    layout: Layout, counts: dict[str, Any], damaged: dict[str, dict[str, str]], seconds: float
) -> Receipt:
    """Name the damaged images in the manifest, and give the receipt."""
    manifest.note_damaged(layout, manifest.read(layout), damaged)
    outputs = {str(layout.manifest): manifest.facts_of(layout.manifest)}
    findings = {"damaged": {split: found for split, found in damaged.items() if found}}
    return Receipt(STAGE, manifest.inputs(layout), {}, outputs, counts, seconds, findings=findings)


def refuse_damage(receipt: Receipt, strict: bool) -> None:
    """Fail if `strict` and `verify` has found images with damaged picture data.

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


def _labels(description: Description, layout: Layout, facts: Manifest) -> dict[str, int]:
    """Check `classes.tsv`, and return the label of every class."""
    splits = {split.name for split in description.splits}
    if facts.description_sha256 != description.sha256 or set(facts.splits) != splits:
        raise IntegrityError(f"{layout.manifest}: made from another description: run pack again")
    table = classes.read_table(layout)
    if len(table) != description.classes:
        raise IntegrityError(
            f"{layout.classes}: {len(table)} classes, the description says {description.classes}: "
            "correct [classes] count, then run pack again"
        )
    found = manifest.facts_of(layout.classes)["sha256"]
    check_digest(layout.classes, found, facts.files.get(layout.classes.name, {}).get("sha256"))
    return {name: label for label, (name, _) in enumerate(table)}


def _verify_split(
    split: Split,
    layout: Layout,
    facts: Manifest,
    labels: dict[str, int],
    class_of: ClassOf,
    decoded_records: Iterator[Decoded],
    damaged: dict[str, str],
) -> dict[str, int]:
    """Check and count the records of a split, and add the images with damaged picture data to `damaged`."""
    originals = inventory.read(layout, split.name)
    if len(originals) != split.images:
        raise IntegrityError(
            f"verify: split {split.name}: the archive holds {len(originals)} images, the description says "
            f"{split.images}: correct [splits.{split.name}] images, then run pack again"
        )
    summary = facts.splits[split.name]
    as_is = records = 0
    seen = [False] * len(labels)
    previous = (-1, "")
    seed = int(facts.settings["seed"])
    for (where, name, record), image in decoded_records:
        wnid, _, file = name.partition("/")
        label = labels.get(wnid)
        if label is None or record.label != label:
            raise IntegrityError(f"{where}: label {record.label:g}, should be {label}: run pack again")
        if split.layout == "flat" and class_of(file) != wnid:
            raise IntegrityError(f"{where}: the ground truth says {class_of(file)}: run pack again")
        original = originals.pop(name, None)
        if original is None:
            raise IntegrityError(f"{where}: no such image in the archive: run pack again")
        place = (key_of(seed, name), name)
        if place <= previous:
            raise IntegrityError(f"{where}: not in the order of the shuffle: run pack again")
        previous = place
        if image.problem:
            raise IntegrityError(f"{where}: {image.problem}: run pack again")
        if image.damage:
            damaged[name] = image.damage
        as_is += (len(record.image), image.crc32) == original
        seen[label] = True
        records += 1
    missing = sorted(set(originals) - set(summary["unreadable"]))
    if missing:
        raise IntegrityError(
            f"{layout.packed}: split {split.name}: {len(missing)} images are missing, such as {missing[0]}: "
            "run pack again"
        )
    if as_is != summary["as_is"]:
        raise IntegrityError(
            f"{layout.packed}: split {split.name}: {as_is} of {records} images have the bytes "
            "in the archive, the manifest says "
            f"{summary['as_is']}: run pack again"
        )
    return {"records": records, "as in the archive": as_is, "classes": sum(seen)}


@dataclass
class _Reading:
    """How the packed files are read: who reads along, who is told, and how much has come from the disk."""

    reads_along: ReadsAlong | None
    progress: Progress
    read_back: ReadBack = field(default_factory=ReadBack)
    decoding_seconds: float = 0.0  # waited for

    def records(
        self, split: Split, parts: Iterable[WholePart], give: Callable[[LoadedUnit], bool]
    ) -> Iterator[NamedRecord]:
        """The records of all parts of a split, numbered through."""
        first = count = 0
        for part in parts:
            expected = part.expected_bytes()
            size = block_bytes(expected)
            if self.reads_along:
                size = self.reads_along.begin_part(part.paths["rec"].name, expected)
            task = f"verify {part.name}"
            self.progress.add(task, expected)
            for located in read_part(part, split, first, size, give, self.read_back):
                self.progress.advance(task, located.record.end - located.record.offset)
                yield located
                count += 1
            first = count


def _decoded(
    records: Iterator[NamedRecord], pool: ThreadPoolExecutor, ahead: int, reading: _Reading
) -> Iterator[Decoded]:
    """Every record, in order, with its decoded image; about `ahead` images are being decoded at once."""
    waiting: deque[tuple[list[NamedRecord], Future[list[Examined]]]] = deque()

    def first() -> Iterator[Decoded]:
        batch, examined = waiting.popleft()
        begun = time.monotonic()
        images = examined.result()
        reading.decoding_seconds += time.monotonic() - begun
        return map(Decoded, batch, images)

    while batch := list(islice(records, BATCH)):
        waiting.append((batch, pool.submit(_examine, [located.record.image for located in batch])))
        if len(waiting) * BATCH >= ahead:
            yield from first()
    while waiting:
        yield from first()


def _examine(images: Sequence[bytes]) -> list[Examined]:
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


def _load_mxnet() -> Any:
    import mxnet  # slow to import, and needs old versions of Python and NumPy: imported only here

    return mxnet


def _mxnet_sample(layout: Layout, part: str, most: int) -> int:
    """Read up to `most` records spread over the file with MXNet, which shares no code with this package.

    Raises:
        IntegrityError: MXNet reads another label or id, or can't decode the image.
    """
    mx = _load_mxnet()
    rec = layout.rec(part)
    lines = layout.lst(part).read_text(encoding="utf-8").splitlines()
    wanted = [line.split("\t") for line in lines[:: max(1, len(lines) // most)]]
    reader = mx.recordio.MXIndexedRecordIO(str(layout.idx(part)), str(rec), "r")
    try:
        for index, label, name in wanted:
            header, image = mx.recordio.unpack(reader.read_idx(int(index)))
            if (header.id, header.label) != (int(index), float(label)):
                raise IntegrityError(
                    f"{rec}: MXNet reads another id or label in record {index} ({name}): run pack again"
                )
            if mx.image.imdecode(image).ndim != 3:
                raise IntegrityError(f"{rec}: MXNet can't decode record {index} ({name}): run pack again")
    finally:
        reader.close()
    return len(wanted)
