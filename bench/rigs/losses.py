"""What a kill costs: work that was done, or begun, and has to be done again.

Every value is taken from the outside, right at the kill or from what it left behind: what the archives'
server has sent, how far the process had read an open file, files against journals, parts that S3 holds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from bench.rigs.phases import DOWNLOAD, MERGE, Seen, Watch, entries, position, units
from prep.records.buckets import ENTRY
from prep.sources.arrival import CONNECTIONS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

FETCHED = "download: bytes fetched again"
READ = "pass: units read again"
WRITTEN = "organize: image bytes written again"
DEALT = "pack, dealing: images dealt again"
MERGED = "pack, merging: bytes merged again"
VERIFIED = "verify: packed bytes read again"
SENT = "backup: bytes of parts sent again"
RESENT = "backup: whole files sent again"

# What each may come to: the bounds that are measured against.
BOUNDS = {
    FETCHED: "one range a connection; what is on disk is read once more, for the digest",
    READ: "the units in memory; of these one is being written out, two are being prepared, one is being sent",
    WRITTEN: "one unit",
    DEALT: "one unit",
    MERGED: "two buckets, one being written, one flushed; what is merged is read once more, for the digest",
    VERIFIED: "all, as it is a check",
    SENT: "one unit, or one block of a packed file",
    RESENT: "none",
}

# One unit at work and one waiting in each consumer's queue, one that the reader holds, one that pack has
# pending: what has been read of the archives and may not be in every journal yet (prep/archives/passes.py).
UNITS_IN_MEMORY = 4


@dataclass
class Worst:
    """The most that any kill cost, of one kind: what it may cost, and at how many kills there was any.

    Both are of the kill with the largest share of what it may cost.
    """

    value: float = 0.0
    bound: float = 0.0
    kills: int = 0

    def note(self, value: float, bound: float) -> None:
        """One kill more."""
        self.kills += value > 0
        if not self.bound or value / max(bound, 1) > self.value / max(self.bound, 1):
            self.value, self.bound = value, bound


@dataclass
class Losses:
    """The worst of every kind over all kills."""

    worst: dict[str, Worst] = field(default_factory=dict)

    def note(self, kind: str, value: float, bound: float) -> None:
        """One kill more."""
        self.worst.setdefault(kind, Worst()).note(value, bound)


@dataclass(frozen=True)
class Sizes:
    """Of an undisturbed run: the units of every archive as (offset, size), and the sizes of `.rec` files.

    Both are in the order in which they are read. `images` is the most images of a unit, `block` the most
    bytes of a `.rec` file that are read at once.
    """

    units: dict[str, list[tuple[int, int]]]
    recs: dict[str, int]
    images: int
    block: int

    @property
    def largest(self) -> int:
        """Bytes of the largest unit."""
        return max(size for of in self.units.values() for _, size in of)


def positions(pid: int, seen: Seen, watch: Watch) -> dict[str, int]:
    """How far the process is in archives and `.rec` files, by name."""
    found = {}
    for path, descriptor in seen.files.items():
        name = Path(path).name
        if name in watch.images or name.endswith(".rec"):
            at = position(pid, descriptor)
            if at is not None:
                found[name] = at
    return found


def fetched(losses: Losses, watch: Watch, sent: int, kept: int) -> None:
    """After a kill: bytes that the server has sent since the start, and those that need not come again."""
    asked = len(watch.archives)  # a byte of each file, to learn its size and version
    losses.note(FETCHED, max(0, sent - kept - asked), CONNECTIONS * watch.range_bytes)


def passed(losses: Losses, watch: Watch, sizes: Sizes, at: dict[str, int]) -> None:
    """After a kill within the pass over the archives, which was read up to there."""
    journals = (watch.organizing, watch.packing, watch.sending)
    begun = []
    for name, of in _up_to_open(sizes.units, at):
        begun += [(name, offset) for offset, _ in of if name not in at or offset < at[name]]
    lost = 0
    for journal in journals:
        have = {(entry["unit"], entry["offset"]) for entry in units(journal)}
        lost = max(lost, sum(unit not in have for unit in begun))
    losses.note(READ, lost, UNITS_IN_MEMORY)
    losses.note(WRITTEN, _written_since(watch), sizes.largest)
    losses.note(DEALT, _dealt_since(watch), sizes.images)


def _written_since(watch: Watch) -> int:
    """Bytes of image files that are newer than organize's last journal entry."""
    if not watch.organizing.exists():
        return 0
    committed = watch.organizing.stat().st_mtime_ns
    facts = (path.stat() for path in watch.place.root.glob("*/*/*") if path.is_file())
    return sum(fact.st_size for fact in facts if fact.st_mtime_ns > committed)


