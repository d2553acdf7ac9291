"""The last words of a run: what was made, where, what it took, what needs attention, what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.filesize import decimal

from prep import contract
from prep.job import Job
from prep.progress import DATASET_VOLUME, DOWN, UP, WORK_VOLUME, duration, one_line
from prep.records import manifest
from prep.records.manifest import Manifest
from prep.state.receipts import Receipt
from prep.usage import BOTH_VOLUMES

MOST_NAMES = 3  # images named on the screen; the manifest names them all
LEAST_WAIT = 0.05  # share of a part's time that is worth telling


def of_run(job: Job, done: Sequence[Receipt]) -> str:
    """One screen about a run that has done everything; its receipt is the last of `done`."""
    receipts = {receipt.stage: receipt for receipt in done}
    packed = manifest.read(job.layout)
    used = receipts["run"].counts
    table = [
        *rows("made", _made(job, packed, receipts)),
        *rows("took", _took(used["parts"])),
        *rows("moved", [_moved(used["bytes"])]),
        *rows("attention", _attention(packed, receipts) or ["nothing"]),
        *rows("next", _next(job)),
    ]
    return "\n".join(table)


def rows(title: str, lines: Sequence[str]) -> list[str]:
    """Lines under one title, which stands before the first of them."""
    return [f"{title if not number else '':<10} {one_line(line)}" for number, line in enumerate(lines)]


def _made(job: Job, packed: Manifest, receipts: Mapping[str, Receipt]) -> list[str]:
    lines = []
    for split, facts in packed.splits.items():
        size = sum(packed.files[f"{part}.rec"]["bytes"] for part in facts["parts"])
        files = "1 file" if len(facts["parts"]) == 1 else f"{len(facts['parts'])} files"
        lines.append(
            f"{split}: {facts['records']:,} images, {decimal(size)} in {files} in {job.layout.packed}"
        )
    if "preview" in receipts:
        lines.append(f"preview: {job.layout.preview}")
    if "organize" in receipts:
        lines.append(f"class folders in {job.layout.root}")
    if "backup" in receipts:
        prefix = contract.packed_prefix(job.description.name).split("/")[0]
        objects = receipts["backup"].counts["objects"]
        lines.append(f"backup: {objects} objects in s3://{job.bucket}/{prefix}/")
    if "snapshot" in receipts:
        lines.append(f"snapshot: {receipts['snapshot'].counts['snapshot']}")
    return lines


def _took(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for name, part in parts.items():
        waits = sorted(part["waited"].items(), key=lambda one: -one[1])
        told = [f"{what} {duration(s)}" for what, s in waits if s > LEAST_WAIT * part["seconds"] and s >= 1]
        waited = f", waiting for: {', '.join(told)}" if told else ""
        lines.append(f"{name}: {duration(part['seconds'])}{waited}")
    return lines


def _moved(count: Mapping[str, int]) -> str:
    parts = [
        f"{direction} {decimal(int(count[direction]))}" for direction in (DOWN, UP) if direction in count
    ]
    parts += [
        f"{volume} {decimal(int(count[f'{volume} read']))} read, "
        f"{decimal(int(count[f'{volume} written']))} written"
        for volume in (WORK_VOLUME, DATASET_VOLUME, BOTH_VOLUMES)
        if f"{volume} read" in count
    ]
    return "; ".join(parts) or "nothing"


def _attention(packed: Manifest, receipts: Mapping[str, Receipt]) -> list[str]:
    lines = [] if "preview" in receipts else ["no preview was made: the log says why; run again to make it"]
    damaged = receipts["verify"].findings.get("damaged", {})
    for split, facts in packed.splits.items():
        for what, found in (
            ("left out", facts["unreadable"]),
            ("damaged inside", damaged.get(split, {})),
            ("decoded and encoded again for a special reason", facts["care"]),
        ):
            if found:
                some = ", ".join(list(found)[:MOST_NAMES]) + (", …" if len(found) > MOST_NAMES else "")
                lines.append(f"{split}: {len(found)} images {what}: {some} (see MANIFEST.json)")
    return lines


def _next(job: Job) -> list[str]:
    name = job.description.name
    options = f"{job.description.options} {job.layout.options}".strip()
    if job.volume:
        parameter = contract.snapshot_parameter(name)
        return [
            f"python -m prep.owner launch --dataset {name}   (on your own machine)",
            f"the snapshot's ID is in the parameter {parameter}",
        ]
    if job.bucket:
        return [f"python -m prep verify {options} --against s3://{job.bucket}"]
    return [f"python -m prep backup {options} --bucket BUCKET   (or read {job.layout.packed} as it is)"]
