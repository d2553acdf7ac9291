"""Units that are found by reading little of an archive are those that reading all of it gives."""

import io
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prep.archives.units import Unit, read_units
from prep.cluster import boundaries
from prep.cluster.boundaries import AHEAD, probe, units_of, walk
from prep.datasets.description import Layout, Split
from prep.errors import IntegrityError, SourceError
from tests.prep import tars
from tests.prep.cluster.archives import (
    NAME,
    SPLIT,
    Ranges,
    member_ends,
    photographs,
    random_members,
    read_whole,
    tiles,
)

FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LAYOUTS: list[Layout] = ["nested", "flat", "folders"]
GNU_FORMS = ["v7", "oldgnu", "gnu", "ustar", "posix"]


def gnu_tar(folder: Path, form: str, *options: str, seed: int = 3) -> bytes:
    """What GNU tar makes of a folder of images."""
    program = shutil.which("tar")
    if program is None:
        pytest.skip("GNU tar is not here")
    for info, data in random_members(seed):
        if info.isreg():
            (folder / "images" / info.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "images" / info.name).write_bytes(data)
    command = [program, f"--format={form}", *options, "-C", str(folder / "images"), "-cf", "-", "."]
    return subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603 - our own


def check_units(folder: Path, data: bytes, pool: ThreadPoolExecutor, end: int | None = None) -> None:
    """Both ways find right units, whatever their size. After `end` comes what is no member."""
    ends = member_ends(data)
    for least in (1, 512, 5000, 50_000, 10_000_000):
        assert walk(Ranges(data), NAME, len(data), least) == read_whole(folder, data, least)
    for least in (20_000, 60_001, 10_000_000):  # most members are smaller
        probed = probe(Ranges(data), NAME, len(data), least, pool)
        assert probed is not None
        assert tiles(probed, len(data))
        assert {unit.end for unit in probed} <= ends
        assert len(probed) > 0.6 * (end or len(data)) // least
        assert all(unit.size >= least // 2 for unit in probed) or len(probed) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_units_are_those_of_reading_all(
    tmp_path: Path, pool: ThreadPoolExecutor, form: str, seed: int
) -> None:
    names = 60 if form == "ustar" else 115
    check_units(tmp_path, tars.tar(random_members(seed, names), FORMS[form]), pool)


@pytest.mark.parametrize("form", GNU_FORMS)
def test_archives_of_gnu_tar(tmp_path: Path, pool: ThreadPoolExecutor, form: str) -> None:
    check_units(tmp_path, gnu_tar(tmp_path, form), pool)


