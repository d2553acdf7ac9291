"""Kaggle's copy of ImageNet: the same images in folders and lists give the same packed bytes."""

import json
import subprocess
from pathlib import Path

import pytest

from prep.datasets import description
from prep.datasets.classes import read_devkit
from prep.state.layout import Layout
from rehearsal.sample.generate import make_sample
from tests.prep import commands


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(
        tmp_path_factory.mktemp("kaggle"), classes=3, images_per_class=6, validation_images=9, seed=4
    )


def prep(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return commands.run(*map(str, words))


def places(folder: Path, sample: Path) -> list[str | Path]:
    return ["--dataset", sample, "--root", folder / "root", "--packed", folder / "packed"]


def kaggle_copy(folder: Path, sample: Path, organized: Layout) -> Path:
    """The organized images in Kaggle's places."""
    about = description.load(str(sample))
    assert about.devkit
    devkit = read_devkit(sample.parent / "archives" / about.devkit.file)
    data = folder / "ILSVRC" / "Data" / "CLS-LOC"
    for image in organized.images("train").glob("*/*"):
        target = data / "train" / image.parent.name / image.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(image.read_bytes())
    (data / "val").mkdir()
    rows = ["ImageId,PredictionString"]
    for image in sorted(organized.images("validation").glob("*/*"), reverse=True):
        (data / "val" / image.name).write_bytes(image.read_bytes())
        rows.append(f"{image.stem},{image.parent.name} 1 2 3 4 {image.parent.name} 5 6 7 8 ")
    (folder / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n")
    mapping = "".join(f"{wnid} {words}\n" for wnid, words in sorted(devkit.words.items()))
    (folder / "LOC_synset_mapping.txt").write_text(mapping)
    return folder


def test_same_bytes_as_from_the_archives(sample: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    done = prep("run", *places(ours, sample), "--source", sample.parent / "archives")
    assert done.returncode == 0, done.stderr
    copy = kaggle_copy(tmp_path / "copy", sample, Layout(ours / "root", ours / "packed"))
    for words in (["adopt", copy], ["adopt", copy], ["pack", "--from-folders"], ["verify"]):
        done = prep(*words, *places(theirs, sample))
        assert done.returncode == 0, done.stderr
    for name in ("train.rec", "validation.rec", "validation.lst", "classes.tsv"):
        assert (theirs / "packed" / name).read_bytes() == (ours / "packed" / name).read_bytes(), name
    linked = next((theirs / "root" / "train").glob("*/*"))
    assert linked.stat().st_nlink == 2  # no copy was made


def test_other_folders_are_refused(sample: Path, tmp_path: Path) -> None:
    done = prep("adopt", tmp_path, *places(tmp_path, sample))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "give Kaggle's top folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_damaged_list(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764\n")
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n")
    done = prep("adopt", tmp_path, *places(tmp_path, sample), "--json")
    assert done.returncode == 5
    assert "LOC_synset_mapping.txt" in done.stderr
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)
