"""WebDataset: tar shards in which the files of a sample, `<key>.jpg` and `<key>.cls`, follow one another.

The key is the part of a name up to the first dot of its last component; `.cls` is the label as a decimal.
No two samples of a shard have the same key: `tar -x` would write one over the other.
https://github.com/webdataset/webdataset#the-webdataset-format
"""

import hashlib
import os
import re
import tarfile
from collections.abc import Container, Iterable
from itertools import chain, count
from pathlib import Path

from prep.export.index import Block
from prep.records.access import Sample
from prep.state.files import disk_errors, sync_folder
from prep.state.names import relative_path

MTIME = 315532800  # 1980-01-01: the same in every export; tools warn of older ones
MODE = 0o644
TAR_BLOCK = 512
TAR_END = bytes(2 * TAR_BLOCK)
JPEG_SUFFIX = re.compile(r"\.jpe?g$", re.IGNORECASE)


class Shards:
    """Writes the shards of one split: `<split>-000000.tar` and so on."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = split

    def begin(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def has(self, block: Block) -> bool:
        """Whether a shard that was finished is still there."""
        path = self._folder / block.path
        return path.is_file() and path.stat().st_size == block.bytes

    def write(self, number: int, first: int, samples: Iterable[Sample]) -> Block:
        """Write a shard, atomically; memory holds one sample at a time, and the keys.

        Raises:
            IntegrityError: the name of a sample is no relative path.
            SpaceError: the disk is full.
        """
        path = self._folder / f"{self._split}-{number:06}.tar"
        partial = path.with_name(path.name + ".partial")
        digest = hashlib.sha256()
        keys: set[str] = set()
        with disk_errors(self._folder), partial.open("wb") as file:
            for sample in samples:
                key = key_of(sample.name, keys)
                keys.add(key)
                for suffix, data in (("jpg", sample.image), ("cls", str(sample.label).encode())):
                    member = _member(f"{key}.{suffix}", data)
                    digest.update(member)
                    file.write(member)
            digest.update(TAR_END)
            file.write(TAR_END)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
            sync_folder(self._folder)
        return Block(path.name, first, len(keys), size, digest.hexdigest())

    def finish(self) -> None:
        """Do nothing: every shard is whole."""


def key_of(name: str, taken: Container[str]) -> str:
    """The key of a sample: its name without the suffix of a JPEG file, and without dots.

    Args:
        name: `<class>/<file>`.
        taken: the keys of the samples before it in the shard. If the key is among them, the suffix stays,
            as in `cat/1_jpg`; if that is taken too, a number follows, as in `cat/1_jpg_2`.
    """
    path = str(relative_path(name, "the list of names"))
    key, whole = (text.replace(".", "_") for text in (JPEG_SUFFIX.sub("", path), path))
    choices = chain((key, whole), (f"{whole}_{number}" for number in count(2)))
    return next(choice for choice in choices if choice not in taken)


def _member(name: str, data: bytes) -> bytes:
    """A file in a tar archive, with nothing in it that differs from machine to machine."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), MTIME, MODE
    return b"".join((info.tobuf(tarfile.GNU_FORMAT), data, bytes(-len(data) % TAR_BLOCK)))
