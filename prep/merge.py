"""Merge: one split's buckets, each sorted, into its `.rec`, `.idx` and `.lst`.

After each bucket the three files are flushed and their sizes journaled; what a kill leaves behind that point
is cut off when the merge goes on.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from prep.buckets import Buckets, Entry
from prep.errors import IntegrityError
from prep.files import disk_errors, sha256_of, sync_folder
from prep.layout import Layout
from prep.passes import UnitJournal
from prep.progress import Progress
from prep.recordio import image_record


class _Output:
    """A file that grows, and the SHA-256 of what is in it."""

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
        self._file = self.partial.open("r+b")
        self._file.truncate(size)
        self._file.seek(size)

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)

    def flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def facts(self) -> dict[str, Any]:
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
    """Merge what is not merged yet into one part, or several of `part_bytes` and up to a bucket more.

    Returns {part: {file name: {"bytes", "sha256"}}}, the part being its files' name without suffix.

    Raises:
        IntegrityError: two images have the same name.
    """
    merged = [entry for entry in journal.entries if entry.get("merged") == split]
    parts = {entry["part"]: entry["files"] for entry in journal.entries if entry.get("part_of") == split}
    for part in parts:
        _rename(layout, part)  # journaled as whole, but perhaps not yet renamed
    for number in range(len(merged)):
        buckets.remove(number)  # journaled as merged, but perhaps not yet removed
    task = f"merge {split}"
    progress.add(task, sum(buckets.sizes), sum(buckets.sizes[: len(merged)]))
    while not parts or len(merged) < buckets.count or merged[-1]["part"] not in parts:
        part = f"{split}-{len(parts):05d}" if part_bytes else split
        last = merged[-1] if merged and merged[-1]["part"] == part else {"rec": 0, "idx": 0, "lst": 0}
        with ExitStack() as stack, disk_errors(layout.packed):
            outputs = {kind: _Output(path, last[kind]) for kind, path in _paths(layout, part).items()}
            for output in outputs.values():
                stack.callback(output.close)
            following = stack.enter_context(_Ahead(buckets, len(merged)))
            while len(merged) < buckets.count and (not part_bytes or outputs["rec"].size < part_bytes):
                number = len(merged)
                count = merged[-1]["count"] if merged else 0
                count = _merge_bucket(split, following.take(), labels, outputs, count)
                sizes = {kind: output.size for kind, output in outputs.items()}
                entry = {"merged": split, "part": part, "bucket": number, "count": count} | sizes
                journal.append(entry)
                merged.append(entry)
                buckets.remove(number)
                progress.advance(task, buckets.sizes[number])
            parts[part] = {output.path.name: output.facts() for output in outputs.values()}
        journal.append({"part_of": split, "part": part, "files": parts[part]})
        _rename(layout, part)
    return parts


class _Ahead:
    """Buckets in order, the next one read and sorted while the last is written: a disk does both at once."""

    def __init__(self, buckets: Buckets, first: int) -> None:
        self._buckets = buckets
        self._number = first
        self._pool = ThreadPoolExecutor(1, "merge")
        self._next = self._pool.submit(self._read, first)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

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
    split: str, entries: Sequence[Entry], labels: dict[str, int], outputs: dict[str, _Output], index: int
) -> int:
    """Append a bucket's entries, the first with that index; returns the index after the last. Durable."""
    previous = None
    for entry in entries:
        if entry.name == previous:
            raise IntegrityError(
                f"pack: two images of split {split} are named {entry.name}: mend the archive"
            )
        previous = entry.name
        label = labels[entry.name.partition("/")[0]]
        outputs["idx"].write(f"{index}\t{outputs['rec'].size}\n".encode())
        outputs["lst"].write(f"{index}\t{label}\t{entry.name}\n".encode())
        outputs["rec"].write(image_record(label, index, entry.jpeg))
        index += 1
    for output in outputs.values():
        output.flush()
    return index
