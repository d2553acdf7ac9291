"""Batches: every image once, with its label, by any number of processes; failures are told."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prep import Batches, Records
from prep.errors import IntegrityError, PrepError
from prep.records.recordio import FRAME, HEADER
from tests.prep import pictures, small_sets

CLASSES, EACH = 5, 13
COUNT = CLASSES * EACH


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each class has images of one grey, another one for each class."""
    folder = tmp_path_factory.mktemp("batches")
    images = {
        f"class{label}": {f"{number}.jpg": grey(label) for number in range(EACH)} for label in range(CLASSES)
    }
    small_sets.pack(small_sets.write_folders(folder, {"train": images}), folder)
    return folder / "packed"


def grey(label: int) -> bytes:
    return pictures.save(Image.new("RGB", (50, 40), (20 + 40 * label,) * 3), "JPEG")


@pytest.mark.parametrize(("processes", "start"), [(1, "fork"), (3, "fork"), (2, "spawn"), (50, "fork")])
def test_every_image_once_in_its_order(packed: Path, processes: int, start: str) -> None:
    records = Records(packed).epoch(1)
    batches = Batches(records, batch=8, size=16, processes=processes, start=start)  # type: ignore[arg-type]
    found = list(batches)
    assert len(found) == len(batches) == 9
    assert [len(labels) for _, labels in found] == [8] * 8 + [1]
    assert np.concatenate([labels for _, labels in found]).tolist() == records.labels.tolist()
    for images, labels in found:
        assert images.shape == (len(labels), 16, 16, 3)
        assert (abs(images.astype(int) - (20 + 40 * labels)[:, None, None, None]) <= 2).all()
    assert multiprocessing.active_children() == []


def test_the_same_seed_gives_the_same_parts(tmp_path: Path) -> None:
    images = {"a": {f"{number}.jpg": pictures.jpeg(60, 80, number) for number in range(20)}}
    small_sets.pack(small_sets.write_folders(tmp_path, {"train": images}), tmp_path)
    records = Records(tmp_path / "packed")

    def pixels(processes: int, seed: int) -> list[bytes]:
        batches = Batches(records, batch=6, size=24, processes=processes, seed=seed)
        return [batch.images.tobytes() for batch in batches]

    assert pixels(1, 0) == pixels(3, 0)
    assert pixels(1, 0) != pixels(1, 1)


def test_who_breaks_off_leaves_no_process(packed: Path) -> None:
    for _ in Batches(Records(packed), batch=2, size=8, processes=2):
        break
    assert multiprocessing.active_children() == []


def test_no_images(packed: Path) -> None:
    assert list(Batches(Records(packed)[:0])) == []


def test_a_damaged_image_is_named(packed: Path, tmp_path: Path) -> None:
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = bytearray((tmp_path / "train.rec").read_bytes())
    begin = FRAME.size + HEADER.size
    data[begin : begin + 200] = bytes(200)  # of the first image
    (tmp_path / "train.rec").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"image class\d/\d+\.jpg can't be decoded: run verify"):
        list(Batches(Records(tmp_path), batch=4, size=8, processes=2))


def test_a_killed_process_is_told(packed: Path) -> None:
    batches = iter(Batches(Records(packed), batch=1, size=8, processes=1))
    next(batches)
    (child,) = multiprocessing.active_children()
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(PrepError, match="ended with code -9: run again, with fewer"):
        list(batches)
