"""Units: contiguous runs of complete members of an archive. Each unit can be processed on its own.

An archive is read once, from beginning to end. A unit ends at the first boundary between members after a
thousandth of the archive, or after 8 MiB if that is more. In a nested archive the members are the inner tar
files. So ImageNet's training archive has about as many units as classes, and every unit can be a part of an
S3 upload (5 MiB to 5 GiB, at most 10,000 parts). The units depend only on the archive, not on the consumers
or on interruptions.
"""

import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np

from prep.datasets.description import Split
from prep.errors import IntegrityError
from prep.state.files import CHUNK
from prep.state.memory_file import MemoryFile
from prep.state.names import is_plain, plain_name, relative_path

SMALLEST = 8 << 20  # bytes
FRACTION = 1000
# Blocks of a packed file. Memory holds a few of them. S3 accepts 10,000 parts, of which a block has up to 4.
SMALLEST_BLOCK = 32 << 20  # bytes
MOST_BLOCKS = 2000
CORRECT = "correct the archive, or the layout in the description"
IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif"}


@dataclass(frozen=True)
class Unit:
    """The bytes [offset, offset + size) of the archive with that file name. `index` counts from 0."""

    archive: str
    index: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the first byte after the unit."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Image:
    """An image file of a split. `name` is `<class>/<file>`, its path below the folder of the split."""

    name: str
    data: memoryview


@dataclass(frozen=True)
class LoadedUnit:
    """A unit with its bytes and the images in them."""

    unit: Unit
    split: Split
    data: memoryview
    images: tuple[Image, ...]


class _Member(NamedTuple):
    """A plain file in an archive: its place in the unit, in bytes."""

    name: str
    start: int
    size: int


ClassOf = Callable[[str], str]
"""The class of an image in a flat archive, by its file name."""


class RawFile(Protocol):
    """An archive that is open for reading; one that still arrives may make a read wait."""

    def seek(self, offset: int, /) -> object:
        """Go to a byte."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read up to as many bytes as the buffer takes; 0 at the end."""

    def close(self) -> None:
        """Close it."""


class Arriving(Protocol):
    """An archive on its way, whose beginning can be read before its end is there."""

    @property
    def size(self) -> int:
        """Its size in bytes when it is whole."""

    def open(self) -> RawFile:
        """Open it for reading; a read waits until its bytes have arrived."""