def test_global_and_long_extended_headers(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """A unit starts without the global headers before it, as on one machine."""
    data = gnu_tar(tmp_path, "posix", "--pax-option=comment=global,atime:=1")
    check_units(tmp_path, data, pool)
    members = random_members(5)
    for info, _ in members[::3]:
        info.pax_headers = {"comment": "long" * 5000}
    check_units(tmp_path, tars.tar(members, tarfile.PAX_FORMAT), pool)


@pytest.mark.parametrize("padding", [0, 512, 1024, 100_000])
def test_padding_belongs_to_the_last_unit(tmp_path: Path, pool: ThreadPoolExecutor, padding: int) -> None:
    data = tars.tar(random_members(1))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.getmembers()
        end = tar.offset
    padded = data[:end] + bytes(padding)
    check_units(tmp_path, padded, pool, end)
    assert walk(Ranges(padded), NAME, len(padded), 5000)[-1].offset < end


def test_data_after_the_end_marker(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """It belongs to the last unit, also if it is another archive: there the probe is misled."""
    data = tars.tar(random_members(1))
    noise = data + random.Random(1).randbytes(100_000)  # noqa: S311 - a test
    check_units(tmp_path, noise, pool, len(data))
    two = data + tars.tar(random_members(2))
    units = walk(Ranges(two), NAME, len(two), 50_000)
    assert units == read_whole(tmp_path, two, 50_000)
    assert units[-1].offset < len(data)
    probed = probe(Ranges(two), NAME, len(two), 50_000, pool)
    assert probed is not None
    assert probed[-1].offset > len(data)


def test_small_and_empty_archives(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    for data in (tars.tar_of({}), tars.tar_of({"n1/a.JPEG": b"x" * 512})[:1024]):
        for layout in LAYOUTS:
            found = units_of(Ranges(data), NAME, len(data), layout, pool)
            assert found == [Unit(NAME, 0, 0, len(data))] == read_whole(tmp_path, data, 8 << 20)
    assert units_of(Ranges(b""), NAME, 0, "flat", pool) == read_whole(tmp_path, b"", 1) == []


def check_damage(folder: Path, data: bytes, least: int) -> bool:
    """Walking ends as reading all does, with the same units or message. Returns whether it was a message."""

    def outcome(find: Callable[[], list[Unit]]) -> list[Unit] | str:
        try:
            return find()
        except IntegrityError as error:
            return str(error).replace(str(folder / NAME), NAME)

    walked = outcome(lambda: walk(Ranges(data), NAME, len(data), least))
    assert walked == outcome(lambda: read_whole(folder, data, least))
    return isinstance(walked, str)


@pytest.mark.parametrize("form", FORMS)
def test_damaged_headers(tmp_path: Path, form: str) -> None:
    members = random_members(1)[:40]
    data = tars.tar(members, FORMS[form])
    for offset in tars.header_offsets(data):
        damaged = data[: offset + 10] + b"\x01\x02\x03" + data[offset + 13 :]
        for least in (1, 5000, 10_000_000):
            assert check_damage(tmp_path, damaged, least)


@pytest.mark.parametrize("form", FORMS)
def test_cut_short(tmp_path: Path, form: str) -> None:
    data = tars.tar(random_members(2)[:40], FORMS[form])
    whole = tars.header_offsets(data)
    for length in range(100, whole[-1], 1997):
        if length not in whole:
            assert check_damage(tmp_path, data[:length], 20_000)


def test_not_a_tar(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    for data in (b"<html>please log in</html>" * 10_000, b"\x1f\x8b" + bytes(range(256)) * 1000):
        assert check_damage(tmp_path, data, 5000)
        ranges = Ranges(data)
        with pytest.raises(IntegrityError, match=r"archive a.tar: not a readable tar file at byte 0"):
            units_of(ranges, NAME, len(data), "flat", pool, 5000)
        assert ranges.bytes < 3 * AHEAD


def test_links_and_devices_are_left_to_whoever_reads_the_unit(pool: ThreadPoolExecutor) -> None:
    members = random_members(1)
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
    for number, kind in enumerate(kinds):
        members.insert(10 + 20 * number, tars.special(f"n1/special{number}", kind, "/etc/passwd"))
    data = tars.tar(members)
    for units in (
        walk(Ranges(data), NAME, len(data), 5000),
        probe(Ranges(data), NAME, len(data), 5000, pool),
    ):
        assert units is not None
        assert tiles(units, len(data))
        assert {unit.end for unit in units} <= member_ends(data)


@pytest.mark.parametrize("form", FORMS)
def test_walk_reads_headers_only(form: str) -> None:
    """One read for each member, also where an extended header comes before each."""
    data = tars.tar(
        [
            tars.file(f"{'long' * 20}/{'name' * 10}{number}.tar" if form == "ustar" else "é" * 120, data)
            for number, data in enumerate([bytes(1 << 20)] * 40)
        ],
        FORMS[form],
    )
    ranges = Ranges(data)
    units = walk(ranges, NAME, len(data), 3 << 20)
    assert len(units) == 14
    assert len(ranges.asked) <= 40 + len(units) + 1
    assert ranges.bytes < len(data) / 150
    assert max(end - start for start, end in ranges.asked) == AHEAD


def test_nested_archives_are_walked(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    inner = {f"n{number}.tar": photographs(20, 30_000, seed=number) for number in range(10)}
    data = tars.tar_of(inner)
    ranges = Ranges(data)
    found = units_of(ranges, NAME, len(data), "nested", pool, 1 << 20)
    path = tmp_path / NAME
    path.write_bytes(data)
    nested = Split("train", SPLIT.archive, "nested", "path", 1)
    assert found == [one.unit for one in read_units(path, nested, str, lambda _: None, 1 << 20)]
    assert len(found) > 3
    assert ranges.bytes < len(data) / 50


@pytest.mark.parametrize("layout", ["flat", "folders"])
@pytest.mark.parametrize("form", FORMS)
def test_probe_reads_little(pool: ThreadPoolExecutor, layout: Layout, form: str) -> None:
    """A window near each multiple of the unit size: 3 % of the archive, less where units are larger."""
    data = photographs(600, 100_000, FORMS[form])
    ranges = Ranges(data)
    units = units_of(ranges, NAME, len(data), layout, pool)
    assert len(units) == round(len(data) / (8 << 20))
    assert {unit.end for unit in units} <= member_ends(data)
    assert all(4 << 20 < unit.size < 12 << 20 for unit in units)
    assert ranges.bytes < len(data) / 20
    assert len(ranges.asked) < 4 * len(units)


def test_probe_does_not_search_for_long(pool: ThreadPoolExecutor) -> None:
    """An image of 24 MiB among small ones hides two multiples: 4 MiB are read in vain for each."""
    small = [tars.file(f"n1/{number}.JPEG", bytes(100_000)) for number in range(400)]
    large = tars.file("n1/large.JPEG", bytes(range(256)) * (24 << 12))
    data = tars.tar([*small[:200], large, *small[200:]])
    ranges = Ranges(data)
    units = units_of(ranges, NAME, len(data), "flat", pool)
    assert tiles(units, len(data))
    assert {unit.end for unit in units} <= member_ends(data)
    assert max(unit.size for unit in units) > 24 << 20
    assert ranges.bytes < 3 * boundaries.SCANNED + 10 * boundaries.WINDOW


def test_walk_where_probes_find_nothing(pool: ThreadPoolExecutor) -> None:
    """All images are larger than what a probe searches."""
    data = photographs(8, 1_000_000)
    least = 100_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundaries, "SCANNED", 512)
        assert probe(Ranges(data), NAME, len(data), least, pool) is None
        assert units_of(Ranges(data), NAME, len(data), "flat", pool, least) == walk(
            Ranges(data), NAME, len(data), least
        )
        assert probe(Ranges(data), NAME, len(data), len(data) // 3, pool) == [Unit(NAME, 0, 0, len(data))]


def test_an_error_of_a_read_is_passed_on(pool: ThreadPoolExecutor) -> None:
    data = photographs(50, 20_000)

    def failing(start: int, end: int) -> bytes:
        if start > len(data) // 2:
            raise SourceError("s3://bucket/a.tar: no answer: run again later")
        return data[start:end]

    for layout in LAYOUTS:
        with pytest.raises(SourceError, match="no answer"):
            units_of(failing, NAME, len(data), layout, pool, 50_000)


def test_an_archive_that_became_shorter(pool: ThreadPoolExecutor) -> None:
    data = photographs(50, 20_000)

    def short(start: int, end: int) -> bytes:
        return data[start : min(end, len(data) // 2)]

    for layout in LAYOUTS:
        with pytest.raises(IntegrityError, match=r"archive a.tar: became shorter"):
            units_of(short, NAME, len(data), layout, pool, 50_000)
