"""The data of the benchmarks: what is generated can be packed, and given data is taken as it is."""

import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.report import BenchError
from bench.rigs import ours, peer
from bench.workloads import photographs, tiny, workload
from bench.workloads.photographs import Plan
from bench.workloads.workload import Given, Workload


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(workload, "SCRATCH", tmp_path / "cache" / "scratch")


@pytest.fixture
def photos(tmp_path: Path) -> Workload:
    description = photographs.write(tmp_path / "photos", "photos", Plan(3, 4, 5))
    return Workload("some", tmp_path / "photos" / "archives", description)


def test_photographs_are_packed_by_both_sides(photos: Workload, tmp_path: Path) -> None:
    place = ours.beside(workload.scratch("ours"), photos.archives, photos.description)
    receipt = ours.receipts(ours.prep(place, "pack", "--resize", "256"))["pack"]
    assert receipt["counts"] == {"train": 12, "validation": 5}
    assert ours.packed_images(place) == 17 == photos.images
    prefix = tmp_path / "peer"
    peer.write_list(prefix.with_suffix(".lst"), photos.listing())
    peer.im2rec(prefix, photos.folders(), 256, 90, 2, tmp_path / "log")
    assert peer.packed(prefix) == 17


def test_what_im2rec_drops_is_not_counted(photos: Workload, tmp_path: Path) -> None:
    folders = photos.folders()
    listing = photos.listing()
    (folders / listing[3][1]).write_bytes(b"no image")
    prefix = tmp_path / "peer"
    peer.write_list(prefix.with_suffix(".lst"), listing)
    peer.im2rec(prefix, folders, 256, 90, 2, tmp_path / "log")
    assert peer.packed(prefix) == 16


def test_photographs_are_the_same_each_time(photos: Workload, tmp_path: Path) -> None:
    again = photographs.write(tmp_path / "again", "photos", Plan(3, 4, 5))
    assert again.read_bytes() == photos.description.read_bytes()  # it holds the archives' digests


def test_the_tiny_set_is_whole_and_no_two_images_are_the_same(tmp_path: Path) -> None:
    description = tiny.write(tmp_path / "tiny", "tiny", 0.001)
    data = Workload("tiny", tmp_path / "tiny" / "archives", description)
    assert [len(split.labels) for split in data.truth.splits] == [1000, 1000]
    images = [image for split in data.truth.splits for _, image in split.images()]
    assert len(set(images)) == len(images) == data.images
    assert cv2.imdecode(np.frombuffer(images[0], np.uint8), cv2.IMREAD_COLOR).shape == (16, 16, 3)


def test_a_folder_of_images_is_taken_as_classes(tmp_path: Path) -> None:
    given = tmp_path / "given"
    for wnid in ("cat", "dog"):
        (given / wnid).mkdir(parents=True)
        for number in range(2):
            (given / wnid / f"{number}.JPG").write_bytes(f"{wnid} {number}".encode())
    (given / "cat" / "notes.txt").write_text("no image")
    data = workload.workload(Given(images=given), "unused", lambda _: None)
    assert data.images == 4
    assert sorted(data.listing()) == [
        (0, "train/cat/0.JPG"),
        (0, "train/cat/1.JPG"),
        (1, "train/dog/0.JPG"),
        (1, "train/dog/1.JPG"),
    ]
    with tarfile.open(data.archives / "given.tar") as tar:
        assert tar.getnames() == ["cat.tar", "dog.tar"]
    assert (data.folders() / "train" / "dog" / "1.JPG").read_bytes() == b"dog 1"


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--archives and --dataset go together"):
        Given(archives=tmp_path)
    with pytest.raises(BenchError, match=r"no \.jpeg, \.jpg or \.png in it"):
        workload.workload(Given(images=tmp_path), "unused", lambda _: None)
    (tmp_path / "broken.toml").write_text("[splits.train]\n")
    given = Given(archives=tmp_path, dataset=tmp_path / "broken.toml")
    with pytest.raises(BenchError, match=r"broken\.toml: can't be read"):
        workload.workload(given, "unused", lambda _: None)


def test_what_is_half_made_is_made_again(tmp_path: Path) -> None:
    target = tmp_path / "made"

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workload.made(target, fail)
    assert not target.exists()
    workload.made(target, lambda folder: (folder / "whole").touch())
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_progress_is_recorded(photos: Workload, tmp_path: Path) -> None:
    place = ours.beside(workload.scratch("ours"), photos.archives, photos.description)
    ours.prep(place, "pack", record=tmp_path / "progress.json")
    told = json.loads((tmp_path / "progress.json").read_text())
    total = sum(split.archive.stat().st_size for split in photos.truth.splits)
    assert told["pack"][-1][2] == total
