"""What a kill costs: work that was done, or begun, and has to be done again.

Every value is taken from the outside, right at the kill or from what it left behind: what the archives'
server has sent, how far the process had read an open file, files against journals, parts that S3 holds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from bench.rigs.phases import Seen, Unit, Watch, entries, position, rec_name, units
from bench.rigs.scaled import Limits
from prep.records.buckets import ENTRY

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

FETCHED = "download: bytes fetched again"
READ = "pass: bytes of units read again"
WRITTEN = "organize: image bytes written again"
NOTED = "inventory: bytes of units noted again"
DEALT = "pack, dealing: bytes of units dealt again"
MERGED = "pack, merging: bytes merged again"
VERIFIED = "verify: packed bytes read again"
SENT = "backup: bytes of parts sent again"
RESENT = "backup: whole files sent again"

# What each may come to: the bounds that are measured against.
BOUNDS = {
    FETCHED: "arrival.WINDOW ranges of each archive on its way, which are one and the next; "
    "what is on disk is read once more, for the digest",
    READ: "passes.MOST_BYTES in memory and group_commit.MOST_BYTES not flushed, a unit more each",
    WRITTEN: "group_commit.MOST_BYTES not flushed, and the unit being written",
    NOTED: "group_commit.MOST_BYTES not flushed, and the unit being noted",
    DEALT: "group_commit.MOST_BYTES not flushed, and the unit being dealt; it is flushed at once",
    MERGED: "two buckets, one being written, one flushed; what is merged is read once more, for the digest",
    VERIFIED: "all, as it is a check",
    SENT: "group_commit.MOST_BYTES not noted, and the unit or block being sent; it is noted at once",
    RESENT: "none",
}
ARRIVING = 2  # archives on their way at once: the next begins when all of one has been asked for


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
        first = not (self.value or self.bound)
        if first or value / max(bound, 1) > self.value / max(self.bound, 1):
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
    """Of an undisturbed run: the size of every unit, the unit of every image, the sizes of `.rec` files.

    Images are named as `<split>/<class>/<file>`; `.rec` files are in the order in which they are read.
    """

    units: dict[Unit, int]
    images: dict[str, Unit]
    recs: dict[str, int]
    limits: Limits

    @property
    def largest(self) -> int:
        """Bytes of the largest unit."""
        return max(self.units.values())

    @property
    def unflushed(self) -> int:
        """Bytes of units that may be done by one stage and not in its journal, with the one at work."""
        return self.limits.unflushed + self.largest

    def of(self, some: Iterable[Unit]) -> int:
        """Bytes of some units."""
        return sum(self.units[unit] for unit in some)


def inventoried(watch: Watch) -> tuple[dict[Unit, int], dict[str, Unit]]:
    """The size of every unit, and the unit of every image, as the inventory of a run that has ended has them.

    Images are named as in `Sizes`.
    """
    sizes: dict[Unit, int] = {}
    images: dict[str, Unit] = {}
    inventory = watch.noting.with_suffix(".tsv").read_bytes()
    begin = 0
    for entry in units(watch.noting):
        unit = entry["unit"], entry["offset"]
        sizes[unit] = entry["size"]
        images |= dict.fromkeys(_noted(inventory[begin : entry["bytes"]]), unit)
        begin = entry["bytes"]
    return sizes, images


def _noted(lines: bytes) -> Iterator[str]:
    """The images in whole lines of an inventory, as `<split>/<class>/<file>`."""
    for line in lines.decode().split("\n")[:-1]:
        yield "/".join(line.split("\t")[:2])


def positions(pid: int, seen: Seen) -> dict[str, int]:
    """How far the process is in `.rec` files that it reads, by name."""
    found = {}
    for path, descriptor in seen.read.items():
        name = rec_name(path)
        at = position(pid, descriptor) if name else None
        if name and at is not None:
            found[name] = at
    return found


def fetched(losses: Losses, watch: Watch, limits: Limits, sent: int, kept: int) -> None:
    """After a kill: bytes that the server has sent since the start, and those that need not come again."""
    asked = len(watch.archives)  # a byte of each file, to learn its size and version
    losses.note(FETCHED, max(0, sent - kept - asked), ARRIVING * limits.window * limits.range_bytes)


def passed(losses: Losses, watch: Watch, sizes: Sizes) -> None:
    """After any kill: units of the archives that have left something, and that a journal doesn't know."""
    images = {f"{path.parents[1].name}/{path.parent.name}/{path.name}": path for path in _images(watch)}
    written = {name: path for name, path in images.items() if name in sizes.images}
    begun = {
        watch.organizing: {sizes.images[name] for name in written},
        watch.noting: _units_noted(watch, sizes),
        watch.packing: _units_dealt(watch, sizes),
        watch.sending: set[Unit](),
    }
    have = {
        journal: {(entry["unit"], entry["offset"]) for entry in units(journal)} & sizes.units.keys()
        for journal in begun
    }
    if watch.done("pack"):  # its journal is gone
        have[watch.packing] = set(sizes.units)
    again = {name: path for name, path in written.items() if sizes.images[name] not in have[watch.organizing]}
    losses.note(WRITTEN, sum(path.stat().st_size for path in again.values()), sizes.unflushed)
    losses.note(NOTED, sizes.of(begun[watch.noting] - have[watch.noting]), sizes.unflushed)
    losses.note(DEALT, sizes.of(begun[watch.packing] - have[watch.packing]), sizes.unflushed)
    # Of what has been read each stage leaves something in its turn.
    read = set[Unit]().union(*begun.values(), *(have[journal] for journal in begun if journal.exists()))
    lost = read - set(sizes.units).intersection(*have.values())
    losses.note(READ, sizes.of(lost), sizes.unflushed + sizes.limits.memory + sizes.largest)


