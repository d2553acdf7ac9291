"""Labels are ranks of wnids; the devkit's numbers lead only from an image to its wnid."""

import tarfile
from pathlib import Path

import pytest

from prep.datasets import classes, description
from prep.errors import IntegrityError
from prep.state.layout import Layout
from rehearsal.sample import devkit
from tests.prep import tars
from tests.prep.small_sets import place_archives

SYNSETS = [
    devkit.Synset("n00000009", "nine, ninth", "gloss", 1),
    devkit.Synset("n00000002", "two", "gloss", 2),
    devkit.Synset("n00000005", "five", "gloss", 3),
]


def kit(path: Path, truth: list[int], synsets: list[devkit.Synset] = SYNSETS) -> Path:
    files = {
        "kit/data/meta.mat": devkit.meta_mat(synsets, 10),
        "kit/data/ILSVRC2012_validation_ground_truth.txt": devkit.ground_truth(truth),
    }
    path.write_bytes(tars.tar_of(files))
    return path


def test_devkit(tmp_path: Path) -> None:
    read = classes.read_devkit(kit(tmp_path / "kit.tar", [3, 1, 2, 2]))
    assert read.words == {"n00000002": "two", "n00000005": "five", "n00000009": "nine, ninth"}
    assert read.ground_truth == ("n00000005", "n00000009", "n00000002", "n00000002")
    assert read.class_of("ILSVRC2012_val_00000001.JPEG") == "n00000005"
    assert read.class_of("ILSVRC2012_val_00000004.JPEG") == "n00000002"


@pytest.mark.parametrize("name", ["val_00000000.JPEG", "val_00000005.JPEG", "val.JPEG", "1_val.JPEG"])
def test_image_without_ground_truth(tmp_path: Path, name: str) -> None:
    read = classes.read_devkit(kit(tmp_path / "kit.tar", [3, 1, 2, 2]))
    with pytest.raises(IntegrityError, match=f"image {name}: its name must end in a number from 1 to 4"):
        read.class_of(name)


def test_one_class(tmp_path: Path) -> None:
    read = classes.read_devkit(kit(tmp_path / "kit.tar", [1], SYNSETS[:1]))
    assert read.ground_truth == ("n00000009",)


def test_wrong_devkits(tmp_path: Path) -> None:
    path = tmp_path / "kit.tar"
    good = {
        "data/meta.mat": devkit.meta_mat(SYNSETS, 10),
        "data/ILSVRC2012_validation_ground_truth.txt": devkit.ground_truth([1]),
    }
    broken: list[bytes] = [
        b"",
        b"<html>",
        tars.tar_of({}),
        tars.tar_of({"data/meta.mat": good["data/meta.mat"]}),
        tars.tar_of(good | {"data/meta.mat": b"no MATLAB file at all" * 20}),
        tars.tar_of(good | {"data/meta.mat": good["data/meta.mat"][:500]}),
        tars.tar_of(good | {"data/meta.mat": b""}),
        tars.tar_of(good | {"data/ILSVRC2012_validation_ground_truth.txt": b"99\n"}),
        tars.tar_of(good | {"data/ILSVRC2012_validation_ground_truth.txt": b"n01440764\n"}),
        tars.tar([tars.special("data/meta.mat", tarfile.DIRTYPE)]),
    ]
    for data in broken:
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match=f"devkit {path}: ") as caught:
            classes.read_devkit(path)
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(IntegrityError, match=f"devkit {path}"):
        classes.read_devkit(path)


@pytest.mark.parametrize(
    ("wnid", "words"), [("../../escaped", "x"), ("/abs", "x"), ("n1", "a\tb"), ("n1", "a\nb")]
)
def test_hostile_devkit(tmp_path: Path, wnid: str, words: str) -> None:
    """Its classes become folders, and lines of `classes.tsv`."""
    path = kit(tmp_path / "kit.tar", [1], [devkit.Synset(wnid, words, "gloss", 1)])
    with pytest.raises(IntegrityError, match=f"^devkit {path}: ") as caught:
        classes.read_devkit(path)
    assert "\n" not in str(caught.value)


def test_labels_are_ranks() -> None:
    assert classes.labels_of(["n9", "n10", "b", "B"]) == {"B": 0, "b": 1, "n10": 2, "n9": 3}


def test_table_with_devkit(tmp_path: Path, sample: Path) -> None:
    place_archives(sample, tmp_path / "root")
    (tmp_path / "packed").mkdir()
    layout = Layout(tmp_path / "root", tmp_path / "packed")
    loaded = description.load(str(sample))
    labels = classes.write_table(loaded, layout, ["n01443537"])
    table = classes.read_table(layout)
    assert [name for name, _ in table] == sorted(labels)
    assert labels == {name: rank for rank, (name, _) in enumerate(table)}
    assert dict(table)["n01443537"] == "goldfish, Carassius auratus"
    assert layout.classes.read_bytes().splitlines()[0] == f"0\t{table[0][0]}\t{table[0][1]}".encode()
    with pytest.raises(IntegrityError, match="class n00000000: is in the archives but not in the devkit"):
        classes.write_table(loaded, layout, ["n01443537", "n00000000"])


def test_table_without_devkit(tmp_path: Path, folders_sample: Path) -> None:
    layout = Layout(tmp_path, tmp_path)
    loaded = description.load(str(folders_sample))
    seen = ["zebra", "traffic_light", "apple", "bus"]
    assert classes.write_table(loaded, layout, seen) == {"apple": 0, "bus": 1, "traffic_light": 2, "zebra": 3}
    assert dict(classes.read_table(layout))["traffic_light"] == "traffic light"
    with pytest.raises(IntegrityError, match=r"says 4, but there are 3 in the archives: correct \[classes\]"):
        classes.write_table(loaded, layout, seen[:3])


@pytest.mark.parametrize(
    "text",
    [
        "0\ta\t\udcff\n1",
        "0\ta\n",
        "1\ta\tx\n",
        "0\tb\tx\n1\ta\tx\n",
        "0\ta\tx\n0\tb\tx\n",
        "0 a x\n",
        "0\ta\tx\n\n",
    ],
)
def test_damaged_table(tmp_path: Path, text: str) -> None:
    layout = Layout(tmp_path, tmp_path)
    layout.classes.write_text(text, errors="surrogateescape")
    with pytest.raises(IntegrityError, match=str(layout.classes)):
        classes.read_table(layout)
    layout.classes.unlink()
    with pytest.raises(IntegrityError, match="No such file"):
        classes.read_table(layout)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[]",
            "{}",
            '{"words": [], "ground_truth": []}',
            '{"words": {"a": 3}, "ground_truth": []}',
        ),
        '{"words": {"../a": "x"}, "ground_truth": []}',
        '{"words": {"a": "x\\ty"}, "ground_truth": []}',
        '{"words": {"a": "x"}, "ground_truth": ["../../escaped"]}',
        '{"words": {"a": "x"}, "ground_truth": [7]}',
    ],
)
def test_hostile_lists_kept_by_adopt(tmp_path: Path, sample: Path, text: str) -> None:
    """Their classes become folders, and lines of `classes.tsv`."""
    layout = Layout(tmp_path / "root", tmp_path / "packed")
    layout.devkit.parent.mkdir(parents=True)
    layout.devkit.write_text(text)
    with pytest.raises(IntegrityError, match=f"^{layout.devkit}: ") as caught:
        classes.write_table(description.load(str(sample)), layout, [])
    assert "\n" not in str(caught.value)
