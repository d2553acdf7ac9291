"""What a user has at hand: tar archives, compressed ones, zip archives and folders, read in one way."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from prep.errors import DescriptionError, IntegrityError
from prep.state.files import CHUNK
from prep.state.names import relative_path


class Kind(StrEnum):
    """What an input is. Only a plain tar can be read by `run` as it is."""

    TAR = "plain tar"
    COMPRESSED = "compressed tar"
    ZIP = "zip archive"
    FOLDER = "folder"


COMPRESSIONS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")  # how gzip, bzip2 and xz files begin
Listener = Callable[[memoryview | bytes], object]
"""Gets the bytes of an input as they are read from the disk."""


@dataclass(frozen=True)
class Member:
    """A file in an input. It must be opened before the next member is asked for, if at all."""

    name: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]
    plain: bool = True  # False for links and devices, which can't be opened


def kind_of(path: Path) -> Kind:
    """Find out what an input is.

    Raises:
        DescriptionError: it is not there, or neither a tar nor a zip archive nor a folder.
    """
    if path.is_dir():
        return Kind.FOLDER
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise DescriptionError(f"{path}: {error.strerror}: check the path") from error
    if start.startswith(COMPRESSIONS):
        return Kind.COMPRESSED
    if zipfile.is_zipfile(path) and start[257:262] != b"ustar":
        return Kind.ZIP
    if start and tarfile.is_tarfile(path):
        return Kind.TAR
    raise DescriptionError(f"{path}: is no tar or zip archive: unpack it, and give the folder")


def size_of(path: Path, kind: Kind) -> int:
    """Bytes of an input, for the progress: of the file, or of all members where these are listed."""
    if kind is Kind.FOLDER:
        return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
    if kind is Kind.ZIP:
        with reading_errors(path), zipfile.ZipFile(path) as archive:
            return sum(info.file_size for info in archive.infolist())
    return path.stat().st_size


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn what the readers of archives raise, also while a member is read, into one line.

    Raises:
        IntegrityError: the archive is damaged, is encrypted, or has an unknown compression.
    """
    damaged = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError)
    try:
        yield
    except damaged as error:
        raise IntegrityError(f"archive {path}: damaged ({error}): get it again") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile: encrypted, or an unknown compression
        raise IntegrityError(
            f"archive {path}: can't be read ({error}): unpack it, and give the folder"
        ) from error


def members(path: Path, kind: Kind, heard: Listener) -> Iterator[Member]:
    """The files of an input, in its order; a tar archive is read once, from its first byte to its last.

    It belongs inside `reading_errors`.

    Raises:
        IntegrityError: a name in it is not allowed.
    """
    if kind is Kind.FOLDER:
        yield from _of_folder(path)
    elif kind is Kind.ZIP:
        yield from _of_zip(path)
    else:
        yield from _of_tar(path, heard)


def inner_members(member: Member, where: str) -> Iterator[Member]:
    """The files of a tar archive that is a member of an input."""
    with tarfile.open(fileobj=member.open(), mode="r|", bufsize=CHUNK) as tar:
        yield from _tar_members(tar, where)


def _of_folder(path: Path) -> Iterator[Member]:
    for file in sorted(path.rglob("*")):
        if file.is_dir():
            continue
        name = relative_path(str(file.relative_to(path)), str(path))
        plain = file.is_file() and not file.is_symlink()
        # mypy gives no type to a lambda with a default value, here and below.
        yield Member(name, file.lstat().st_size, lambda file=file: file.open("rb"), plain)  # type: ignore[misc]


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                name = relative_path(info.filename, f"archive {path}")
                yield Member(name, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


def _of_tar(path: Path, heard: Listener) -> Iterator[Member]:
    with path.open("rb", buffering=0) as raw:
        file = _Heard(raw, heard)
        # "r|*" finds the compression by itself; bufsize is what is read from the disk at once.
        with tarfile.open(fileobj=cast(IO[bytes], file), mode="r|*", bufsize=CHUNK) as tar:
            yield from _tar_members(tar, f"archive {path}")
        while file.read(CHUNK):  # what follows the last member belongs to the digest
            pass


def _tar_members(tar: tarfile.TarFile, where: str) -> Iterator[Member]:
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # it would otherwise keep every member
        if info.isdir():
            continue
        name = relative_path(info.name, where)
        plain = info.isreg() and not info.issparse()
        yield Member(name, info.size, lambda info=info: cast(IO[bytes], tar.extractfile(info)), plain)  # type: ignore[misc]


class _Heard:
    """A file whose bytes are told to somebody as they are read."""

    def __init__(self, file: Any, heard: Listener) -> None:
        self._file = file
        self._heard = heard

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._heard(data)
        return data
