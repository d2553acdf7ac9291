"""Which records are read: all of them are in some window, once, and those in memory come last."""

import json
import os
import shutil
from pathlib import Path

import pytest

from prep.errors import IntegrityError
from prep.feed import sample
from prep.records.recordio import read_records
from prep.records.windows import stream
from prep.state.layout import Layout


def layout(packed: Path) -> Layout:
    return Layout(packed, packed)


def test_windows_hold_every_record_once(packed: Path) -> None:
    place = packed / "packed"
    data = sample.read(layout(place), None)
    with (place / "train.rec").open("rb") as file:
        expected = [record.image for record in read_records(file, "train")]
    found = [bytes(image) for _, image in stream(data.windows, cold=True)]
    assert found == expected
    assert (data.split, data.images) == ("train", len(expected))
    assert sum(window.size for window in data.windows) == data.size == (place / "train.rec").stat().st_size
    assert len(data.windows) > 2


def test_what_is_in_memory_comes_last(packed: Path) -> None:
    data = sample.read(layout(packed / "packed"), "train")
    path = data.windows[0].path
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        if any(sample.in_memory(file.fileno(), window) for window in data.windows):
            pytest.skip("this file system keeps its pages")
        os.pread(file.fileno(), 10, data.windows[1].offset + (1 << 20))
    ordered = sample.unread_first(data.windows)
    assert ordered[-1] == data.windows[1]
    assert set(ordered) == set(data.windows)


def test_a_split_that_is_not_there_is_named_with_those_that_are(packed: Path) -> None:
    with pytest.raises(IntegrityError, match=r"no split 'test': use one of train, validation"):
        sample.read(layout(packed / "packed"), "test")


def test_an_index_of_another_file_is_refused(packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed / "packed", tmp_path / "packed")
    (tmp_path / "packed" / "train.idx").write_text("0\t0\n1\t99999999999\n")
    with pytest.raises(IntegrityError, match="is not the index of train"):
        sample.read(layout(tmp_path / "packed"), None)
    (tmp_path / "packed" / "train.idx").write_text("zero\tone\n")
    with pytest.raises(IntegrityError, match="is no index"):
        sample.read(layout(tmp_path / "packed"), None)


def test_a_split_without_images_is_refused(packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed / "packed", tmp_path / "packed")
    for kind in ("rec", "idx"):
        (tmp_path / "packed" / f"train.{kind}").write_bytes(b"")
    assert json.loads((tmp_path / "packed" / "MANIFEST.json").read_text())["splits"]["train"]
    with pytest.raises(IntegrityError, match="has no images"):
        sample.read(layout(tmp_path / "packed"), "train")
