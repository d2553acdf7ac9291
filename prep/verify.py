"""Verify: every record of the packed files against the manifest and the inventory, and by MXNet's own reader.

One sequential read of each file. For every record: its frame, its place in `.idx`, its line in `.lst`, its
label against the rank of its class, its place in the shuffle (which also shows that no name occurs twice),
that its image decodes, and for images packed as they are that they are the archive's bytes.
"""

import hashlib
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from prep import classes, inventory, manifest
from prep.buckets import key_of
from prep.description import Description, Split
from prep.errors import IntegrityError
from prep.files import CHUNK
from prep.images import UnreadableImageError, decode
from prep.jpeg import JpegError, inspect
from prep.layout import Layout
from prep.manifest import Manifest
from prep.passes import Consumer, at_work
from prep.progress import Progress
from prep.receipts import Receipt
from prep.recordio import Record, read_records
from prep.units import ClassOf, LoadedUnit, read_blocks

Chunk = bytes | memoryview


class Decoded(NamedTuple):
    """A record: how to name it in a complaint, what it is, its image's name, and the image's examination."""

    where: str
    record: Record
    name: str
    examined: "Future[tuple[str, int]]"


MXNET_SAMPLE = 200  # records a split that MXNet reads too; it would take a day over all of ImageNet
IN_FLIGHT = 64  # records a thread being decoded or waiting: bounds memory, keeps every core busy


