"""Units of an archive of which ranges can be read cheaply, without reading all of it.

`walk` reads the headers of all members, and gives the units of `prep.archives.units.read_units`. `probe`
reads the archive near the multiples of the unit size only. An image that contains a tar file can mislead it:
then the unit before the wrong boundary does not end where a member ends. Whoever reads a unit must check
that. If one fails, all units of the archive are in doubt, and `walk` finds the right ones.
"""

import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice, pairwise

from prep.archives.units import Unit, unit_bytes
from prep.datasets.description import Layout
from prep.errors import IntegrityError
from prep.state.memory_file import MemoryFile

Read = Callable[[int, int], bytes]
"""The bytes [start, end) of an archive. Several threads may call it at the same time."""

LARGEST = 1 << 30  # bytes; a task holds a unit in memory
# A unit means some small objects, and a small read by each range, which cost more than their bytes. So units
# are larger than on one machine, as long as there are enough of them for many workers.
ENOUGH = 64
LARGE = 128 << 20  # bytes
AHEAD = 4 << 10  # bytes; one read then serves all headers of a member
WINDOW = 256 << 10  # bytes that a probe reads at once; most images are smaller
SCANNED = 4 << 20  # bytes that a probe reads at most in search of a header
CANDIDATES = 16  # blocks that look like a header and lead nowhere, after which a probe gives up
LONGEST_HEADERS = 1 << 20  # bytes of extended headers that a probe reads
# tarfile reads extended headers and tables of sparse files without care.
TAR_ERRORS = (tarfile.TarError, ValueError, IndexError, RecursionError)
FEW = 4  # units; an archive without boundaries that is larger than these is walked
MAGIC = slice(257, 262)
# In the format of 1979, which has no magic. GNU tar writes zeros as digits between them.
EMPTY = (slice(257, 329), slice(345, 512))


