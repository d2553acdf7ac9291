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


def test_sizes_below_zero_end_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(header("n1/a.JPEG", -512)) + bytes(10240))
    with pytest.raises(IntegrityError, match="not a readable tar file"):
        read(path, "folders")


def test_sizes_below_zero_in_an_inner_archive_end_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tars.tar_of({"n00000001.tar": bytes(header("a.JPEG", -512)) + bytes(10240)}))
    with pytest.raises(IntegrityError, match="not a readable tar file"):
        read(path, "nested")


def test_extended_headers_without_end(tmp_path: Path) -> None:
    extended = tarfile.TarInfo("x")
    extended.type, extended.size = tarfile.XHDTYPE, 0
    path = tmp_path / "a.tar"
    path.write_bytes(extended.tobuf(tarfile.USTAR_FORMAT) * 2000 + bytes(10240))
    with pytest.raises(IntegrityError, match="not a readable tar file"):
        read(path, "folders")
