"""What looks like the header of a member and is none: in an image it misleads nobody, or is noticed."""

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prep.cluster.boundaries import probe, walk
from prep.errors import IntegrityError
from tests.prep import tars
from tests.prep.cluster.archives import (
    NAME,
    Ranges,
    member_ends,
    photographs,
    random_members,
    read_whole,
    tiles,
)


def negative(data: bytes, number: int, size: int) -> bytes:
    """The archive, whose member of that number has a negative size, in base 256."""
    offset = tars.header_offsets(data)[number]
    header = bytearray(data[offset : offset + 512])
    header[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return data[:offset] + bytes(header) + data[offset + 512 :]


@pytest.mark.parametrize("size", [-512, -1024, -2048])
def test_negative_size_ends(size: int, pool: ThreadPoolExecutor) -> None:
    """A member of negative size would send a naive reader round for ever (CVE-2025-8194)."""
    data = negative(tars.tar(random_members(1)[:20]), 3, size)
    with pytest.raises(IntegrityError, match=r"archive a.tar"):
        walk(Ranges(data), NAME, len(data), 10_000_000)
    probed = probe(Ranges(data), NAME, len(data), 5000, pool)
    assert probed is not None
    assert tiles(probed, len(data))


def test_a_tar_in_an_image_misleads_the_probe_and_not_the_walk(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """The unit before the wrong boundary ends amid a member, which its reader notices."""
    inner = photographs(20, 10_000)
    members = [tars.file(f"n1/{number}.JPEG", bytes([number]) * 20_000) for number in range(40)]
    members.insert(20, tars.file("n1/odd.JPEG", bytes(512 * 4) + inner + b"rest"))
    data = tars.tar(members)
    least = tars.header_offsets(data)[20] + len(inner) // 2  # amid the inner archive
    probed = probe(Ranges(data), NAME, len(data), least, pool)
    assert probed is not None
    assert probed[0].end not in member_ends(data)
    units = walk(Ranges(data), NAME, len(data), least)
    assert units == read_whole(tmp_path, data, least)
    assert {unit.end for unit in units} <= member_ends(data)


ENDLESS = b"77777777777\0"  # 8 GiB


def header_of(data: bytes, size: bytes) -> bytes:
    """The first header of the archive, with another size of the member."""
    header = bytearray(data[:512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


def chain(length: int) -> bytes:
    """Extended headers, each for the next."""
    one = tars.tar([tars.extended("n1/a.JPEG", {"comment": "x"})], tarfile.PAX_FORMAT)[:1024]
    return one * length


def endless_table() -> bytes:
    """The header of a sparse file, whose table of pieces goes on after the last byte of the archive."""
    header = bytearray(tars.tar([tars.special("n1/a.JPEG", tarfile.GNUTYPE_SPARSE)])[:512])
    header[482] = 1
    header[483:495] = b"00000000000\0"
    return header_of(bytes(header), bytes(header[124:136]))


def like_headers() -> dict[str, bytes]:
    member = tars.tar_of({"n1/a.JPEG": b"x"})[:1024]
    # Signed, its bytes add up to 0, for which tarfile takes an empty checksum.
    picture = b"\x80\x80" + bytes(510)
    backwards = tars.tar([tars.extended("n1/a.JPEG", {"size": "-1536"})], tarfile.PAX_FORMAT)[:1536]
    return {
        "a header alone": member[:512] + bytes(1024),
        "a picture": picture * 2,
        "an extended header alone": chain(1)[:512],
        "back to itself": backwards,
        "a negative size": member + negative(member + bytes(1024), 0, -512)[:512],
        "a member without end": header_of(member, ENDLESS),
        "one that leads to a member without end": member + header_of(member, ENDLESS),
    }


@pytest.mark.parametrize("block", like_headers().values(), ids=like_headers())
@pytest.mark.parametrize("times", [1, 10])
def test_what_only_looks_like_a_member(pool: ThreadPoolExecutor, block: bytes, times: int) -> None:
    """In an image, alone and in rows, the true boundary after it is found."""
    image = b"\xff\xd8" + b"\x55" * 1022 + (block + b"\x55" * 1024) * times
    data = tars.tar([tars.file(f"n1/{number}.JPEG", image) for number in range(50)])
    boundaries = member_ends(data)
    least = 2 * len(image) + 512
    for shift in (0, 512, 1024, 1536, 2048):  # the probes begin at other places of the images
        units = probe(Ranges(data), NAME, len(data), least + shift, pool)
        assert units is not None
        assert {unit.end for unit in units} <= boundaries
        assert len(units) > 3


@pytest.mark.parametrize("bad", [chain(400), endless_table()], ids=["chain", "sparse"])
def test_headers_that_tarfile_does_not_bear(bad: bytes, pool: ThreadPoolExecutor) -> None:
    """It raises an error that is none of its own: as a member, and as a part of an image at the end."""
    good = tars.tar(random_members(1)[:20])
    with tarfile.open(fileobj=io.BytesIO(good)) as tar:
        tar.getmembers()
        end = tar.offset
    data = good[:end] + bad
    with pytest.raises(IntegrityError, match=r"archive a.tar: not a readable tar file"):
        walk(Ranges(data), NAME, len(data), 5000)
    units = probe(Ranges(data), NAME, len(data), len(good) // 4, pool)
    assert units is not None
    assert tiles(units, len(data))


def test_many_candidates_are_given_up(pool: ThreadPoolExecutor) -> None:
    """Extended headers of a mebibyte each, in every block of an image: no probe follows them all."""
    header = tars.tar([tars.extended("n1/a.JPEG", {"comment": "x" * (1 << 20)})], tarfile.PAX_FORMAT)[:512]
    members = [tars.file(f"n1/{number}.JPEG", bytes(1000)) for number in range(9000)]
    members.insert(4500, tars.file("n1/odd.JPEG", header * 8192))
    data = tars.tar(members)
    ranges = Ranges(data)
    units = probe(ranges, NAME, len(data), len(data) // 2, pool)
    assert units is None or len(units) == 1
    assert ranges.bytes < 40 << 20