def verify(
    description: Description,
    layout: Layout,
    inputs: dict[str, Any],
    progress: Progress,
    threads: int | None = None,
    consumers: Sequence[Consumer] = (),
) -> Receipt:
    """Check all packed files and give the receipt.

    The consumers get the `.rec` files' blocks as they are read, before it is known whether they hold: backup
    sends them on, so that the files are read once, and makes objects of them only after this has returned.

    Raises:
        IntegrityError: something is not as it should be; the message names file and record.
    """
    begun = time.monotonic()
    cv2.setNumThreads(1)
    facts = manifest.read(layout)
    if facts.description_sha256 != description.sha256:
        raise IntegrityError(f"{layout.manifest}: made by another description than this one: run pack again")
    table = classes.read_table(layout)
    labels = {name: label for label, (name, _) in enumerate(table)}
    if len(table) != description.classes:
        raise IntegrityError(
            f"{layout.classes}: {len(table)} classes, the description says {description.classes}"
        )
    _check_hash(layout.classes, facts, manifest.facts_of(layout.classes)["sha256"])
    class_of = classes.class_finder(description, layout)
    counts: dict[str, Any] = {}
    workers = threads or len(os.sched_getaffinity(0))
    # Not in the generators below: one that an error leaves unfinished ends when garbage is collected,
    # and joining threads from within that can wait for ever.
    with ThreadPoolExecutor(workers, "verify") as pool:
        for split in description.splits:
            parts = facts.splits[split.name]["parts"]
            with at_work(consumers, progress) as give:
                records = _records(layout, split, parts, facts, give, progress, pool, workers * IN_FLIGHT)
                found = _verify_split(split, layout, facts, labels, class_of(split), records)
            read = sum(_mxnet_sample(layout, part, MXNET_SAMPLE // len(parts) + 1) for part in parts)
            counts[split.name] = found | {"read by MXNet": read}
    outputs = {str(layout.manifest): manifest.facts_of(layout.manifest)}
    return Receipt("verify", inputs, {}, outputs, counts, round(time.monotonic() - begun, 1))


def _verify_split(
    split: Split,
    layout: Layout,
    facts: Manifest,
    labels: dict[str, int],
    class_of: ClassOf,
    decoded_records: Iterator[Decoded],
) -> dict[str, int]:
    originals = inventory.read(layout, split.name)
    if len(originals) != split.images:
        raise IntegrityError(
            f"verify: split {split.name}: the archive holds {len(originals)} images, the description says "
            f"{split.images}"
        )
    summary = facts.splits[split.name]
    as_is = records = 0
    seen = [False] * len(labels)
    previous = (-1, "")
    seed = int(facts.settings["seed"])
    for where, record, name, examined in decoded_records:
        wnid, _, file = name.partition("/")
        label = labels.get(wnid)
        if label is None or record.label != label:
            raise IntegrityError(f"{where}: label {record.label:g}, its class is {label}: run pack again")
        if split.layout == "flat" and class_of(file) != wnid:
            raise IntegrityError(f"{where}: the ground truth says {class_of(file)}: run pack again")
        original = originals.pop(name, None)
        if original is None:
            raise IntegrityError(f"{where}: no such image in the archive: run pack again")
        place = (key_of(seed, name), name)
        if place <= previous:
            raise IntegrityError(f"{where}: out of the shuffle's order: run pack again")
        previous = place
        problem, crc32 = examined.result()
        if problem:
            raise IntegrityError(f"{where}: {problem}: run pack again")
        as_is += (len(record.image), crc32) == original
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
            f"{layout.packed}: split {split.name}: {as_is} of {records} images are the archive's bytes, "
            "the manifest says "
            f"{summary['as_is']}: run pack again"
        )
    return {"records": records, "as in the archive": as_is, "classes": sum(seen)}


def _chunks(rec: Path, split: Split, give: Callable[[LoadedUnit], bool]) -> Iterator[Chunk]:
    for loaded in read_blocks(rec, split):
        give(loaded)
        yield loaded.data


def _records(
    layout: Layout,
    split: Split,
    parts: Sequence[str],
    facts: Manifest,
    give: Callable[[LoadedUnit], bool],
    progress: Progress,
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[Decoded]:
    """The records of all parts of a split, numbered through."""
    first = count = 0
    for part in parts:
        chunks = _chunks(layout.rec(part), split, give)
        for decoded in _decoded(layout, part, first, facts, chunks, progress, pool, ahead):
            yield decoded
            count += 1
        first = count


def _decoded(
    layout: Layout,
    part: str,
    first: int,
    facts: Manifest,
    chunks: Iterator[Chunk],
    progress: Progress,
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[Decoded]:
    """Every record, the first of that number, its decoding under way; checks `.idx`, `.lst` and hashes."""
    rec, idx, lst = layout.rec(part), layout.idx(part), layout.lst(part)
    task = f"verify {part}"
    waiting: deque[Decoded] = deque()
    try:
        with idx.open("rb") as places, lst.open("rb") as lines:
            progress.add(task, rec.stat().st_size)
            files = [
                _Hashed(chunks),
                *(_Hashed(iter(partial(file.read, CHUNK), b"")) for file in (places, lines)),
            ]
            for number, record in enumerate(read_records(files[0], str(rec)), first):
                name = _check_lines(number, record, rec, files[1].line(), files[2].line())
                where = f"{rec} record {number} ({name})"
                waiting.append(Decoded(where, record, name, pool.submit(_examine, record.image)))
                progress.advance(task, record.end - record.offset)
                if len(waiting) >= ahead:
                    yield waiting.popleft()
            yield from waiting
            for path, file in zip((rec, idx, lst), files, strict=True):
                if file.read(1):
                    raise IntegrityError(f"{path}: longer than {rec.name} has records: run pack again")
                _check_hash(path, facts, file.digest.hexdigest())
    except OSError as error:
        raise IntegrityError(f"{error.filename}: {error.strerror}: run pack") from error


def _check_lines(number: int, record: Record, rec: Path, place: bytes, line: bytes) -> str:
    """Check a record's line in `.idx` and `.lst` and return its name."""
    if place != f"{number}\t{record.offset}\n".encode() or record.id != number:
        raise IntegrityError(
            f"{rec}: record {number} at byte {record.offset} is not so in the index: run pack again"
        )
    try:
        index, label, name = line.decode().rstrip("\n").split("\t")
        if (int(index), float(label)) == (number, record.label):
            return name
    except ValueError:
        pass
    raise IntegrityError(f"{rec}: record {number} is not so in the list: run pack again")


def _examine(image: bytes) -> tuple[str, int]:
    """What is wrong with a packed JPEG ("" for nothing), and its CRC-32."""
    data = memoryview(image)
    try:
        facts = inspect(data)
        pixels = decode(data)
    except (JpegError, UnreadableImageError) as error:
        return str(error), 0
    if pixels.shape[:2] != (facts.height, facts.width):
        return f"decodes to {pixels.shape[1]}x{pixels.shape[0]}, declares {facts.width}x{facts.height}", 0
    return "", zlib.crc32(data)


def _check_hash(path: Path, facts: Manifest, sha256: str) -> None:
    expected = facts.files.get(path.name, {}).get("sha256")
    if sha256 != expected:
        raise IntegrityError(f"{path}: its SHA-256 is not the manifest's: run pack again")


class _Hashed:
    """A file that is read once, chunk by chunk, with the SHA-256 of what was read."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self.digest = hashlib.sha256()
        self._chunks = chunks
        self._buffer = b""
        self._position = 0

    def read(self, size: int, /) -> bytes:
        while len(self._buffer) - self._position < size and self._fill():
            pass
        data = self._buffer[self._position : self._position + size]
        self._position += len(data)
        return data

    def line(self) -> bytes:
        while (end := self._buffer.find(b"\n", self._position)) < 0 and self._fill():
            pass
        return self.read((end + 1 if end >= 0 else len(self._buffer)) - self._position)

    def _fill(self) -> bool:
        more = next(self._chunks, b"")
        self.digest.update(more)
        self._buffer = b"".join((memoryview(self._buffer)[self._position :], more))
        self._position = 0
        return bool(more)


def _mxnet_sample(layout: Layout, part: str, most: int) -> int:
    """Read up to `most` records spread over the file with MXNet, which shares no code with this package.

    Raises:
        IntegrityError: MXNet sees another label, or no picture.
    """
    import mxnet as mx  # slow to import, and wants old versions of everything: only here

    rec = layout.rec(part)
    lines = layout.lst(part).read_text(encoding="utf-8").splitlines()
    wanted = [line.split("\t") for line in lines[:: max(1, len(lines) // most)]]
    reader = mx.recordio.MXIndexedRecordIO(str(layout.idx(part)), str(rec), "r")
    try:
        for index, label, name in wanted:
            header, image = mx.recordio.unpack(reader.read_idx(int(index)))
            if (header.id, header.label) != (int(index), float(label)):
                raise IntegrityError(f"{rec}: MXNet reads record {index} ({name}) otherwise")
            if mx.image.imdecode(image).ndim != 3:
                raise IntegrityError(f"{rec}: MXNet can't decode record {index} ({name})")
    finally:
        reader.close()
    return len(wanted)
