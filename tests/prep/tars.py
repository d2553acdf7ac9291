"""Tar archives for tests: well-formed, hostile and damaged."""

import io
import tarfile
from collections.abc import Iterable, Mapping

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, data: bytes) -> Member:
    """A regular file."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, target: str = "") -> Member:
    """A link, device or folder."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def extended(name: str, headers: Mapping[str, str]) -> Member:
    """A regular file with extended headers, for an archive of PAX_FORMAT."""
    info = tarfile.TarInfo(name)
    info.pax_headers = dict(headers)
    return info, b""


def tar(members: Iterable[Member], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive of these members, in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_of(files: Mapping[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive of regular files."""
    return tar([file(name, data) for name, data in files.items()], form)


def header_offsets(archive: bytes) -> list[int]:
    """Where the headers of the archive's members begin."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [member.offset for member in opened]
