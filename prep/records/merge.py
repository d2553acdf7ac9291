"""Merge: write the sorted buckets of one split into its `.rec`, `.idx` and `.lst`.

While a bucket is written, the previous one is settled: the three files are flushed to disk, their sizes are
written into the journal, and the bucket is removed. After a kill, the merge first truncates the files to the
sizes in the last entry of the journal.
"""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prep.archives.journal import UnitJournal
from prep.errors import IntegrityError
from prep.progress import Progress
from prep.records.buckets import Buckets, Entry
from prep.records.recordio import address
from prep.state.files import append, disk_errors, sha256_of, sync_folder
from prep.state.layout import Layout
from prep.state.names import plain_name


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
        self.partial = path.with_name(path.name + ".partial")
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
    part_bytes: int = 0,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Merge the buckets that are not merged yet into one part or, with `part_bytes`, into several.

    A part has at least `part_bytes` bytes. Returns {part: {file name: {"bytes", "sha256"}}}, by part name.

    Raises:
        IntegrityError: two images have the same name.
    """
    merged = [entry for entry in journal.entries if entry.get("merged") == split]
    parts = {
        plain_name(entry["part"], str(journal.path)): entry["files"]
        for entry in journal.entries
        if entry.get("part_of") == split
    }
    for part in parts:
        _rename(layout, part)  # complete by the journal, but perhaps not yet renamed
    for number in range(len(merged)):
        buckets.remove(number)  # merged by the journal, but perhaps not yet removed
    task = f"merge {split}"
    progress.add(task, sum(buckets.sizes), sum(buckets.sizes[: len(merged)]))

    def settle(entry: dict[str, Any], outputs: Iterable[_Output]) -> None:
        for output in outputs:
            output.sync()
        journal.append(entry)
        buckets.remove(entry["bucket"])
        progress.advance(task, buckets.sizes[entry["bucket"]])

    with ThreadPoolExecutor(4, "merge") as pool, disk_errors(layout.packed):  # one reads ahead, one settles
        following = _Ahead(buckets, len(merged), pool)
        while not parts or len(merged) < buckets.count or merged[-1]["part"] not in parts:
            part = f"{split}-{len(parts):05d}" if part_bytes else split
            last = merged[-1] if merged and merged[-1]["part"] == part else {"rec": 0, "idx": 0, "lst": 0}
            settling = _done()
            with ExitStack() as stack:
                outputs = {kind: _Output(path, last[kind]) for kind, path in _paths(layout, part).items()}
                for output in outputs.values():
                    stack.callback(output.close)
                while len(merged) < buckets.count and (not part_bytes or outputs["rec"].size < part_bytes):
                    number = len(merged)
                    count = merged[-1]["count"] if merged else 0
                    count = _merge_bucket(split, following.take(), labels, outputs, count, pool)
                    sizes = {kind: output.size for kind, output in outputs.items()}
                    entry = {"merged": split, "part": part, "bucket": number, "count": count} | sizes
                    merged.append(entry)
                    settling.result()
                    settling = pool.submit(settle, entry, outputs.values())
                settling.result()
                parts[part] = {output.path.name: output.facts() for output in outputs.values()}
            journal.append({"part_of": split, "part": part, "files": parts[part]})
            _rename(layout, part)
    return parts


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


def _paths(layout: Layout, part: str) -> dict[str, Path]:
    return {"rec": layout.rec(part), "idx": layout.idx(part), "lst": layout.lst(part)}


def _rename(layout: Layout, part: str) -> None:
    for path in _paths(layout, part).values():
        partial = path.with_name(path.name + ".partial")
        if partial.exists():
            partial.replace(path)
    sync_folder(layout.packed)


def _merge_bucket(
    split: str,
    entries: Sequence[Entry],
    labels: dict[str, int],
    outputs: dict[str, _Output],
    first: int,
    pool: ThreadPoolExecutor,
) -> int:
    """Append the entries of a bucket, with indices from `first` on; returns the index after the last."""
    previous = None
    records: list[memoryview] = []
    idx: list[str] = []
    lst: list[str] = []
    offset = outputs["rec"].size
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
    outputs["rec"].write(records, pool)
    outputs["idx"].write(["".join(idx).encode()], pool)
    outputs["lst"].write(["".join(lst).encode()], pool)
    return first + len(entries)
