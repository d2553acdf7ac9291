"""Merge: one split's buckets, each sorted, into its `.rec`, `.idx` and `.lst`.

After each bucket the three files are flushed and their sizes journaled; what a kill leaves behind that point
is cut off when the merge goes on.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prep.buckets import Buckets
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
) -> dict[str, dict[str, Any]]:
    """Merge what is not merged yet; returns {file name: {"bytes", "sha256"}} of the three files.

    Raises:
        IntegrityError: two images have the same name.
    """
    paths = {"rec": layout.rec(split), "idx": layout.idx(split), "lst": layout.lst(split)}
    done = [entry for entry in journal.entries if entry.get("merged") == split]
    complete = next((entry for entry in journal.entries if entry.get("complete") == split), None)
    if complete is None:
        last = done[-1] if done else {"count": 0, "rec": 0, "idx": 0, "lst": 0}
        with ExitStack() as stack, disk_errors(layout.packed):
            outputs = {kind: _Output(path, last[kind]) for kind, path in paths.items()}
            for output in outputs.values():
                stack.callback(output.close)
            _merge(split, buckets, labels, journal, progress, outputs, len(done), last["count"])
            files = {output.path.name: output.facts() for output in outputs.values()}
        complete = {"complete": split, "files": files}
        journal.append(complete)
    for path in paths.values():
        partial = path.with_name(path.name + ".partial")
        if partial.exists():
            partial.replace(path)
    sync_folder(layout.packed)
    result: dict[str, dict[str, Any]] = complete["files"]
    return result


def _merge(
    split: str,
    buckets: Buckets,
    labels: dict[str, int],
    journal: UnitJournal,
    progress: Progress,
    outputs: dict[str, _Output],
    first: int,
    index: int,
) -> None:
    task = f"merge {split}"
    progress.add(task, outputs["rec"].size + sum(buckets.sizes[first:]), outputs["rec"].size)
    for number in range(first):
        buckets.remove(number)  # journaled as merged, but perhaps not yet removed
    for number in range(first, buckets.count):
        previous = None
        for entry in buckets.sorted_entries(number):
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
        sizes = {kind: output.size for kind, output in outputs.items()}
        journal.append({"merged": split, "bucket": number, "count": index} | sizes)
        buckets.remove(number)
        progress.advance(task, buckets.sizes[number])
