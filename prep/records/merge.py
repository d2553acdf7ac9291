"""Merge: write the sorted buckets of one split into its `.rec`, `.idx` and `.lst`.

While a bucket is written, the previous one is settled: the three files are flushed to disk, their sizes are
written into the journal, and the bucket is removed. After a kill, the merge first truncates the files to the
sizes in the last entry of the journal.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from prep.archives.journal import UnitJournal
from prep.errors import IntegrityError
from prep.progress import Progress
from prep.records.buckets import BUCKET_BYTES, Buckets, Entry
from prep.records.growth import EMPTY, GrowingPart, Growth, partial_of
from prep.records.recordio import address
from prep.state.files import append, disk_errors, sha256_of, sync_folder
from prep.state.layout import Layout
from prep.state.names import plain_name

PACE_BYTES = 2 * BUCKET_BYTES  # by which the merge may be ahead of verify


def _done() -> Future[None]:
    """A future that is done."""
    future: Future[None] = Future()
    future.set_result(None)
    return future


class _Output:
    """An output file, and the SHA-256 of its bytes so far."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.partial = partial_of(path)
        self.partial.touch()
        if self.partial.stat().st_size < size:
            raise IntegrityError(
                f"{self.partial}: shorter than its journal says: remove {path.parent}/.packing and run again"
            )
        self.digest = sha256_of(self.partial, size)
        self._digesting = _done()
        self._file = self.partial.open("r+b", buffering=0)
        self._file.truncate(size)
        self._file.seek(size)

    def write(self, pieces: Sequence[bytes | memoryview], pool: ThreadPoolExecutor) -> None:
        """Append pieces. They are not durable yet, and the digest may still be processing them."""
        self._digesting.result()  # at most one bucket waits
        self._digesting = pool.submit(self._update, pieces)
        append(self._file, pieces)
        self.size += sum(map(len, pieces))

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def _update(self, pieces: Sequence[bytes | memoryview]) -> None:
        for piece in pieces:
            self.digest.update(piece)

    def close(self) -> None:
        self._file.close()

    def facts(self) -> dict[str, Any]:
        self._digesting.result()
        return {"bytes": self.size, "sha256": self.digest.hexdigest()}


