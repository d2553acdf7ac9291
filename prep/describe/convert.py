"""Writes the images of a split as one plain tar archive that `run` can read: `<class>/<image>`, or flat.

The same input gives the same bytes: members keep their order, and have no date and no owner.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from prep.describe.inputs import Member, inner_members, members, reading_errors
from prep.describe.plan import Part, PlannedSplit
from prep.describe.survey import is_image, is_inner
from prep.errors import IntegrityError
from prep.progress import Progress
from prep.state.files import CHUNK
from prep.state.names import plain_name

PARTIAL = ".partial"


@dataclass(frozen=True)
class Made:
    """An archive as it was written."""

    path: Path
    bytes: int
    md5: str


def convert(split: PlannedSplit, path: Path, progress: Progress) -> Made:
    """Write the split to `path`, for now with the suffix .partial.

    Raises:
        IntegrityError: an input is damaged or has changed, or two images would have the same name.
        OSError: it can't be written.
    """
    task = f"write {path.name}"
    progress.add(task, sum(part.survey.bytes for part in split.parts))
    partial = path.with_name(path.name + PARTIAL)
    written = images = 0
    names: set[str] = set()
    with partial.open("wb") as raw:
        file = _Hashed(raw)
        with tarfile.open(fileobj=cast(IO[bytes], file), mode="w|", format=tarfile.GNU_FORMAT) as tar:
            for part in split.parts:
                with reading_errors(part.survey.path):
                    images += _copy(split, part, tar, names, task, progress)
        raw.flush()
        os.fsync(raw.fileno())
        written = file.written
    if images != split.images:
        raise IntegrityError(f"split {split.name}: the input changed while it was read: run again")
    return Made(path, written, file.digest.hexdigest())


def _copy(
    split: PlannedSplit, part: Part, tar: tarfile.TarFile, names: set[str], task: str, progress: Progress
) -> int:
    """Copy the images of one input; returns how many there were."""
    before = len(names)
    for member, name in _wanted(split, part, task, progress):
        if name in names:
            raise IntegrityError(
                f"{part.survey.path}: {member.name} is the second {name} of split {split.name}: rename it, "
                "or give another --class-folder"
            )
        names.add(name)
        info = tarfile.TarInfo(name)
        info.size = member.size
        with member.open() as data:
            tar.addfile(info, data)
    return len(names) - before


def _wanted(split: PlannedSplit, part: Part, task: str, progress: Progress) -> Iterator[tuple[Member, str]]:
    """The images of the split, and their names in its archive. Inner tars become class folders."""
    survey = part.survey
    of_members = not survey.reads_in_order

    def heard(data: memoryview | bytes) -> None:
        progress.advance(task, len(data))

    for member in members(survey.path, survey.kind, heard):
        name, folder = part.placing(member.name.parent.parts)
        mine = (name or "train") == split.name
        if mine and is_image(member):
            yield member, _name(split, member, folder)
        elif mine and is_inner(member):
            wnid = plain_name(member.name.stem, f"archive {survey.path}")
            for image in inner_members(member, f"archive {survey.path}/{member.name}"):
                if is_image(image):
                    yield image, f"{wnid}/{image.name.name}"
        if of_members:
            progress.advance(task, member.size)


def _name(split: PlannedSplit, member: Member, folder: tuple[str, ...]) -> str:
    file = plain_name(member.name.name, "archive")
    return f"{folder[-split.class_folder]}/{file}" if split.class_folder else file


class _Hashed:
    """A file that is written from its beginning to its end, and its MD5."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.md5(usedforsecurity=False)
        self.written = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.written += len(data)
        return self._file.write(data)


def is_there(target: Path, source: Path) -> bool:
    """Whether a path leads to this file already."""
    return target.exists() and target.samefile(source)


def place(source: Path, folder: Path) -> Path:
    """Have an archive that is used as it is in `folder` too: as a hard link, or a link on another disk."""
    target = folder / source.name
    if is_there(target, source):
        return target
    try:
        target.hardlink_to(source)
    except OSError:
        target.symlink_to(source.absolute())
    return target


def digest_of(path: Path, progress: Progress) -> str:
    """The MD5 of a file, with progress."""
    digest = hashlib.md5(usedforsecurity=False)
    task = f"read {path.name}"
    progress.add(task, path.stat().st_size)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress.advance(task, len(chunk))
    return digest.hexdigest()
