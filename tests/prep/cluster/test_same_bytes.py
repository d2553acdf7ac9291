"""The files that a cluster packs are those of one machine, byte for byte."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.prep import pictures
from tests.prep.cluster.stand import Stand, here
from tests.prep.odd_images import KINDS, UNREADABLE, made
from tests.prep.small_sets import Images, packed_files, write_folders

NAMES = {"MANIFEST.json", "classes.tsv"}


def names_of(*parts: str) -> set[str]:
    return NAMES | {f"{part}.{kind}" for part in parts for kind in ("rec", "idx", "lst")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> dict[str, str]:
    """SHA-256 of the files that one machine makes of the sample."""
    folder = tmp_path_factory.mktemp("expected")
    assert here(sample, folder).returncode == 0
    return packed_files(folder)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers(stand: Stand, sample: Path, expected: dict[str, str], workers: int) -> None:
    """A nested archive, and a flat one with a devkit, both with odd images; 5 MiB ranges, 1 MiB units."""
    while len(stand.nodes.numbers()) < workers:
        stand.nodes.add()
    packed = stand.place()
    done = stand.pack(sample, stand.source(sample), packed)
    assert done.returncode == 0, done.stderr
    assert stand.files(packed) == expected
    assert set(stand.files(packed)) == names_of("train", "validation")
    ranges = json.loads(stand.read(packed, ".prep/ranges.json"))
    assert len([each for each in ranges if each["split"] == "train"]) == 3


@pytest.mark.parametrize("settings", [
    ["--resize", "256", "--quality", "90", "--seed", "7"],
    ["--part-mib", "2", "--resize", "0"],
])  # fmt: skip
def test_settings(tmp_path: Path, stand: Stand, sample: Path, settings: list[str]) -> None:
    assert here(sample, tmp_path, *settings).returncode == 0
    packed = stand.place()
    done = stand.pack(sample, stand.source(sample), packed, *settings)
    assert done.returncode == 0, done.stderr
    assert stand.files(packed) == packed_files(tmp_path)
    assert len(stand.files(packed)) == (8 if "--seed" in settings else 29)


def test_class_folders(tmp_path: Path, stand: Stand, folders_sample: Path) -> None:
    assert here(folders_sample, tmp_path).returncode == 0
    packed = stand.place()
    done = stand.pack(folders_sample, stand.source(folders_sample), packed)
    assert done.returncode == 0, done.stderr
    assert stand.files(packed) == packed_files(tmp_path)


@pytest.mark.parametrize("settings", [[], ["--part-mib", "8"]])
def test_parts_of_an_upload(tmp_path: Path, stand: Stand, large: Path, settings: list[str]) -> None:
    """All but the last have 5 MiB, as S3 demands; some files consist of several."""
    assert here(large, tmp_path, *settings).returncode == 0
    packed = stand.place()
    done = stand.pack(large, stand.source(large), packed, *settings)
    assert done.returncode == 0, done.stderr
    assert stand.files(packed) == packed_files(tmp_path)
    ranges = json.loads(stand.read(packed, ".prep/ranges.json"))
    parts = [each["part"] for each in ranges]
    assert len(parts) > len(set(parts))
    assert len(set(parts)) == (3 if settings else 1)
    for each, following in pairwise(ranges):
        assert each["rec"][1] >= 5 << 20 or following["part"] != each["part"]


def test_an_archive_whose_digest_is_not_known(tmp_path: Path, stand: Stand, large: Path) -> None:
    assert here(large, tmp_path).returncode == 0
    packed = stand.place()
    done = stand.pack(large, stand.source(large, checked=False), packed)
    assert done.returncode == 0, done.stderr
    assert stand.files(packed) == packed_files(tmp_path)


def test_odd_images(tmp_path: Path, stand: Stand) -> None:
    """Those that can't be read are named, in the same words; with leave, they are left out."""
    unmade = ("4-4-0", "4-1-1", "arithmetic")  # need libjpeg-turbo, which not every machine has
    kinds = {name: kind for name, kind in KINDS.items() if name not in unmade}
    images: Images = {
        "odd": {f"{name}.jpg": made(kind, False) for name, kind in kinds.items()},
        "usual": {f"{number}.jpg": pictures.jpeg(40, 30, number) for number in range(4)},
    }
    toml = write_folders(tmp_path / "set", {"train": images})
    packed, source = stand.place(), stand.source(toml)
    local, done = here(toml, tmp_path), stand.pack(toml, source, packed)
    assert (local.returncode, done.returncode) == (5, 5)
    assert done.stderr.splitlines()[-1] == local.stderr.splitlines()[-1]
    assert "unreadable images: odd/" in done.stderr
    assert not stand.objects(packed).keys() & names_of("train")
    unreadable = sum(kind.small.how == UNREADABLE for kind in kinds.values())
    leave = ["--allow-unreadable", str(unreadable)]
    stand.proxy.requests.clear()
    local, done = here(toml, tmp_path, *leave), stand.pack(toml, source, packed, *leave)
    assert (local.returncode, done.returncode) == (0, 0), done.stderr
    assert stand.files(packed) == packed_files(tmp_path)
    again = [each.key for each in stand.proxy.requests if each.key.endswith(".entries")]
    assert {each.operation for each in stand.proxy.requests if each.key in again} == {"GetObject"}


def test_a_split_of_which_no_image_can_be_read(tmp_path: Path, stand: Stand) -> None:
    images: Images = {"a": {"1.jpg": b"", "2.jpg": b""}}
    fine: Images = {"a": {"3.jpg": pictures.jpeg(20, 20, 1)}}
    toml = write_folders(tmp_path / "set", {"train": images, "validation": fine})
    packed, leave = stand.place(), ["--allow-unreadable", "2"]
    local, done = here(toml, tmp_path, *leave), stand.pack(toml, stand.source(toml), packed, *leave)
    assert (local.returncode, done.returncode) == (0, 0), done.stderr
    assert stand.files(packed) == packed_files(tmp_path)