def merge(
    layout: Layout,
    split: str,
    buckets: Buckets,
    labels: dict[str, int],
    journal: UnitJournal,
    progress: Progress,
    growth: Growth,
    part_bytes: int = 0,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Merge the buckets that are not merged yet into one part or, with `part_bytes`, into several.

    `growth` learns of every bucket that is on disk. A part has at least `part_bytes` bytes. Returns
    {part: {file name: {"bytes", "sha256"}}}, by part name.

    Raises:
        IntegrityError: two images have the same name.
    """
    task = f"merge {split}"
    merge = _Merge(layout, split, buckets, labels, journal, progress, task, growth, part_bytes)
    progress.add(task, merge.total, sum(buckets.sizes[: len(merge.merged)]))
    with disk_errors(layout.packed):
        merge.run()
    growth.end_split(split)
    return merge.parts


@dataclass
class _Merge:
    """The merge of one split: its entries in the journal, and its parts that are whole."""

    layout: Layout
    split: str
    buckets: Buckets
    labels: dict[str, int]
    journal: UnitJournal
    progress: Progress
    task: str
    growth: Growth
    part_bytes: int
    merged: list[dict[str, Any]] = field(init=False)
    parts: dict[str, dict[str, dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        """Find out what an earlier run has merged, and finish what it may not have come to."""
        entries = self.journal.entries
        self.merged = [entry for entry in entries if entry.get("merged") == self.split]
        self.parts = {
            plain_name(entry["part"], str(self.journal.path)): entry["files"]
            for entry in entries
            if entry.get("part_of") == self.split
        }
        for part, files in self.parts.items():
            _rename(self.layout, part)  # complete by the journal, but perhaps not yet renamed
            self.growth.change(partial(self._begin_part(part, EMPTY).end, files))
        for number in range(len(self.merged)):
            self.buckets.remove(number)  # merged by the journal, but perhaps not yet removed

    @property
    def total(self) -> int:
        """Bytes of all buckets."""
        return sum(self.buckets.sizes)

    def _begin_part(self, part: str, sizes: Mapping[str, int]) -> GrowingPart:
        return self.growth.begin_part(self.layout, self.split, part, self.total, sizes)

    def run(self) -> None:
        with ThreadPoolExecutor(4, "merge") as pool:  # one thread reads ahead, one settles
            ahead = _Ahead(self.buckets, len(self.merged), pool)
            while (
                not self.parts
                or len(self.merged) < self.buckets.count
                or self.merged[-1]["part"] not in self.parts
            ):
                part = f"{self.split}-{len(self.parts):05d}" if self.part_bytes else self.split
                self._merge_part(part, ahead, pool)

    def _merge_part(self, part: str, ahead: "_Ahead", pool: ThreadPoolExecutor) -> None:
        last = self.merged[-1] if self.merged and self.merged[-1]["part"] == part else EMPTY
        sizes = {kind: last[kind] for kind in EMPTY}
        settling = _done()
        with ExitStack() as stack:
            outputs = {kind: _Output(path, sizes[kind]) for kind, path in self.layout.part(part).items()}
            for output in outputs.values():
                stack.callback(output.close)
            growing = self._begin_part(part, sizes)
            while len(self.merged) < self.buckets.count and (
                not self.part_bytes or outputs["rec"].size < self.part_bytes
            ):
                self.growth.keep_pace(growing, PACE_BYTES)
                count = self.merged[-1]["count"] if self.merged else 0
                count = _merge_bucket(self.split, ahead.take(), self.labels, outputs, count, pool)
                sizes = {kind: output.size for kind, output in outputs.items()}
                entry = {"merged": self.split, "part": part, "bucket": len(self.merged), "count": count}
                self.merged.append(entry | sizes)
                settling.result()
                settling = pool.submit(self._settle, self.merged[-1], outputs, growing)
            settling.result()
            files = {output.path.name: output.facts() for output in outputs.values()}
        self.journal.append({"part_of": self.split, "part": part, "files": files})
        _rename(self.layout, part)
        self.parts[part] = files
        self.growth.change(partial(growing.end, files))

    def _settle(self, entry: dict[str, Any], outputs: Mapping[str, _Output], growing: GrowingPart) -> None:
        """Flush a bucket that has been written, and let its space go."""
        for output in outputs.values():
            output.sync()
        self.journal.append(entry)
        self.growth.change(partial(growing.sizes.update, {kind: entry[kind] for kind in outputs}))
        self.buckets.remove(entry["bucket"])
        self.progress.advance(self.task, self.buckets.sizes[entry["bucket"]])


class _Ahead:
    """The buckets in order. The next one is read and sorted while the current one is written."""

    def __init__(self, buckets: Buckets, first: int, pool: ThreadPoolExecutor) -> None:
        self._buckets = buckets
        self._number = first
        self._pool = pool
        self._next = pool.submit(self._read, first)

    def _read(self, number: int) -> list[Entry]:
        return self._buckets.sorted_entries(number) if number < self._buckets.count else []

    def take(self) -> list[Entry]:
        entries = self._next.result()
        self._number += 1
        self._next = self._pool.submit(self._read, self._number)
        return entries


def _rename(layout: Layout, part: str) -> None:
    for path in layout.part(part).values():
        if partial_of(path).exists():
            partial_of(path).replace(path)
    sync_folder(layout.packed)


@dataclass(frozen=True)
class Addressed:
    """Records with their labels and ids, and their lines in the index and the list, in order."""

    records: list[memoryview]
    idx: bytes
    lst: bytes


def address_entries(
    split: str, entries: Iterable[Entry], labels: Mapping[str, int], first: int, offset: int
) -> Addressed:
    """Give the sorted entries of a bucket, or of several, their labels and ids, in place.

    Args:
        split: name of the split, for messages.
        entries: sorted; their records are writable.
        labels: the label of each class.
        first: index of the first entry within the split.
        offset: where its record begins in the `.rec` file, in bytes.

    Raises:
        IntegrityError: two images have the same name.
    """
    previous = None
    records: list[memoryview] = []
    idx: list[str] = []
    lst: list[str] = []
    for index, entry in enumerate(entries, first):
        if entry.name == previous:
            raise IntegrityError(
                f"pack: two images of split {split} are named {entry.name}: correct the archive"
            )
        previous = entry.name
        label = labels[entry.name.partition("/")[0]]
        record = memoryview(entry.record)
        address(record, label, index)
        records.append(record)
        idx.append(f"{index}\t{offset}\n")
        lst.append(f"{index}\t{label}\t{entry.name}\n")
        offset += len(record)
    return Addressed(records, "".join(idx).encode(), "".join(lst).encode())


def _merge_bucket(
    split: str,
    entries: Sequence[Entry],
    labels: Mapping[str, int],
    outputs: Mapping[str, _Output],
    first: int,
    pool: ThreadPoolExecutor,
) -> int:
    """Append the entries of a bucket, with indices from `first` on; returns the index after the last."""
    made = address_entries(split, entries, labels, first, outputs["rec"].size)
    outputs["rec"].write(made.records, pool)
    outputs["idx"].write([made.idx], pool)
    outputs["lst"].write([made.lst], pool)
    return first + len(entries)
