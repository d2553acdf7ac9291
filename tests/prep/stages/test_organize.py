"""Organize: the archives' images, byte for byte, in class folders; bounding boxes beside them."""

import gzip
import hashlib
import lzma
import tarfile
from pathlib import Path

import pytest

from prep.errors import IntegrityError
from prep.run import run
from prep.stages.status import status
from rehearsal.checks.truth import read_truth
from tests.prep import tars
from tests.prep.small_sets import job, place_archives, write_folders

TINY = {"train": {"cat": {"1.jpg": b"one", "2.jpg": b"two"}, "dog": {"1.jpg": b"three"}}}


def organized(root: Path, splits: list[str]) -> dict[str, bytes]:
    """Every file below the splits' folders."""
    files = (path for split in splits for path in (root / split).rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_everything_is_in_its_place(tmp_path: Path, sample: Path) -> None:
    """Held against the archives by code that shares nothing with `prep`."""
    work = job(sample, tmp_path)
    with work.locked():
        receipt = work.organize()
    root = tmp_path / "root"
    truth = read_truth(sample, sample.parent / "archives")
    expected = {f"{split.name}/{name}": data for split in truth.splits for name, data in split.images()}
    assert organized(root, ["train", "validation"]) == expected
    boxes = {path.relative_to(root / "bounding_boxes") for path in (root / "bounding_boxes").rglob("*.xml")}
    assert {path.parts[0] for path in boxes} == {"train", "validation"}
    assert receipt.counts == {
        "train": 156,
        "validation": 24,
        "bounding boxes train": sum(path.parts[0] == "train" for path in boxes),
        "bounding boxes validation": sum(path.parts[0] == "validation" for path in boxes),
    }


def test_without_bounding_boxes(tmp_path: Path, folders_sample: Path) -> None:
    work = job(folders_sample, tmp_path)
    with work.locked():
        work.organize()
    truth = read_truth(folders_sample, folders_sample.parent / "archives")
    expected = {f"{split.name}/{name}": data for split in truth.splits for name, data in split.images()}
    assert organized(tmp_path / "root", ["train", "validation"]) == expected
    assert not (tmp_path / "root" / "bounding_boxes").exists()


def test_wrong_count_names_split_and_archive(tmp_path: Path) -> None:
    work = job(write_folders(tmp_path, TINY, images=4), tmp_path)
    with (
        work.locked(),
        pytest.raises(
            IntegrityError,
            match=r"train.tar holds 3 images, the description says 4: correct \[splits.train\] images",
        ),
    ):
        work.organize()
    assert not (tmp_path / "root" / ".prep" / "organize.json").exists()


def with_boxes(folder: Path, boxes: bytes | None) -> Path:
    """The tiny data set with an archive of bounding boxes, or with none where one should be."""
    toml = write_folders(folder, TINY)
    md5 = hashlib.md5(boxes or b"", usedforsecurity=False).hexdigest()
    if boxes is not None:
        (toml.parent / "archives" / "boxes.tgz").write_bytes(boxes)
    toml.write_text(
        toml.read_text()
        + '\n[[archives]]\nfile = "boxes.tgz"\nurl = "https://example.invalid/boxes.tgz"\n'
        + f'md5 = "{md5}"\n\n[[bounding_boxes]]\narchive = "boxes.tgz"\nfolder = "train"\n'
    )
    return toml


DAMAGED_BOXES = {
    "climbing": tars.tar_of({"../../escaped.xml": b"<x/>"}),
    "steering the terminal": tars.tar_of({"\x1b[2Ja.xml": b"<x/>"}),
    "absolute": tars.tar([tars.special("a.xml", tarfile.SYMTYPE, "/etc/passwd")]),
    "link inside": tars.tar([tars.special("a.xml", tarfile.SYMTYPE, "b.xml")]),
    "pipe": tars.tar([tars.special("a.xml", tarfile.FIFOTYPE)]),
    "spoilt header": tars.tar([tars.extended("a.xml", {"GNU.sparse.size": "x"})], tarfile.PAX_FORMAT),
    "cut xz": lzma.compress(tars.tar_of({"a.xml": bytes(range(256)) * 500}))[:300] + b"x" * 99,
    "link outside": tars.tar([tars.special("a.xml", tarfile.LNKTYPE, "../../../etc/passwd")]),
    "no tar": b"<html>",
    "cut": gzip.compress(tars.tar_of({"a.xml": b"<x/>" * 5000}))[:60],
    "not there": None,
}


@pytest.mark.parametrize("boxes", DAMAGED_BOXES.values(), ids=DAMAGED_BOXES)
def test_damaged_bounding_boxes(tmp_path: Path, boxes: bytes | None) -> None:
    work = job(with_boxes(tmp_path / "set", boxes), tmp_path)
    with work.locked(), pytest.raises(IntegrityError, match=r"archive .*boxes.tgz: .*") as caught:
        work.organize()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "escaped.xml").exists()
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_boxes_of_a_whole_folder(tmp_path: Path) -> None:
    """`tar -c .` names the folder itself, as "./"."""
    boxes = tars.tar([tars.special("./", tarfile.DIRTYPE), tars.file("./n1/a.xml", b"<x/>")])
    work = job(with_boxes(tmp_path / "set", boxes), tmp_path)
    with work.locked():
        work.organize()
    assert (work.layout.bounding_boxes / "train" / "n1" / "a.xml").read_bytes() == b"<x/>"


def test_half_written_unit_is_written_again(tmp_path: Path) -> None:
    """A file that a kill left behind counts for nothing until the journal says so."""
    toml = write_folders(tmp_path / "set", TINY)
    place_archives(toml, tmp_path / "root")
    torn = tmp_path / "root" / "train" / "cat" / "2.jpg"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"t")
    work = job(toml, tmp_path)
    with work.locked():
        work.organize()
    assert torn.read_bytes() == b"two"


def test_missing_archive(tmp_path: Path) -> None:
    toml = write_folders(tmp_path / "set", TINY)
    work = job(toml, tmp_path)
    (tmp_path / "root" / "archives" / "train.tar").unlink()
    with work.locked(), pytest.raises(IntegrityError, match=r"train.tar: not there: run download first"):
        work.organize()


@pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")  # MXNet's
def test_run_without(tmp_path: Path, sample: Path) -> None:
    work = job(sample, tmp_path, with_organize=False)
    with work.locked():
        stages = [receipt.stage for receipt in run(work)]
    assert stages == ["download", "pack", "verify", "preview", "run"]
    assert not (tmp_path / "root" / "train").exists()
    assert status(work.layout)["organize"]["state"] == "not begun"
