"""Units tile an archive, whoever reads which of them; and nothing but images comes out of an archive."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from prep.archives.units import LoadedUnit, read_folder_units, read_units, unit_bytes
from prep.datasets.description import Archive, Labels, Layout, Split
from prep.errors import IntegrityError
from tests.prep import tars

IMAGES = {
    f"n{number:08}": {
        f"n{number:08}_{image}.JPEG": bytes([number, image]) * (700 * image) for image in range(9)
    }
    for number in (7, 3, 5, 1)
}
EXPECTED = {f"{wnid}/{file}": data for wnid, inside in IMAGES.items() for file, data in inside.items()}


def split(layout: Layout) -> Split:
    labels: Labels = "devkit" if layout == "flat" else "path"
    return Split(
        "train", Archive("a.tar", "https://example.invalid/a.tar", "0" * 32, None), layout, labels, 36
    )


def archive(folder: Path, layout: Layout) -> Path:
    if layout == "nested":
        data = tars.tar_of({f"{wnid}.tar": tars.tar_of(inside) for wnid, inside in IMAGES.items()})
    elif layout == "flat":
        data = tars.tar_of({file: data for inside in IMAGES.values() for file, data in inside.items()})
    else:
        members = [tars.special("./", tarfile.DIRTYPE)]
        for wnid, inside in IMAGES.items():
            members.append(tars.special(f"./{wnid}", tarfile.DIRTYPE))
            members += [tars.file(f"./{wnid}/{file}", data) for file, data in inside.items()]
        data = tars.tar(members)
    path = folder / "a.tar"
    path.write_bytes(data)
    return path


def class_of(name: str) -> str:
    return name.partition("_")[0]


def read(
    path: Path,
    layout: Layout,
    smallest: int = 4000,
    wanted: Callable[[int], int | None] = lambda _: None,
) -> list[LoadedUnit]:
    return list(read_units(path, split(layout), class_of, wanted, smallest))


def images(loaded: list[LoadedUnit]) -> dict[str, bytes]:
    return {image.name: bytes(image.data) for unit in loaded for image in unit.images}


@pytest.mark.parametrize("smallest", [1, 512, 4000, 20_000, 10_000_000])
@pytest.mark.parametrize("layout", ["nested", "flat", "folders"])
def test_units_tile_the_archive(tmp_path: Path, layout: Layout, smallest: int) -> None:
    path = archive(tmp_path, layout)
    loaded = read(path, layout, smallest)
    assert b"".join(unit.data for unit in loaded) == path.read_bytes()
    end = 0
    for index, unit in enumerate(loaded):
        assert (unit.unit.archive, unit.unit.index, unit.unit.offset) == ("a.tar", index, end)
        assert unit.unit.size == len(unit.data)
        end = unit.unit.end
        assert unit is loaded[-1] or unit.unit.size >= smallest
    assert end == path.stat().st_size
    assert images(loaded) == EXPECTED
    assert (len(loaded) == 1) == (smallest > path.stat().st_size)


@pytest.mark.parametrize("layout", ["nested", "flat", "folders"])
@pytest.mark.parametrize("first_wanted", [0, 1])
def test_skipping_changes_no_cut(tmp_path: Path, layout: Layout, first_wanted: int) -> None:
    path = archive(tmp_path, layout)
    every = read(path, layout)
    assert len(every) > 3
    done = {unit.unit.offset: unit.unit.size for unit in every if unit.unit.index % 2 != first_wanted}
    rest = read(path, layout, wanted=done.get)
    assert [unit.unit for unit in rest] == [unit.unit for unit in every if unit.unit.offset not in done]
    assert [bytes(unit.data) for unit in rest] == [
        bytes(unit.data) for unit in every if unit.unit.offset not in done
    ]


def test_done_units_are_not_read(tmp_path: Path) -> None:
    """They may be damaged by now: nobody looks."""
    path = archive(tmp_path, "flat")
    every = read(path, "flat")
    done = {unit.unit.offset: unit.unit.size for unit in every[:-1]}
    damaged = bytearray(path.read_bytes())
    damaged[: every[-1].unit.offset] = b"\xff" * every[-1].unit.offset
    path.write_bytes(damaged)
    assert [unit.unit for unit in read(path, "flat", wanted=done.get)] == [every[-1].unit]


def test_size_of_units() -> None:
    """S3's rules for parts: from 5 MiB, at most 10,000; and about ImageNet's classes."""
    assert unit_bytes(1) == 8 << 20
    assert 147_000_000 < unit_bytes(147_897_477_120) < 148_000_000
    for size in (1 << 20, 1 << 30, 1 << 40):
        assert 5 << 20 <= unit_bytes(size) <= 5 << 30
        assert size / unit_bytes(size) <= 10_000


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names(tmp_path: Path, form: int) -> None:
    files = {f"{'deep/' * 30}n1/{'long' * 40}{number}é.JPEG": bytes([number]) * 900 for number in range(6)}
    path = tmp_path / "a.tar"
    path.write_bytes(tars.tar_of(files, form))
    expected = {name.removeprefix("deep/" * 30): data for name, data in files.items()}
    for smallest in (1, 5000, 10_000_000):
        loaded = read(path, "folders", smallest)
        assert b"".join(unit.data for unit in loaded) == path.read_bytes()
        assert images(loaded) == expected


def test_empty_and_bare(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tars.tar_of({}))
    assert images(read(path, "folders")) == {}
    # No end-of-archive padding, as `head -c` or a careless writer leaves it: every member is whole.
    path.write_bytes(tars.tar_of({"n1/a.JPEG": b"x" * 512})[:1024])
    assert images(read(path, "folders")) == {"n1/a.JPEG": b"x" * 512}


HOSTILE = {
    "absolute": tars.file("/etc/a.JPEG", b"x"),
    "climbing": tars.file("n1/../../a.JPEG", b"x"),
    "newline": tars.file("n1/a\nb.JPEG", b"x"),
    "tab": tars.file("n1/a\tb.JPEG", b"x"),
    "carriage return": tars.file("n1/a\rb.JPEG", b"x"),
    "line separator": tars.file("n1/a\u2028b.JPEG", b"x"),
    "escape sequence": tars.file("n1/a\x1b[31mb.JPEG", b"x"),
    "no UTF-8": tars.file("n1/caf\udce9.JPEG", b"x"),
    "link": tars.special("n1/a.JPEG", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": tars.special("n1/a.JPEG", tarfile.LNKTYPE, "n1/b.JPEG"),
    "device": tars.special("n1/a.JPEG", tarfile.CHRTYPE),
    "pipe": tars.special("n1/a.JPEG", tarfile.FIFOTYPE),
    "sparse": tars.special("n1/a.JPEG", tarfile.GNUTYPE_SPARSE),
    "no image": tars.file("n1/readme.txt", b"x"),
}


@pytest.mark.parametrize("member", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("layout", ["nested", "flat", "folders"])
def test_hostile_members(tmp_path: Path, layout: Layout, member: tars.Member) -> None:
    path = tmp_path / "a.tar"
    data = tars.tar([tars.file("n1/good.JPEG", b"y"), member])
    path.write_bytes(tars.tar_of({"n1.tar": data}) if layout == "nested" else data)
    with pytest.raises(IntegrityError, match=r"^archive .*a.tar") as caught:
        read(path, layout)
    str(caught.value).encode()  # can be shown
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"GNU.sparse.map": "0,x"},
        {"GNU.sparse.size": "all"},
        {"path": "n1/../../a.JPEG"},
        {"size": "9" * 30},
    ],
)
@pytest.mark.parametrize("layout", ["nested", "flat", "folders"])
def test_hostile_extended_headers(tmp_path: Path, layout: Layout, headers: dict[str, str]) -> None:
    """Python's tarfile takes some of them for numbers, and others for names."""
    path = tmp_path / "a.tar"
    data = tars.tar([tars.extended("n1/a.JPEG", headers), tars.file("n1/b.JPEG", b"x")], tarfile.PAX_FORMAT)
    path.write_bytes(tars.tar_of({"n1.tar": data}) if layout == "nested" else data)
    with pytest.raises(IntegrityError, match=r"^archive .*a.tar"):
        read(path, layout)