def unit_bytes(archive_bytes: int) -> int:
    """The smallest size in bytes of a unit, except the last, of an archive of that size."""
    return max(SMALLEST, archive_bytes // FRACTION)


def read_units(
    path: Path,
    split: Split,
    class_of: ClassOf,
    wanted: Callable[[int], int | None],
    smallest: int | None = None,
    arriving: Arriving | None = None,
) -> Iterator[LoadedUnit]:
    """Read an archive unit by unit.

    Args:
        path: the archive.
        split: which split it holds, in which layout.
        class_of: for the flat layout, returns the class of a file name.
        wanted: called before each unit with its offset; returns None if the unit must be read, or the size
            of the unit at this offset if no consumer needs it.
        smallest: smallest size of a unit in bytes, for tests; the default is `unit_bytes`.
        arriving: the download of the archive, if it is still under way.

    Raises:
        IntegrityError: the archive is incomplete, is not a tar file, or has a member that is not allowed.
    """
    total = arriving.size if arriving else path.stat().st_size
    least = smallest or unit_bytes(total)
    offset = index = read = 0
    with closing(arriving.open() if arriving else path.open("rb", buffering=0)) as file:

        def load() -> LoadedUnit:
            nonlocal read
            data, members = _load(file, path, offset, total, least)
            read = len(data)
            images = tuple(_images(path, split, class_of, data, members))
            return LoadedUnit(Unit(path.name, index, offset, read), split, data, images)

        while offset < total:
            done = wanted(offset)
            if done is None:
                yield load()  # not kept here: its memory is free as soon as the consumers drop it
            offset += read if done is None else done
            index += 1


def read_unit(
    data: memoryview, path: Path, split: Split, class_of: ClassOf, unit: Unit, last: bool
) -> LoadedUnit:
    """The unit whose bytes are in memory; `last` says whether it is the last one of its archive.

    Raises:
        IntegrityError: its bytes are not whole members from the first to the last; or as `read_units`.
    """
    members, cut = _members(_Loaded(data, path), path, unit.offset, unit.size)
    if cut is None and not last:
        raise IntegrityError(
            f"archive {path}: no members at the end of the unit at byte {unit.offset}: download it again"
        )
    images = tuple(_images(path, split, class_of, data, members))
    return LoadedUnit(unit, split, data, images)


def lands(data: memoryview, path: Path, unit: Unit, last: bool) -> bool:
    """Whether the bytes of a unit are whole members from the first to the last, whatever these are."""
    try:
        _, cut = _members(_Loaded(data, path), path, unit.offset, unit.size)
    except IntegrityError:
        return False
    return last or cut is not None


def read_folder_units(
    folder: Path, split: Split, wanted: Callable[[int], int | None], smallest: int = SMALLEST
) -> Iterator[LoadedUnit]:
    """Read class folders, `<folder>/<class>/<image>`, unit by unit, in the order of their names.

    A unit is a run of files. Its offset is the number of bytes of all files before it.
    """
    offset = index = size = 0
    run: list[tuple[str, Path]] = []
    files = [
        (f"{plain_name(entry.name, str(folder))}/{plain_name(image.name, str(entry))}", image)
        for entry in sorted(folder.iterdir())
        if entry.is_dir()
        for image in sorted(entry.iterdir())
        if _is_image(PurePosixPath(image.name))
    ]
    for number, file in enumerate(files):
        run.append(file)
        size += file[1].stat().st_size
        if size < smallest and number + 1 < len(files):
            continue
        if wanted(offset) is None:
            images = tuple(Image(name, memoryview(path.read_bytes())) for name, path in run)
            yield LoadedUnit(Unit(folder.name, index, offset, size), split, memoryview(b""), images)
        offset += size
        index += 1
        run, size = [], 0


def block_bytes(total: int) -> int:
    """The size of the blocks in which a packed file of that many bytes is read."""
    return max(SMALLEST_BLOCK, -(-total // MOST_BLOCKS))


def read_blocks(
    path: Path, split: Split, wanted: Callable[[int], int | None] = lambda _: None, size: int | None = None
) -> Iterator[LoadedUnit]:
    """Read any file of a split, such as a packed file, in blocks. A block is a unit without images."""
    total = path.stat().st_size
    size = size or block_bytes(total)
    with path.open("rb", buffering=0) as file:
        for index, offset in enumerate(range(0, total, size)):
            if wanted(offset) is None:
                yield read_block(file, path, split, index, offset, min(size, total - offset))


def read_block(file: RawFile, path: Path, split: Split, index: int, offset: int, size: int) -> LoadedUnit:
    """Read `size` bytes of an open file, the index-th block.

    Raises:
        IntegrityError: the file has become shorter.
    """
    file.seek(offset)
    window = _Window(file, path, size)
    window.extend_to(size)
    return LoadedUnit(Unit(path.name, index, offset, size), split, window.cut(size), ())


def _load(file: RawFile, path: Path, offset: int, total: int, least: int) -> tuple[memoryview, list[_Member]]:
    """The bytes of the unit at `offset`, and its members."""
    file.seek(offset)
    window = _Window(file, path, total - offset)
    window.extend_to(min(least, total - offset))
    members, cut = _members(window, path, offset, least)
    # After the last member comes the end-of-archive padding, which belongs to the last unit.
    if cut is None or not window.holds_member_at(cut):
        cut = total - offset
        window.extend_to(cut)
    return window.cut(cut), members


def _members(window: "_Loaded", path: Path, offset: int, least: int) -> tuple[list[_Member], int | None]:
    """The members up to the first boundary after `least` bytes, and that boundary.

    It is None if the archive's last member comes before.
    """
    members: list[_Member] = []
    with _tar_errors(path, offset), tarfile.open(fileobj=window, mode="r:") as tar:
        for member in _in_order(tar):
            if not _is_folder(path, member):
                members.append(_Member(member.name, member.offset_data, member.size))
            boundary = tar.offset
            window.extend_to(boundary)
            if boundary >= least:
                return members, boundary
        # tarfile treats a damaged header as the end of the archive.
        if window.holds_member_at(tar.offset):
            raise IntegrityError(
                f"archive {path}: damaged header at byte {offset + tar.offset}: download it again"
            )
    return members, None


def _in_order(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive, of which tarfile keeps none in memory."""
    end = -1
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # not in the stubs
        if tar.offset <= end:  # a size below zero: it would come again and again
            raise tarfile.ReadError(f"a member of {member.size} bytes")
        end = tar.offset
        yield member


class _Loaded(MemoryFile):
    """A seekable file over a unit of which all bytes are in memory."""

    def __init__(self, data: memoryview, path: Path) -> None:
        super().__init__(data)
        self._path = path

    def extend_to(self, length: int) -> None:
        """Nothing: all bytes are there."""
        if length > len(self._data):
            raise IntegrityError(f"archive {self._path}: incomplete: download it again")

    def holds_member_at(self, offset: int) -> bool:
        """Whether something other than end-of-archive padding begins there."""
        return any(self._between(offset, min(offset + tarfile.BLOCKSIZE, self._length())))


class _Window(_Loaded):
    """A seekable file over the unit being read. It reads more of the archive when that is needed."""

    def __init__(self, file: RawFile, path: Path, left: int) -> None:
        super().__init__(memoryview(b""), path)
        self._file = file
        self._total = left
        self._read = 0

    def extend_to(self, length: int) -> None:
        """Read until at least `length` bytes are in memory."""
        if length > self._total:
            raise IntegrityError(f"archive {self._path}: incomplete: download it again")
        if length > len(self._data):
            # Unused memory costs nothing, and twice the first length is enough for most units.
            grown = np.empty(min(2 * length, self._total), np.uint8).data
            grown[: self._read] = self._data[: self._read]
            self._data = grown
        while self._read < length:
            count = self._file.readinto(self._data[self._read : min(self._read + CHUNK, length)])
            if not count:
                raise IntegrityError(
                    f"archive {self._path}: became shorter while it was read: run again when nothing else "
                    "writes to it"
                )
            self._read += count

    def cut(self, length: int) -> memoryview:
        """The first `length` bytes, read-only."""
        return self._data[:length].toreadonly()

    def _length(self) -> int:
        return self._total

    def _between(self, start: int, end: int) -> bytes:
        self.extend_to(end)
        return super()._between(start, end)


@contextmanager
def _tar_errors(path: Path, offset: int) -> Iterator[None]:
    try:
        yield
    # tarfile reads extended headers without care.
    except (tarfile.TarError, ValueError, IndexError, RecursionError) as error:
        raise IntegrityError(
            f"archive {path}: not a readable tar file at byte {offset} ({error}): download it again"
        ) from error


def _images(
    path: Path, split: Split, class_of: ClassOf, data: memoryview, members: list[_Member]
) -> Iterator[Image]:
    for member in members:
        body = data[member.start : member.start + member.size]
        name = relative_path(member.name, f"archive {path}")
        if split.layout == "nested":
            if name.suffix != ".tar" or not is_plain(name.stem):  # "...tar" would be the class ".."
                raise IntegrityError(f"archive {path}: {member.name!r} is not <class>.tar: {CORRECT}")
            yield from _inner_images(path, name.stem, body)
        elif not _is_image(name):
            raise IntegrityError(
                f"archive {path}: {member.name!r} does not have the name of an image: {CORRECT}"
            )
        elif split.layout == "flat":
            yield Image(f"{class_of(name.name)}/{name.name}", body)
        elif len(name.parts) < 2:
            raise IntegrityError(f"archive {path}: {member.name!r} is not in a class folder: {CORRECT}")
        else:
            yield Image(f"{name.parts[-2]}/{name.name}", body)


def _inner_images(path: Path, wnid: str, body: memoryview) -> Iterator[Image]:
    where = Path(f"{path}/{wnid}.tar")
    with _tar_errors(where, 0), tarfile.open(fileobj=MemoryFile(body), mode="r:") as tar:
        for member in _in_order(tar):
            if _is_folder(where, member):
                continue
            name = relative_path(member.name, f"archive {where}")
            if not _is_image(name):
                raise IntegrityError(
                    f"archive {where}: {member.name!r} does not have the name of an image: {CORRECT}"
                )
            end = member.offset_data + member.size
            if end > len(body):
                raise IntegrityError(f"archive {where}: incomplete in {member.name!r}: download it again")
            yield Image(f"{wnid}/{name.name}", body[member.offset_data : end])
        if any(body[tar.offset : tar.offset + tarfile.BLOCKSIZE]):
            raise IntegrityError(f"archive {where}: damaged header at byte {tar.offset}: download it again")


def _is_folder(path: Path, member: tarfile.TarInfo) -> bool:
    if member.isdir():
        return True
    if not member.isreg() or member.issparse():
        raise IntegrityError(
            f"archive {path}: {member.name!r} is a link, a device or a sparse file; an image archive holds "
            "only plain files: don't trust it"
        )
    return False


def _is_image(name: PurePosixPath) -> bool:
    return name.suffix.lower() in IMAGE_SUFFIXES
