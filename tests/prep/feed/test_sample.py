"""Which records are read: all of them are in some window, once, and those in memory come last."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from prep.errors import DescriptionError
from prep.feed import sample as feed_sample
from prep.feed.windows import Window, stream
from prep.records import buckets
from prep.records.dealing import PackSettings
from prep.records.recordio import read_records
from prep.state.layout import Layout
from tests.prep.small_sets import pack

NOBODY = 65534


def layout(packed: Path) -> Layout:
    return Layout(packed, packed)


def test_windows_hold_every_record_once(packed: Path) -> None:
    place = packed / "packed"
    data = feed_sample.read(layout(place), None)
    with (place / "train.rec").open("rb") as file:
        expected = [record.image for record in read_records(file, "train")]
    found = [bytes(record.image) for record in stream(data.windows, cold=True)]
    assert found == expected
    assert (data.split, data.images) == ("train", len(expected))
    assert sum(window.size for window in data.windows) == data.size == (place / "train.rec").stat().st_size
    assert len(data.windows) > 2


def test_what_is_in_memory_comes_last(packed: Path) -> None:
    data = feed_sample.read(layout(packed / "packed"), "train")
    path = data.windows[0].path
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        if any(feed_sample.in_memory(file.fileno(), window) for window in data.windows):
            pytest.skip("this file system keeps its pages")
        os.pread(file.fileno(), 10, data.windows[1].offset + (1 << 20))
    ordered = feed_sample.unread_first(data.windows, pytest.fail)
    assert ordered[-1] == data.windows[1]
    assert set(ordered) == set(data.windows)


@contextmanager
def nobody() -> Iterator[None]:
    """A user who owns nothing."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="to become another user takes root")
def test_who_can_not_see_what_is_in_memory_is_told(packed: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # pytest's own folders are closed to others
        path = Path(shutil.copy(packed / "packed" / "train.rec", folder))
        notes: list[str] = []
        windows = [Window(path, (0, 1 << 20)), Window(path, (1 << 20, 2 << 20))]
        with nobody():
            feed_sample.unread_first(windows, notes.append)
        assert notes == [feed_sample.HIDDEN]
        feed_sample.unread_first(windows, notes.append)
        path.chmod(0o666)
        with nobody():
            feed_sample.unread_first(windows, notes.append)
        assert len(notes) == 1


def test_parts_are_cut_apart(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "BUCKET_BYTES", 2 << 20)  # a part has whole buckets
    pack(sample, tmp_path, settings=PackSettings(part_mib=2))
    data = feed_sample.read(layout(tmp_path / "packed"), "train")
    parts = sorted((tmp_path / "packed").glob("train-*.rec"))
    assert len(parts) > 2
    for part in parts:
        windows = [window for window in data.windows if window.path == part]
        assert windows[0].offset == 0
        assert windows[-1].edges[-1] == part.stat().st_size


def test_a_split_that_is_not_there_is_named_with_those_that_are(packed: Path) -> None:
    with pytest.raises(DescriptionError, match=r"no split 'test': give one of train, validation"):
        feed_sample.read(layout(packed / "packed"), "test")
