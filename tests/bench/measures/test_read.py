"""The readers do the whole task, and their rates become the right ratios."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measures.read import (
    BYTES,
    DALI,
    DALI_CROP,
    FOLDER,
    MXNET,
    OURS,
    PHOTOGRAPHS,
    SMALL,
    STATES,
    WORKERS,
    Key,
    Ran,
    Rate,
    _figures,
    _rate,
    _table,
)
from bench.report import REPOSITORY
from bench.rigs.disks import MIB
from tests.prep import pictures
from tests.prep.small_sets import pack, write_folders


def rate(images_per_second: float) -> Rate:
    return Rate(100, images_per_second / 2, images_per_second, 1.0, 2.0)


def rates(mine: float, folder: float, dali: float) -> dict[Key, Rate]:
    by_name = {
        OURS: mine, FOLDER: folder, DALI: dali, DALI_CROP: dali / 2, MXNET: 1.0,
        OURS + BYTES: 60.0, FOLDER + BYTES: 5.0,
    }  # fmt: skip
    return {
        (state, name, workers): rate(value)
        for state in STATES
        for name, value in by_name.items()
        for workers in WORKERS
    }


def test_ratios_are_to_the_folder_and_to_the_fastest_other() -> None:
    figures = _figures(SMALL, rates(mine=120.0, folder=20.0, dali=80.0))
    cold = [figure for figure in figures if figure.name == "read small pictures, cold, 2 workers"]
    assert [(figure.value, figure.unit, figure.target) for figure in cold] == [
        (6.0, "times the folder", 5.0),
        (1.5, "times the fastest other", 1.0),
    ]
    assert cold[1].note == "DALI: 80 images/s"
    assert all(figure.met for figure in figures)


def test_a_slower_reader_of_ours_misses_its_targets() -> None:
    figures = _figures(PHOTOGRAPHS, rates(mine=50.0, folder=60.0, dali=80.0))
    missed = {(figure.name, figure.unit) for figure in figures if not figure.met}
    assert len(missed) == len(STATES) * len(WORKERS) * 2


def test_a_rate_is_the_median_with_and_without_the_start() -> None:
    found = _rate([Ran(100, 10.0, 5.0), Ran(100, 20.0, 4.0), Ran(100, 25.0, 10.0)])
    assert (found.whole, found.inner, found.least, found.most) == (5.0, 20.0, 4.0, 10.0)


def test_the_table_counts_the_bytes_that_are_read(tmp_path: Path) -> None:
    """A folder with a file of 1 MiB, and a `.rec` file of less."""
    pack(write_folders(tmp_path / "set", {"train": {"cat": {"1.jpg": pictures.jpeg(40, 30, 1)}}}), tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(bytes(MIB))
    record = (tmp_path / "packed" / "train.rec").stat().st_size
    given = {("warm", name, 1): rate(1000.0) for name in (OURS, FOLDER, FOLDER + BYTES)}
    rows = _table(SMALL, given, tmp_path / "packed", folder).rows
    assert {row[1]: row[5] for row in rows} == {
        OURS: f"{1000 * record / MIB:.1f}", FOLDER: "1000.0", FOLDER + BYTES: "1000.0",
    }  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_ours_gives_each_image_once(sample: Path, tmp_path: Path, workers: int) -> None:
    """Batches of 16: the last is not full."""
    pack(sample, tmp_path)
    options = ["--workers", str(workers), "--size", "32", "--batch", "16"]
    command = [sys.executable, "-m", "bench.rigs.readers.ours", tmp_path / "packed" / "train.rec", *options]
    done = subprocess.run(  # noqa: S603 - our own
        [str(word) for word in command], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["images"] == 156
    assert told["sum"] > 0
