"""Verify: check every record of the packed files against the manifest and the inventory, and read a sample
with MXNet's own reader.

Each file is read once, in order, from the disk and not from the page cache; while the merge is under way,
verify follows one bucket behind it. `prep/records/reader.py` compares a record with its lines in `.idx` and
`.lst`, and `prep/records/examine.py` has the checks of what it holds.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2

from prep.archives import inventory
from prep.archives.passes import at_work
from prep.archives.readers import Consumer
from prep.archives.units import LoadedUnit, block_bytes
from prep.datasets import classes
from prep.datasets.description import Description, Split
from prep.images.messages import messages_kept
from prep.progress import CORES, DATASET_VOLUME, Progress
from prep.records import manifest
from prep.records.examine import (
    BATCH,
    Decoded,
    Examined,
    Rules,
    Tally,
    batches,
    check_description,
    check_originals,
    check_run,
    check_totals,
    examine_images,
    labels_of_table,
)
from prep.records.growth import Growth, WholePart
from prep.records.manifest import Manifest
from prep.records.mxnet_sample import Line, load_mxnet, read_sample, sample_step
from prep.records.reader import NamedRecord, ReadBack, read_part
from prep.state.layout import Layout
from prep.state.receipts import Receipt

STAGE = "verify"
IN_FLIGHT = 64  # records for each thread, decoded or waiting: bounds memory, keeps every core busy


class ReadsAlong(Consumer, Protocol):
    """A consumer that gets the `.rec` files while verify reads them."""

    def begin_part(self, name: str, expected: int) -> int:
        """Prepare for the `.rec` file of that name and of about that size; returns the size of its blocks."""


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
    seed = int(facts.settings["seed"])
    counts: dict[str, Any] = {}
    damaged: dict[str, dict[str, str]] = {}
    workers = threads or len(os.sched_getaffinity(0))
    reading = _Reading(reads_along, progress)
    consumers = [reads_along] if reads_along else []
    # The pool must not belong to one of the generators below. After an error, a generator ends only in
    # garbage collection, and joining threads from there can block forever.
    with messages_kept(), ThreadPoolExecutor(workers, "verify") as pool:
        pool.submit(load_mxnet)  # takes a second, which the merge's first bucket takes as well
        for split in description.splits:
            rules = Rules(split, labels, class_of(split), seed)
            with at_work(consumers, progress) as give:
                located = reading.records(split, packed.parts(split.name), give)
                records = _decoded(located, pool, workers * IN_FLIGHT, reading)
                tally = _verify_split(layout, facts, rules, records)
            damaged[split.name] = tally.damaged
            names = [part.name for part in packed.parts(split.name)]
            read = sum(_read_by_mxnet(layout, name, len(names)) for name in names)
            counts[split.name] = tally.counts() | {"read by MXNet": read, "damaged": len(tally.damaged)}
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


def _labels(description: Description, layout: Layout, facts: Manifest) -> dict[str, int]:
    """Check `classes.tsv`, and return the label of every class."""
    check_description(description, facts, layout.manifest)
    table = classes.read_table(layout)
    sha256 = manifest.facts_of(layout.classes)["sha256"]
    return labels_of_table(table, sha256, description, facts, layout.classes)


def _verify_split(layout: Layout, facts: Manifest, rules: Rules, records: Iterator[Decoded]) -> Tally:
    """Check the records of a split, all of them as one run."""
    split = rules.split
    originals = inventory.read(layout, split.name)
    check_originals(len(originals), split)
    tally = check_run(records, originals, rules)
    check_totals(tally, split.name, facts, layout.packed)
    return tally


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

    for batch in batches(records):
        waiting.append((batch, pool.submit(examine_images, [located.record.image for located in batch])))
        if len(waiting) * BATCH >= ahead:
            yield from first()
    while waiting:
        yield from first()


def _read_by_mxnet(layout: Layout, part: str, parts: int) -> int:
    """Read a sample of a part with MXNet, spread over the file; `parts` is how many its split has."""
    rec = layout.rec(part)
    lines = layout.lst(part).read_text(encoding="utf-8").splitlines()
    wanted = [line.split("\t") for line in lines[:: sample_step(len(lines), parts)]]
    sample = [Line(int(index), float(label), name) for index, label, name in wanted]
    return read_sample(rec, layout.idx(part), sample, rec)