def least_bytes(size: int) -> int:
    """The smallest size in bytes of a unit of an archive of `size` bytes.

    At least `unit_bytes`, and up to 128 MiB if there are then `ENOUGH` units; at most 1 GiB.
    """
    return min(max(unit_bytes(size), min(size // ENOUGH, LARGE)), LARGEST)


def units_of(
    read: Read, name: str, size: int, layout: Layout, pool: ThreadPoolExecutor, least: int | None = None
) -> list[Unit]:
    """The units of an archive, found in the cheapest way for its layout.

    Args:
        read: reads ranges of the archive.
        name: the file name of the archive.
        size: its size in bytes.
        layout: what its members are.
        pool: its threads read; the caller must be none of them.
        least: smallest size of a unit in bytes, for tests; the default is `least_bytes`.

    Raises:
        IntegrityError: the archive is incomplete or is not a tar file. Not every damage is found here.
    """
    least = least or least_bytes(size)
    units = None if layout == "nested" else probe(read, name, size, least, pool)
    return walk(read, name, size, least) if units is None else units


def walk(read: Read, name: str, size: int, least: int) -> list[Unit]:
    """The units that `read_units` gives, by reading the headers of all members, one after the other.

    A unit ends at the first boundary after `least` bytes. It makes about one read for each member.

    Raises:
        IntegrityError: the archive is incomplete or is not a tar file.
    """
    archive = _Archive(read, name, size)
    units: list[Unit] = []
    offset = 0
    while offset < size:
        end = _end_of_unit(archive, offset, least)
        units.append(Unit(name, len(units), offset, end - offset))
        offset = end
    return units


def probe(read: Read, name: str, size: int, least: int, pool: ThreadPoolExecutor) -> list[Unit] | None:
    """Units of about `least` bytes, by reading the archive near the multiples of `least` only.

    Where no boundary is found within 4 MiB, the unit becomes larger. Units are at least half of `least`,
    except that of an archive which is smaller.

    Returns:
        None if the archive does not begin with a header, or if no boundary at all was found in a large one.

    Raises:
        IntegrityError: the archive became shorter.
    """
    if not size:
        return []
    if not _holds_header(_Archive(read, name, size), 0):
        return None

    def near(start: int) -> int | None:
        return _boundary_near(_Archive(read, name, size), start, start + min(least, SCANNED))

    half = max(1, least // 2)
    cuts = [0]
    for boundary in pool.map(near, range(least, size - half, least)):
        if boundary is not None and cuts[-1] + half <= boundary <= size - half:
            cuts.append(boundary)
    if len(cuts) == 1 and size > FEW * least:
        return None
    cuts.append(size)
    return [Unit(name, index, start, end - start) for index, (start, end) in enumerate(pairwise(cuts))]


class _Archive:
    """An archive of which ranges are read, each with some bytes more than are needed at the moment."""

    def __init__(self, read: Read, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._read = read
        self._start = 0
        self._data = b""

    def between(self, start: int, end: int) -> bytes:
        """The bytes [start, end), as far as the archive has them."""
        end = min(end, self.size)
        if start >= end:
            return b""
        if start < self._start or end > self._start + len(self._data):
            further = min(max(end, start + AHEAD), self.size)
            self._start, self._data = start, self._read(start, further)
            if len(self._data) < further - start:
                raise IntegrityError(
                    f"archive {self.name}: became shorter while it was read: run again when nothing else "
                    "writes to it"
                )
        return self._data[start - self._start : end - self._start]

    def holds_member_at(self, offset: int) -> bool:
        """Whether something other than end-of-archive padding begins there."""
        return any(self.between(offset, offset + tarfile.BLOCKSIZE))


class _View(MemoryFile):
    """A part of an archive as a seekable file."""

    def __init__(self, archive: _Archive, start: int, length: int) -> None:
        super().__init__(memoryview(b""))
        self._archive = archive
        self._start = start
        self._size = length

    def _length(self) -> int:
        return self._size

    def _between(self, start: int, end: int) -> bytes:
        return self._archive.between(self._start + start, self._start + end)


def _end_of_unit(archive: _Archive, offset: int, least: int) -> int:
    """Where the unit that begins at `offset` ends. It follows `_load` in prep/archives/units.py."""
    left = archive.size - offset
    view = _View(archive, offset, left)
    boundary = 0
    with _tar_errors(archive.name, offset), tarfile.open(fileobj=view, mode="r:") as tar:
        while tar.next() is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # it would otherwise keep every member
            if tar.offset <= boundary:  # a negative size leads back
                raise IntegrityError(
                    f"archive {archive.name}: damaged header at byte {offset + boundary}: download it again"
                )
            boundary = tar.offset
            if boundary > left:
                raise IntegrityError(f"archive {archive.name}: incomplete: download it again")
            if boundary >= least:
                break
        else:
            # tarfile treats a damaged header as the end of the archive.
            if archive.holds_member_at(offset + tar.offset):
                raise IntegrityError(
                    f"archive {archive.name}: damaged header at byte {offset + tar.offset}: download it again"
                )
            return archive.size
    # After the last member comes the end-of-archive padding, which belongs to the last unit.
    return offset + boundary if archive.holds_member_at(offset + boundary) else archive.size


@contextmanager
def _tar_errors(name: str, offset: int) -> Iterator[None]:
    try:
        yield
    except TAR_ERRORS as error:
        raise IntegrityError(
            f"archive {name}: not a readable tar file at byte {offset} ({error}): download it again"
        ) from error


def _boundary_near(archive: _Archive, start: int, limit: int) -> int | None:
    """The first boundary after a member that begins in [start, limit), if one is found."""
    for header in islice(_headers(archive, start, limit), CANDIDATES):
        boundary = _after_member(archive, header)
        if boundary is not None and boundary > header and _holds_header(archive, boundary):
            return boundary
    return None


def _headers(archive: _Archive, start: int, limit: int) -> Iterator[int]:
    """The offsets of the blocks in [start, limit) that look like a header."""
    first = -(-start // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    for at in range(first, min(limit, archive.size), WINDOW):
        window = archive.between(at, min(at + WINDOW, limit))
        for offset in range(0, len(window), tarfile.BLOCKSIZE):
            block = window[offset : offset + tarfile.BLOCKSIZE]
            if _is_header(block, archive.size - at - offset):
                yield at + offset


def _after_member(archive: _Archive, header: int) -> int | None:
    """The offset of the first byte after the member whose headers begin at `header`."""
    view = _View(archive, header, min(LONGEST_HEADERS, archive.size - header))
    try:
        with tarfile.open(fileobj=view, mode="r:") as tar:
            return header + tar.offset
    except TAR_ERRORS:
        return None  # an image can contain anything


def _holds_header(archive: _Archive, offset: int) -> bool:
    return _is_header(archive.between(offset, offset + tarfile.BLOCKSIZE), archive.size - offset)


def _is_header(block: bytes, left: int) -> bool:
    """Whether the block is the header of a member that fits into the `left` bytes from there."""
    if block[MAGIC] != b"ustar" and any(any(block[part]) for part in EMPTY):
        return False
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    # tarfile takes an empty checksum for 0, which is a sum of signed bytes in some pictures.
    return member.chksum > 0 and 0 <= member.size <= left - tarfile.BLOCKSIZE