@pytest.mark.parametrize(
    ("layout", "name", "message"),
    [
        ("nested", "n1.zip", "not <class>.tar"),
        ("nested", "readme.txt", "not <class>.tar"),
        ("nested", "../n1.tar", "not a valid file name"),
        ("nested", "..tar", "not <class>.tar"),
        ("nested", "...tar", "not <class>.tar"),
        ("folders", "a.JPEG", "is not in a class folder"),
    ],
)
def test_members_in_the_wrong_place(tmp_path: Path, layout: Layout, name: str, message: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tars.tar_of({name: tars.tar_of({})}))
    with pytest.raises(IntegrityError, match=message):
        read(path, layout)


@pytest.mark.parametrize("layout", ["nested", "flat", "folders"])
def test_cut_short(tmp_path: Path, layout: Layout) -> None:
    """Wherever it ends, unless between members: it is never taken for whole."""
    path = archive(tmp_path, layout)
    data = path.read_bytes()
    with tarfile.open(path) as opened:
        boundaries = {member.offset for member in opened}
        end = opened.offset
    for length in range(100, end - 512, 997):
        if length in boundaries:
            continue
        path.write_bytes(data[:length])
        with pytest.raises(IntegrityError, match=r"^archive .*a.tar"):
            read(path, layout)


@pytest.mark.parametrize("smallest", [1, 4000, 10_000_000])
@pytest.mark.parametrize("layout", ["nested", "flat"])
def test_damaged_header(tmp_path: Path, layout: Layout, smallest: int) -> None:
    """Python's tarfile takes one for the end of the archive."""
    path = archive(tmp_path, layout)
    data = path.read_bytes()
    for offset in tars.header_offsets(data):
        path.write_bytes(data[: offset + 10] + b"\x01\x02\x03" + data[offset + 13 :])
        with pytest.raises(IntegrityError, match=f"archive .* at byte {offset}"):
            read(path, layout, smallest)


