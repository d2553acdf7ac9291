"""A batch read by MXNet, and the contact sheet of it."""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rehearsal.checks.sheet import contact_sheet
from rehearsal.sample.encodings import jpeg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mxnet import recordio  # type: ignore[import-untyped, unused-ignore]

PROGRAM = Path(__file__).parents[3] / "rehearsal" / "checks" / "first_batch.py"
COLOURS = ((220, 30, 30), (30, 200, 40), (40, 50, 210))


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve plain images, their colour and label in step."""
    folder = tmp_path_factory.mktemp("mount")
    rec: Any = recordio.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "w")
    for key in range(12):
        pixels = np.full((300 + key, 400, 3), COLOURS[key % 3], np.uint8)
        rec.write_idx(key, recordio.pack(recordio.IRHeader(0, key % 3, key, 0), jpeg(pixels, 95)))
    rec.close()
    (folder / "classes.tsv").write_text(
        "0\tn1\tred thing, ruby\n1\tn2\tgreen thing\n2\tn3\tblue thing, " + "very long name, " * 9 + "end\n"
    )
    return folder


def read(mount: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), str(mount), str(out), *options]
    return subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, timeout=60, check=False
    )


def test_batch(mount: Path, tmp_path: Path) -> None:
    result = read(mount, tmp_path / "gpu-1", "--images", "7")
    assert (result.returncode, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert said["images"] == 7
    assert said["labels"] == [0, 1, 2, 0, 1, 2, 0]
    assert said["words"][0] == "red thing, ruby"
    assert said["seconds"] > 0
    with np.load(tmp_path / "gpu-1" / "batch.npz") as batch:
        assert batch["images"].shape == (7, 224, 224, 3)
        assert batch["images"].dtype == np.uint8
        # Red stays red: the channels are in the order R, G, B.
        for image, label in zip(batch["images"], batch["labels"], strict=True):
            assert np.abs(image.reshape(-1, 3).mean(axis=0) - COLOURS[label]).max() < 6


def test_nothing_mounted(tmp_path: Path) -> None:
    result = read(tmp_path, tmp_path / "out")
    assert result.returncode == 1
    assert "classes.tsv" in result.stderr
    assert "Traceback" not in result.stderr


def test_sheet_shows_every_image(mount: Path, tmp_path: Path) -> None:
    batches = []
    for name, images in (("gpu-1", 9), ("gpu-2", 3)):
        assert read(mount, tmp_path / name, "--images", str(images)).returncode == 0
        batches.append(tmp_path / name / "batch.npz")
    contact_sheet(batches, tmp_path / "deep" / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "deep" / "sheet.png").convert("RGB")).astype(int)
    for colour, count in zip(COLOURS, (4, 4, 4), strict=True):
        area = (np.abs(sheet - colour).max(axis=2) < 12).sum()
        assert area == pytest.approx(count * 224 * 224, rel=0.02)
    # Something is written in the strip beneath the first tile.
    assert sheet[32 + 60 + 224 : 32 + 60 + 224 + 62, 32:256].min() < 60
