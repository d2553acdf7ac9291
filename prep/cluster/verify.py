"""Verify on a cluster: every record of the packed files in S3 is checked, as on one machine.

A task checks one range of records. The driver adds up what the tasks have found, compares the digests of the
files with the manifest, and leaves the receipt beside the packed files.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from prep.cluster.archives import devkit_of
from prep.cluster.checking import Checked, Checks, Sample, check, digest_object
from prep.cluster.engine import Chain, Engine
from prep.cluster.merging import memory_for
from prep.cluster.packed_ranges import PackedRange, PackedRanges, parse_ranges
from prep.cluster.place import Place
from prep.cluster.work import CLASSES, MANIFEST, RANGES, devkit_name, receipt_name
from prep.datasets.classes import Devkit, class_of_file, parse_table
from prep.datasets.description import Description
from prep.errors import IntegrityError
from prep.progress import Progress
from prep.records import manifest
from prep.records.examine import (
    Rules,
    Tally,
    check_description,
    check_originals,
    check_totals,
    labels_of_table,
    refuse_damage,
)
from prep.records.manifest import Manifest
from prep.records.mxnet_sample import sample_step
from prep.records.reader import check_digest
from prep.state import receipts
from prep.state.receipts import Receipt

STAGE = "verify"
Connect = Callable[[], AbstractContextManager[Engine]]


@dataclass
class _Found:
    """What the ranges of a split have shown, which are added up in their order."""

    total: Tally = field(default_factory=Tally)
    read_by_mxnet: int = 0
    added: int = 0
    waiting: dict[int, Tally] = field(default_factory=dict)

    def add(self, number: int, checked: Checked) -> None:
        """Take what the range with this number has shown; those before it may come later."""
        self.read_by_mxnet += checked.read_by_mxnet
        self.waiting[number] = checked.tally
        while self.added in self.waiting:
            self.total.add(self.waiting.pop(self.added))
            self.added += 1

    def counts(self) -> dict[str, int]:
        """The numbers for people, as on one machine."""
        more = {"read by MXNet": self.read_by_mxnet, "damaged": len(self.total.damaged)}
        return self.total.counts() | more


def verify(
    description: Description, packed: Place, connect: Connect, progress: Progress, strict: bool = False
) -> Receipt:
    """Check all packed files on the cluster that `connect` gives, and return the receipt.

    The receipt is beside the packed files then. It and the manifest name the images in whose picture data
    libjpeg reports damage. With `strict`, such images are an error.

    Raises:
        IntegrityError: a check fails; the message names the object and the record.
        AwsError: S3 refuses or fails.
        ClusterError: the cluster has failed.
    """
    begun = time.monotonic()
    text = packed.get(MANIFEST)
    facts = manifest.parse(text, packed.url(MANIFEST))
    receipt = _standing(packed, text)
    if receipt:
        progress.note(f"{STAGE}: done on {receipt.finished}")
    else:
        checks, ranges = _prepare(description, packed, facts)
        with connect() as engine, _packed_again_if_wrong(packed):
            found = _check(engine, checks, ranges, facts, progress)
        receipt = _keep(packed, facts, text, found, time.monotonic() - begun)
        progress.note(f"{STAGE}: done in {receipt.seconds} s: {receipt.counted()}")
    refuse_damage(receipt, strict)
    return receipt


@contextmanager
def _packed_again_if_wrong(packed: Place) -> Iterator[None]:
    """If an object is wrong, remove the receipt of pack, which would find all done when it is run again."""
    try:
        yield
    except IntegrityError:
        packed.remove([receipt_name("pack")])
        raise


def _inputs(text: bytes) -> dict[str, str]:
    """What verify depends on: the manifest, and through it every packed file."""
    return {"manifest": hashlib.sha256(text).hexdigest()}


def _standing(packed: Place, text: bytes) -> Receipt | None:
    """The receipt of an earlier verify, if it is for this manifest."""
    kept = packed.find(receipt_name(STAGE))
    receipt = receipts.parse(kept) if kept else None
    return receipt if receipt and receipt.is_for(_inputs(text), {}) else None


def _keep(
    packed: Place, facts: Manifest, text: bytes, found: Mapping[str, _Found], seconds: float
) -> Receipt:
    """Name the damaged images in the manifest, and write the receipt."""
    damaged = {split: of.total.damaged for split, of in found.items()}
    noted = manifest.with_damaged(facts, damaged)
    if noted != facts:
        text = manifest.text_of(noted)
        packed.put(MANIFEST, text)
    counts: dict[str, Any] = {split: of.counts() for split, of in found.items()}
    counts["bytes"] = {"read": sum(of["bytes"] for of in facts.files.values())}
    inputs = _inputs(text)
    outputs = {packed.url(MANIFEST): {"bytes": len(text), "sha256": inputs["manifest"]}}
    findings = {"damaged": {split: images for split, images in damaged.items() if images}}
    made = Receipt(STAGE, inputs, {}, outputs, counts, round(seconds, 1), findings=findings)
    receipt = receipts.stamped(made)
    packed.put_json(receipt_name(STAGE), asdict(receipt))
    return receipt


def _prepare(description: Description, packed: Place, facts: Manifest) -> tuple[Checks, PackedRanges]:
    """Check what the tasks rely on, and say what they have to do."""
    check_description(description, facts, packed.url(MANIFEST))
    with _packed_again_if_wrong(packed):
        labels = _labels(description, packed, facts)
        _check_sizes(packed, facts)
        ranges = parse_ranges(packed.get(RANGES), facts, packed.url(RANGES))
        devkit = _devkit(description, packed)
    seed = int(facts.settings["seed"])
    rules = {
        split.name: Rules(split, labels, class_of_file(split, devkit), seed) for split in description.splits
    }
    return Checks(packed, rules, _samples(ranges)), ranges


def _check(
    engine: Engine, checks: Checks, ranges: PackedRanges, facts: Manifest, progress: Progress
) -> dict[str, _Found]:
    """Check all records and all files; returns what the records of each split have shown."""
    packed = checks.packed
    texts = [name for name in facts.files if name.endswith((".idx", ".lst"))]
    digests = {name: engine.submit(digest_object, packed, name, facts.files[name]["bytes"]) for name in texts}
    found, recs = _check_ranges(engine, checks, ranges, progress)
    for part, digest in recs.items():
        check_digest(packed.url(f"{part}.rec"), digest, facts.files[f"{part}.rec"]["sha256"])
    for name, reference in digests.items():
        check_digest(packed.url(name), engine.value(reference), facts.files[name]["sha256"])
    for split, rules in checks.rules.items():
        check_originals(found[split].total.originals, rules.split)
        check_totals(found[split].total, split, facts, str(packed))
    return found


def _labels(description: Description, packed: Place, facts: Manifest) -> dict[str, int]:
    """Check `classes.tsv`, and return the label of every class."""
    text, url = packed.get(CLASSES), packed.url(CLASSES)
    return labels_of_table(parse_table(text, url), hashlib.sha256(text).hexdigest(), description, facts, url)


def _check_sizes(packed: Place, facts: Manifest) -> None:
    """Compare the sizes of all objects with the manifest, before anything large is read."""
    there = {name: size for split in facts.splits for name, size in packed.list(split).items()}
    for _, part in facts.parts():
        for name in (f"{part}.{kind}" for kind in ("rec", "idx", "lst")):
            expected = facts.files[name]["bytes"]
            if name not in there:
                raise IntegrityError(f"{packed.url(name)}: does not exist: run pack")
            if there[name] != expected:
                raise IntegrityError(
                    f"{packed.url(name)}: has {there[name]} bytes, should have {expected}: run pack again"
                )


def _devkit(description: Description, packed: Place) -> Devkit | None:
    """The contents of the devkit of which pack has left a copy, if the description has one."""
    if description.devkit is None:
        return None
    name = devkit_name(description.devkit.file)
    return devkit_of(packed.get(name), description.devkit, packed.url(name))


def _samples(ranges: PackedRanges) -> dict[str, Sample]:
    """Which records of each part MXNet reads: those that it reads on one machine."""
    samples = {}
    for of_split in ranges.values():
        parts: dict[str, list[PackedRange]] = {}
        for range_ in of_split:
            parts.setdefault(range_.part, []).append(range_)
        for part, mine in parts.items():
            step = sample_step(sum(range_.records for range_ in mine), len(parts))
            samples[part] = Sample(mine[0].first, step)
    return samples


def _check_ranges(
    engine: Engine, checks: Checks, ranges: PackedRanges, progress: Progress
) -> tuple[dict[str, _Found], dict[str, str]]:
    """Check all ranges; returns what those of each split have shown, and the digest of each `.rec` file."""
    todo = [range_ for of_split in ranges.values() for range_ in of_split]
    found = {split: _Found() for split in ranges}
    chains = {range_.part: Chain(engine, "sha256") for range_ in todo}
    firsts: dict[str, int] = {}  # the number of the first range of each part
    sizes: dict[str, int] = {}
    for range_ in todo:
        firsts.setdefault(range_.part, range_.number)
        sizes[range_.part] = sizes.get(range_.part, 0) + range_.rec.size
    for part, size in sizes.items():
        progress.add(f"verify {part}", size)
    shared = engine.share(checks)

    def memory(call: int) -> int:
        return memory_for(todo[call].rec.size)

    def piece(call: int) -> int:
        return todo[call].rec.size

    def pass_on(call: int, data: Any) -> Chain:
        range_ = todo[call]
        chains[range_.part].give(range_.number - firsts[range_.part], data)
        return chains[range_.part]

    calls = ((shared, range_) for range_ in todo)
    for call, checked in engine.run(check, calls, passing_on=pass_on, memory=memory, piece=piece):
        range_ = todo[call]
        found[range_.split].add(range_.number, checked)
        progress.advance(f"verify {range_.part}", range_.rec.size)
    pieces = Counter(range_.part for range_ in todo)
    return found, {part: chain.finish(pieces[part]) for part, chain in chains.items()}