def _dealt_since(watch: Watch) -> int:
    """Images in the buckets beyond what pack's journal says of them."""
    sizes: dict[str, list[int]] = {}
    merged = {(entry["merged"], entry["bucket"]) for entry in entries(watch.packing) if "merged" in entry}
    for entry in units(watch.packing):
        sizes[entry["split"]] = entry["buckets"]
    images = 0
    for path in watch.packing.parent.glob("*/*"):
        split, number = path.parent.name, int(path.name)
        if (split, number) not in merged:
            images += _images(path.read_bytes()[(sizes[split][number] if split in sizes else 0) :])
    return images


def _images(data: bytes) -> int:
    """How many images a part of a bucket holds, a torn one counted."""
    count = at = 0
    while at < len(data):
        count += 1
        if at + ENTRY.size > len(data):
            break
        _, name_bytes, jpeg_bytes = ENTRY.unpack_from(data, at)
        at += ENTRY.size + name_bytes + jpeg_bytes
    return count


def merged(losses: Losses, watch: Watch) -> None:
    """After a kill while buckets were merged."""
    largest, done = 0, {}
    for entry in entries(watch.packing):
        if "buckets" in entry:
            largest = max(largest, *entry["buckets"])
        if "merged" in entry:
            done[entry.get("part", entry["merged"])] = entry["rec"]
    partials = watch.place.packed.glob("*.rec.partial")
    beyond = sum(path.stat().st_size - done.get(path.name.partition(".")[0], 0) for path in partials)
    # A bucket holds names and sizes too, so that it is larger than its records.
    losses.note(MERGED, max(0, beyond), 2 * largest)


def verified(losses: Losses, sizes: Sizes, at: dict[str, int]) -> None:
    """After a kill within verify, which reads one `.rec` file after the other."""
    read = sum(at.get(name, size) for name, size in _up_to_open(sizes.recs, at))
    losses.note(VERIFIED, read, sum(sizes.recs.values()))


def _up_to_open(files: Mapping[str, T], at: dict[str, int]) -> Iterator[tuple[str, T]]:
    """Of files that are read one after the other, those up to the one that is open."""
    for name, facts in files.items():
        yield name, facts
        if name in at:
            return


def sent(losses: Losses, watch: Watch, sizes: Sizes, client: "S3Client", bucket: str) -> int:
    """After any kill: what S3 holds and the journal doesn't know; returns how many uploads are of no use."""
    journal = entries(watch.sending)
    known = {entry["upload"]: entry["of"] for entry in journal if "upload" in entry}
    numbers = {
        (entry["unit"], part["PartNumber"]) for entry in journal if "unit" in entry for part in entry["parts"]
    }
    orphans = 0
    again: dict[
        tuple[str, int], int
    ] = {}  # S3 has a part once, other servers list it as often as it was sent
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        orphans += upload["UploadId"] not in known
        for part in _parts(client, bucket, upload["Key"], upload["UploadId"]):
            if (known.get(upload["UploadId"]), part["PartNumber"]) not in numbers:
                again[upload["UploadId"], part["PartNumber"]] = part["Size"]
    losses.note(SENT, sum(again.values()), max(sizes.largest, sizes.block))
    return orphans


def _parts(client: "S3Client", bucket: str, key: str, upload: str) -> Iterable[Any]:
    try:
        return client.list_parts(Bucket=bucket, Key=key, UploadId=upload).get("Parts", ())
    except ClientError:  # it ended meanwhile
        return ()


def resent(losses: Losses, watch: Watch) -> None:
    """At the end of a run that was killed: files whose parts were all taken back and sent anew."""
    losses.note(RESENT, sum("forgotten" in entry for entry in entries(watch.sending)), 0)


def after_kill(losses: Losses, watch: Watch, sizes: Sizes, phases: list[str], at: dict[str, int]) -> None:
    """What a kill in these phases cost on the volumes."""
    if DOWNLOAD in phases:
        return
    if MERGE in phases:
        merged(losses, watch)
    elif any(name in watch.images for name in at):
        passed(losses, watch, sizes, at)
    elif any(name.endswith(".rec") for name in at):
        verified(losses, sizes, at)
