"""`export`: the packed images in another form, block by block. Finished blocks are never written again."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from prep.errors import DescriptionError, SpaceError
from prep.export.folders import Folder
from prep.export.index import REMEDY, Block, Exported, Index, Seldom, continued
from prep.export.webdataset import Shards
from prep.progress import Progress
from prep.records.access import Records, Sample, read_manifest
from prep.records.manifest import Manifest
from prep.state.files import write_whole
from prep.state.layout import Layout

Format = Literal["webdataset", "folders"]
FORMATS: tuple[Format, ...] = get_args(Format)
MIB = 1 << 20
SPARE = 64 * MIB  # bytes left free
FILE_OVERHEAD = (
    4096  # bytes of disk for each image beside its own: tar headers, or the rest of a file's block
)


class Writer(Protocol):
    """Writes the blocks of one split."""

    def begin(self) -> None:
        """Make the folder."""

    def has(self, block: Block) -> bool:
        """Whether a finished block is still there."""

    def write(self, number: int, first: int, samples: Iterable[Sample]) -> Block:
        """Write a block, durably and under its final name only when it is whole."""

    def finish(self) -> None:
        """Do what remains when all blocks are written."""


def export(
    layout: Layout, folder: Path, form: Format, splits: Sequence[str], shard_mib: int, progress: Progress
) -> Index:
    """Export splits, in the order of their `.rec` files. Memory holds some records at a time.

    Args:
        layout: where the packed files are.
        folder: where to write. What an earlier, interrupted export finished there stays.
        form: what to write.
        splits: their names; none stands for all.
        shard_mib: about the size of a block, in MiB of the `.rec` files.
        progress: shows the bytes done, a task for each split.

    Returns:
        the index, which is also in the folder.

    Raises:
        DescriptionError: there is no such split, or the folder has something else.
        IntegrityError: a packed file is damaged.
        SpaceError: the disk is full, or would become full.
    """
    packed = read_manifest(layout)
    records = {split: Records(layout.packed, split) for split in splits or packed.splits}
    with _locked(folder):
        index = continued(folder, Index(packed.dataset, form, shard_mib))
        for split in records:
            source = {f"{part}.rec": packed.files[f"{part}.rec"]["sha256"] for part in _parts(packed, split)}
            found = index.splits.setdefault(split, Exported(source, len(records[split])))
            if found.source != source:
                raise DescriptionError(f"{folder}: its {split} comes from other packed files: {REMEDY}")
        index.write(folder)
        write_whole(folder / layout.classes.name, layout.classes.read_bytes())
        for split, of in records.items():
            _export_split(of, split, folder, index, progress)
    return index


def _parts(packed: Manifest, split: str) -> list[str]:
    return [part for of, part in packed.parts() if of == split]


def _export_split(records: Records, split: str, folder: Path, index: Index, progress: Progress) -> None:
    writer: Writer = Shards(folder, split) if index.format == "webdataset" else Folder(folder, split)
    found = index.splits[split]
    sizes = records.stored_bytes()
    done = {block.first: block for block in found.blocks if writer.has(block)}
    runs = blocks(sizes, index.shard_mib * MIB)
    left = [(number, run) for number, run in enumerate(runs) if run.start not in done]
    bytes_left = sum(int(sizes[run.start : run.stop].sum()) for _, run in left)
    progress.add(split, int(sizes.sum()), int(sizes.sum()) - bytes_left)
    if left:
        _check_space(folder, bytes_left + FILE_OVERHEAD * sum(len(run) for _, run in left))
        found.complete = False
        writer.begin()

    def note() -> None:
        found.blocks = [done[first] for first in sorted(done)]
        index.write(folder)

    note_seldom = Seldom(note)
    try:
        for number, run in left:
            samples = _counted(records[run.start : run.stop], split, progress)
            done[run.start] = writer.write(number, run.start, samples)
            note_seldom()
    finally:  # also after Ctrl-C; after a kill, the blocks that were not noted are written again
        note()
    writer.finish()
    found.complete = True
    note()


def blocks(sizes: "np.ndarray[tuple[int], np.dtype[np.int64]]", block_bytes: int) -> list[range]:
    """Records as runs: a run ends with the record that reaches the next multiple of `block_bytes`."""
    places = (np.cumsum(sizes) - sizes) // block_bytes
    firsts = [0, *(np.flatnonzero(np.diff(places)) + 1).tolist(), len(sizes)]
    return [range(first, end) for first, end in pairwise(firsts) if first < end]


def _counted(samples: Records, split: str, progress: Progress) -> Iterator[Sample]:
    for size, sample in zip(samples.stored_bytes().tolist(), samples, strict=True):
        yield sample
        progress.advance(split, size)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise SpaceError(
            f"{folder}: {free / 1e9:.1f} GB free, {(needed + SPARE) / 1e9:.1f} GB needed: make room, or give "
            "another folder with --to"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder, and lock it against a second export.

    Raises:
        DescriptionError: it can't be made or written to, or another process holds the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DescriptionError(
            f"{folder}: {error.strerror}: give a folder with --to that you can write to"
        ) from error
    try:
        if not os.access(folder, os.W_OK):
            raise DescriptionError(f"{folder}: not writable: give a folder with --to that you can write to")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DescriptionError(f"{folder}: another export writes to it: wait until it ends") from None
    finally:
        os.close(handle)
