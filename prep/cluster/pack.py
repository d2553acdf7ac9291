"""Pack on a cluster: the driver, which decides what is to be done. The tasks of the cluster do it.

Each archive is cut into units, and each unit is dealt by a task. When all are dealt, each range of buckets is
merged by a task and becomes a part of the upload of its `.rec` file, which S3 puts together. What is done is
noted in objects beside the packed files, so that the driver, a worker or a machine may end at any time.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from prep.cluster import ranges
from prep.cluster.archives import Found, find_archives, read_devkit_of
from prep.cluster.deal_all import Job, deal_split
from prep.cluster.engine import Engine
from prep.cluster.merge_all import merge_all
from prep.cluster.place import Place
from prep.cluster.uploads import abort_upload
from prep.cluster.work import CLASSES, KEPT, MANIFEST, PACKING, PLAN, RANGES, Work, devkit_name, receipt_name
from prep.datasets.classes import class_table
from prep.datasets.description import Description
from prep.errors import ClusterError, DescriptionError
from prep.progress import Progress
from prep.records.buckets import bucket_count
from prep.records.dealing import PackSettings, check_dealt, classes_seen, draft_manifest
from prep.records.manifest import PACKED_FILE, Manifest
from prep.state import receipts
from prep.state.receipts import Receipt

STAGE = "pack"
PREVIEWS = ("preview.html", "preview.png")  # of a backup: they would not show what is packed here


@dataclass(frozen=True)
class Order:
    """What is to be packed, from where, to where, and how."""

    description: Description
    source: Place
    packed: Place
    settings: PackSettings
    allow_unreadable: int = 0


Plan = dict[str, Any]
Connect = Callable[[], AbstractContextManager[Engine]]


def pack(order: Order, connect: Connect, progress: Progress) -> Receipt:
    """Pack all splits on the cluster that `connect` gives, and return the receipt.

    Raises:
        SourceError, IntegrityError: an archive is not there, is not what the description says, or has too
            many unreadable images.
        AwsError: S3 refuses or fails.
        ClusterError: the cluster has failed, or another job works in the same place.
    """
    begun = time.monotonic()
    found = find_archives(order.source, order.description)
    inputs = _inputs(order, found)
    standing = _standing(order, inputs)
    if standing:
        progress.note(f"{STAGE}: done on {standing.finished}")
        order.packed.remove(order.packed.list(PACKING))  # a kill may have come before this
        return standing
    work = _work(order, found)
    plan = _plan(inputs, work)
    work = replace(work, plan=_name_of(plan))
    _begin(order, plan, progress)
    with connect() as engine:
        packed = _pack(Job(engine, work, engine.share(work), progress), order, found, plan)
    outputs = {order.packed.url(name): dict(facts) for name, facts in packed.files.items()}
    counts = {name: summary["records"] for name, summary in packed.splits.items()}
    seconds = round(time.monotonic() - begun, 1)
    receipt = receipts.stamped(Receipt(STAGE, inputs, asdict(order.settings), outputs, counts, seconds))
    order.packed.put_json(receipt_name(STAGE), asdict(receipt))
    order.packed.remove(order.packed.list(PACKING))
    progress.note(f"{STAGE}: done in {seconds} s: {receipt.counted()}")
    return receipt


def _pack(job: Job, order: Order, found: Mapping[str, Found], plan: Plan) -> Manifest:
    """Do what is not done, and write the manifest last: it exists only beside all files that it names."""
    dealt = {split: deal_split(job, split, found[split].checked) for split in _smallest_first(found)}
    dealt = {split.name: dealt[split.name] for split in order.description.splits}
    units = [facts for of_split in dealt.values() for facts in of_split]
    check_dealt(order.description, units, order.allow_unreadable)
    labels, table = class_table(order.description, job.work.devkit, classes_seen(units))
    draft = draft_manifest(order.description, job.work.made_with, len(labels), units)
    _check_alone(order.packed, plan)
    merged = merge_all(job, dealt, labels)
    order.packed.put(CLASSES, table)
    if devkit := order.description.devkit:  # verify has no other source
        order.packed.put(devkit_name(devkit.file), order.source.get(devkit.file))
    order.packed.put_json(RANGES, merged.table)
    facts_of_table = {"bytes": len(table), "sha256": sha256(table).hexdigest()}
    packed = replace(
        draft,
        splits={name: facts | {"parts": list(merged.parts[name])} for name, facts in draft.splits.items()},
        files={CLASSES: facts_of_table} | dict(merged.files),
    )
    _check_alone(order.packed, plan)
    order.packed.put_json(MANIFEST, asdict(packed))
    return packed


def _inputs(order: Order, found: Mapping[str, Found]) -> dict[str, Any]:
    archives = {
        each.archive.archive.file: {"bytes": each.archive.size, "etag": each.archive.etag}
        for each in found.values()
    }
    return {"description": order.description.sha256, "archives": archives}


def _smallest_first(found: Mapping[str, Found]) -> list[str]:
    """The splits; a mistake in the small one should show before the large one is dealt."""
    return sorted(found, key=lambda split: found[split].archive.size)


def _standing(order: Order, inputs: Mapping[str, Any]) -> Receipt | None:
    """The receipt of an earlier job, if all that it has made is there."""
    text = order.packed.find(receipt_name(STAGE))
    receipt = receipts.parse(text) if text else None
    if receipt is None or not receipt.is_for(inputs, asdict(order.settings)):
        return None
    there = order.packed.list("")
    sizes = {order.packed.url(name): size for name, size in there.items()}
    whole = all(sizes.get(url) == facts.get("bytes") for url, facts in receipt.outputs.items())
    devkit = order.description.devkit
    needed = {MANIFEST, RANGES, *([devkit_name(devkit.file)] if devkit else [])}
    return receipt if whole and needed <= there.keys() else None


def _work(order: Order, found: Mapping[str, Found]) -> Work:
    return Work(
        order.packed,
        "",
        {split.name: split for split in order.description.splits},
        {name: each.archive for name, each in found.items()},
        {name: bucket_count(each.archive.size) for name, each in found.items()},
        order.settings,
        order.settings.made_with(),
        read_devkit_of(order.source, order.description),
        ranges.RANGE_BYTES,
    )


def _plan(inputs: Mapping[str, Any], work: Work) -> Plan:
    """All that the files depend on."""
    return dict(inputs) | {
        "made_with": dict(work.made_with),
        "buckets": dict(work.buckets),
        "range_bytes": work.range_bytes,
    }


def _name_of(plan: Plan) -> str:
    return sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:8]


def _check_alone(packed: Place, plan: Plan) -> None:
    """Check that no other job has begun in the same place, or has ended there.

    Raises:
        ClusterError: one has.
    """
    if packed.find_json(PLAN) != plan:
        raise ClusterError(
            f"{packed}: another `pack` works there, or has just ended: wait for its end, then run again"
        )


def _begin(order: Order, plan: Plan, progress: Progress) -> None:
    """Note what is being made, and remove what is there of anything else.

    Raises:
        DescriptionError: the packed files of another data set are there.
    """
    packed = order.packed
    if packed.find_json(PLAN) == plan:
        return
    before = packed.find_json(MANIFEST) or {}
    if before.get("dataset", order.description.name) != order.description.name:
        raise DescriptionError(
            f"--packed {packed}: holds the packed files of {before['dataset']}: give another place, or "
            "remove them"
        )
    there = packed.list("")
    for name in there:
        if name.startswith(PACKING) and name.endswith(".upload.json"):
            noted = packed.find_json(name)
            if noted:
                abort_upload(packed, name.rpartition("/")[2].removesuffix(".upload.json"), noted["upload"])
    old = [
        name for name in there if name.startswith((PACKING, KEPT)) or PACKED_FILE(name) or name in PREVIEWS
    ]
    if old or MANIFEST in there:
        progress.note(f"{packed}: removing what was packed there before, {len(old)} objects")
    # First what vouches for the rest: it must not stand beside files of other settings.
    packed.remove(
        [name for name in (MANIFEST, PLAN, *map(receipt_name, ("pack", "verify"))) if name in there]
    )
    packed.remove(old)
    packed.put_json(PLAN, plan)
