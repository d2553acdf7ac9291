"""An archive that changed after it was checked is checked again, and nothing is made of it if it is bad."""

import os
from pathlib import Path

import pytest

from prep.archives.units import read_units
from prep.errors import IntegrityError
from prep.job import Job
from prep.run import run
from tests.prep.small_sets import TINY, job, note_checked, packed_files, write_folders
from tests.prep.tars import tar_of

SPOILT = b"40 bytes in the middle of an image, lost"


@pytest.fixture
def work(tmp_path: Path) -> Job:
    work = job(write_folders(tmp_path / "set", TINY), tmp_path)
    unlink_original(work)
    note_checked(work)
    return work


def unlink_original(work: Job) -> None:
    """Archives are linked into place; spoiling one must not spoil the other."""
    for path in work.layout.archives.iterdir():
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)


def spoil(work: Job) -> bytes:
    """Overwrite bytes in the middle of an image; the size stays. Returns what was there."""
    path = work.layout.archives / "train.tar"
    data = path.read_bytes()
    place = data.index(b"\xff\xda") + 60  # within the picture data of the first image
    path.write_bytes(data[:place] + SPOILT + data[place + len(SPOILT) :])
    os.utime(path, ns=(1, 1))
    return data


def put_back(work: Job, data: bytes, time: int) -> None:
    path = work.layout.archives / "train.tar"
    path.write_bytes(data)
    os.utime(path, ns=(time, time))


@pytest.mark.parametrize("stage", ["pack", "organize"])
def test_changed_after_it_was_checked(work: Job, tmp_path: Path, stage: str) -> None:
    data = spoil(work)
    with (
        work.locked(),
        pytest.raises(IntegrityError, match=r"train.tar: its MD5 is \w+, should be .*move it away"),
    ):
        getattr(work, stage)()
    assert packed_files(tmp_path).keys() <= {"journal.jsonl", "0"}
    assert not (work.layout.receipts / f"{stage}.json").exists()
    put_back(work, data, 2)
    with work.locked():
        work.pack()
    fresh = job(tmp_path / "set" / "tiny.toml", tmp_path / "fresh")
    with fresh.locked():
        fresh.pack()
    assert packed_files(tmp_path) == packed_files(tmp_path / "fresh")


def test_run_with_another_packed_folder(work: Job, tmp_path: Path) -> None:
    """As the fault was found: a whole run, then the change, then a run into another folder."""
    with work.locked():
        work.download()
        work.pack()
    spoil(work)
    again = job(tmp_path / "set" / "tiny.toml", tmp_path)
    other = Job(again.description, type(again.layout)(again.layout.root, tmp_path / "other"), again.progress)
    with other.locked(), pytest.raises(IntegrityError, match=r"train.tar: its MD5 is"):
        run(other)
    assert not (tmp_path / "other" / "train.rec").exists()


def test_touched_but_the_same(work: Job) -> None:
    """Read once more, and then known again."""
    os.utime(work.layout.archives / "train.tar", ns=(5, 5))
    with work.locked():
        work.pack()
        assert work.download().counts == {"archives": 1, "fetched": 0}


def test_download_alone_reads_what_changed(work: Job) -> None:
    with work.locked():
        work.download()
        spoil(work)
        with pytest.raises(IntegrityError, match=r"train.tar: its MD5 is .*: move it away"):
            work.download()


def test_units_of_a_bad_version_are_forgotten(
    work: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of a bad archive; the good one is then put in its place."""
    data = spoil(work)

    def killed(*arguments: object, **options: object) -> object:
        yield from read_units(*arguments, **options)  # type: ignore[arg-type]
        raise KeyboardInterrupt  # after the last unit, before its digest is compared

    monkeypatch.setattr("prep.archives.readers.read_units", killed)
    with work.locked(), pytest.raises(KeyboardInterrupt):
        work.pack()
    monkeypatch.undo()
    assert '"unit"' in (work.layout.packing / "journal.jsonl").read_text()
    put_back(work, data, 3)
    with work.locked():
        work.pack()
    fresh = job(tmp_path / "set" / "tiny.toml", tmp_path / "fresh")
    with fresh.locked():
        fresh.pack()
    assert packed_files(tmp_path) == packed_files(tmp_path / "fresh")


def test_small_archives_too(tmp_path: Path) -> None:
    """What no pass reads, such as bounding boxes, is read to see before a pass begins."""
    toml = write_folders(tmp_path / "set", TINY)
    (toml.parent / "archives" / "boxes.tar").write_bytes(tar_of({"a.xml": b"<x/>"}))
    toml.write_text(
        toml.read_text()
        + '\n[[archives]]\nfile = "boxes.tar"\nurl = "https://example.invalid/boxes.tar"\n'
        + f'md5 = "{"0" * 32}"\n\n[[bounding_boxes]]\narchive = "boxes.tar"\nfolder = "train"\n'
    )
    work = job(toml, tmp_path)
    with work.locked(), pytest.raises(IntegrityError, match=r"boxes.tar: its MD5 is"):
        work.organize()