def test_damaged_inner_header(tmp_path: Path) -> None:
    inner = tars.tar_of(IMAGES["n00000003"])
    for offset in tars.header_offsets(inner):
        damaged = inner[: offset + 10] + b"\x01" + inner[offset + 11 :]
        path = tmp_path / "a.tar"
        path.write_bytes(tars.tar_of({"n00000001.tar": damaged}))
        with pytest.raises(IntegrityError, match=f"a.tar/n00000001.tar.* at byte {offset if offset else 0}"):
            read(path, "nested")


def test_cut_inner_archive(tmp_path: Path) -> None:
    inner = tars.tar_of(IMAGES["n00000003"])
    path = tmp_path / "a.tar"
    path.write_bytes(tars.tar_of({"n00000003.tar": inner[:5000]}))
    with pytest.raises(IntegrityError, match=r"a.tar/n00000003.tar: incomplete in 'n00000003_"):
        read(path, "nested")


def test_negative_size_ends(tmp_path: Path) -> None:
    """A member of negative size would send a naive reader round for ever (CVE-2025-8194)."""
    data = bytearray(tars.tar_of({"n1/a.JPEG": b"x" * 600, "n1/b.JPEG": b"y" * 600}))
    offset = tars.header_offsets(bytes(data))[1]
    header = data[offset : offset + 512]
    header[124:136] = b"\xff" * 10 + b"\xf8\x00"  # -2048, in base 256
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    data[offset : offset + 512] = header
    path = tmp_path / "a.tar"
    for layout, whole in (("folders", bytes(data)), ("nested", tars.tar_of({"n1.tar": bytes(data)}))):
        path.write_bytes(whole)
        with pytest.raises(IntegrityError, match="archive"):
            read(path, layout)  # type: ignore[arg-type]  # a Layout


def test_not_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"<html>please log in</html>" * 100)
    with pytest.raises(IntegrityError, match="not a readable tar file at byte 0"):
        read(path, "flat")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as compressed:
        compressed.addfile(*_gz_member())
    path.write_bytes(buffer.getvalue())
    with pytest.raises(IntegrityError, match="not a readable tar file at byte 0"):
        read(path, "flat")


def _gz_member() -> tuple[tarfile.TarInfo, io.BytesIO]:
    info, data = tars.file("a.JPEG", b"x" * 5000)
    return info, io.BytesIO(data)


def write_folders(folder: Path, content: Mapping[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("smallest", [1, 4000, 10_000_000])
def test_folders(tmp_path: Path, smallest: int) -> None:
    top = write_folders(
        tmp_path / "train", EXPECTED | {"n00000001/notes.txt": b"no image", "loose.JPEG": b"x"}
    )
    every = list(read_folder_units(top, split("folders"), lambda _: None, smallest))
    assert images(every) == EXPECTED
    end = 0
    for index, unit in enumerate(every):
        assert (unit.unit.archive, unit.unit.index, unit.unit.offset) == ("train", index, end)
        end = unit.unit.end
    assert end == sum(map(len, EXPECTED.values()))
    done = {unit.unit.offset: unit.unit.size for unit in every[1::2]}
    rest = list(read_folder_units(top, split("folders"), done.get, smallest))
    assert [unit.unit for unit in rest] == [unit.unit for unit in every[::2]]


@pytest.mark.parametrize("name", ["n1/a\n.JPEG", "n1/\x1b[2J.JPEG", "n\t1/a.JPEG", "n1/caf\udce9.JPEG"])
def test_hostile_folders(tmp_path: Path, name: str) -> None:
    """Names of files that somebody put there become names of records and lines of lists."""
    top = write_folders(tmp_path / "train", {"n1/good.JPEG": b"y", name: b"x"})
    with pytest.raises(IntegrityError, match=f"^{top}") as caught:
        list(read_folder_units(top, split("folders"), lambda _: None))
    str(caught.value).encode()  # can be shown
    assert "\n" not in str(caught.value)


def negative() -> bytes:
    """A tar whose second member has a size below zero."""
    first = tarfile.TarInfo("n1/0.JPEG").tobuf(tarfile.GNU_FORMAT)
    block = bytearray(tarfile.TarInfo("n1/a.JPEG").tobuf(tarfile.GNU_FORMAT))
    block[124:136] = tarfile.itn(-512, 12, tarfile.GNU_FORMAT)
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    return first + bytes(block) + bytes(10240)


def test_a_size_below_zero_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(negative())
    with pytest.raises(IntegrityError, match="not a readable tar file"):
        read(path, "folders")


def test_a_size_below_zero_in_an_inner_archive_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tars.tar_of({"n00000001.tar": negative()}))
    with pytest.raises(IntegrityError, match="not a readable tar file"):
        read(path, "nested")


def test_extended_headers_without_end(tmp_path: Path) -> None:
    extended = tarfile.TarInfo("x")
    extended.type, extended.size = tarfile.XHDTYPE, 0
    path = tmp_path / "a.tar"
    path.write_bytes(extended.tobuf(tarfile.USTAR_FORMAT) * 2000 + bytes(10240))
    with pytest.raises(IntegrityError, match="not a readable tar file"):
        read(path, "folders")