def _images(watch: Watch) -> Iterator[Path]:
    return (path for path in watch.place.root.glob("*/*/*") if path.is_file())


def _units_noted(watch: Watch, sizes: Sizes) -> set[Unit]:
    """The units of which the inventory has a line."""
    inventory = watch.noting.with_suffix(".tsv")
    lines = inventory.read_bytes() if inventory.exists() else b""
    return {sizes.images[name] for name in _noted(lines)}


def _units_dealt(watch: Watch, sizes: Sizes) -> set[Unit]:
    """The units with images in the buckets, beyond what pack's journal says of these."""
    known: dict[str, list[int]] = {}
    merged = {(entry["merged"], entry["bucket"]) for entry in entries(watch.packing) if "merged" in entry}
    for entry in units(watch.packing):
        known[entry["split"]] = entry["buckets"]
    found = set()
    for path in watch.packing.parent.glob("*/*"):
        split, number = path.parent.name, int(path.name)
        if (split, number) not in merged:
            begin = known[split][number] if split in known else 0
            found |= {sizes.images[f"{split}/{name}"] for name in _dealt(path.read_bytes()[begin:])}
    return found


def _dealt(data: bytes) -> Iterator[str]:
    """The names of the images in a part of a bucket; of a torn one if that is whole."""
    at = 0
    while at + ENTRY.size <= len(data):
        _, name_bytes, jpeg_bytes = ENTRY.unpack_from(data, at)
        at += ENTRY.size + name_bytes
        if at <= len(data):
            yield data[at - name_bytes : at].decode()
        at += jpeg_bytes


def merged(losses: Losses, watch: Watch) -> None:
    """After a kill while buckets were merged."""
    largest, done = 0, {}
    for entry in entries(watch.packing):
        if "buckets" in entry:
            largest = max(largest, *entry["buckets"])
        if "merged" in entry:
            done[entry["part"]] = entry["rec"]
    partials = list(watch.place.packed.glob("*.rec.partial"))
    beyond = sum(path.stat().st_size - done.get(path.name.partition(".")[0], 0) for path in partials)
    if partials:
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
    # S3 has a part once, other servers list it as often as it was sent.
    again: dict[tuple[str, int], int] = {}
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        orphans += upload["UploadId"] not in known
        for part in _parts(client, bucket, upload["Key"], upload["UploadId"]):
            if (known.get(upload["UploadId"]), part["PartNumber"]) not in numbers:
                again[upload["UploadId"], part["PartNumber"]] = part["Size"]
    bound = sizes.limits.unflushed + max(sizes.largest, sizes.limits.block)
    losses.note(SENT, sum(again.values()), bound)
    return orphans


def _parts(client: "S3Client", bucket: str, key: str, upload: str) -> Iterable[Any]:
    try:
        return client.list_parts(Bucket=bucket, Key=key, UploadId=upload).get("Parts", ())
    except ClientError:  # it ended meanwhile
        return ()


def resent(losses: Losses, watch: Watch) -> None:
    """At the end of a run that was killed: files whose parts were all taken back and sent anew."""
    losses.note(RESENT, sum("forgotten" in entry for entry in entries(watch.sending)), 0)


def after_kill(losses: Losses, watch: Watch, sizes: Sizes, at: dict[str, int]) -> None:
    """What a kill cost on the volumes, when the process was so far in the `.rec` files that it read."""
    passed(losses, watch, sizes)
    merged(losses, watch)
    if at:
        verified(losses, sizes, at)
