"""Descriptions: the shipped one's figures, and one clear line for every mistake in another."""

import hashlib
import re
from pathlib import Path

import pytest

from prep.datasets import description
from prep.errors import DescriptionError

GOOD = """\
name = "small-set"
title = "Small set"

[[archives]]
file = "train.tar"
url = "https://example.org/data/train.tar"
bytes = 1000
md5 = "0123456789ABCDEF0123456789abcdef"

[[archives]]
file = "val.tar"
url = "https://example.org/data/val.tar"
md5 = "11111111111111111111111111111111"

[[archives]]
file = "kit.tar.gz"
url = "https://example.org/data/kit.tar.gz"
md5 = "22222222222222222222222222222222"

[classes]
count = 3
devkit = "kit.tar.gz"

[splits.train]
archive = "train.tar"
layout = "nested"
labels = "path"
images = 30

[splits.validation]
archive = "val.tar"
layout = "flat"
labels = "devkit"
images = 6

[[bounding_boxes]]
archive = "kit.tar.gz"
folder = "train"
"""


def test_ilsvrc2012() -> None:
    """The figures of the data set's own site."""
    shipped = description.load("ilsvrc2012")
    assert (shipped.name, shipped.classes) == ("ilsvrc2012", 1000)
    assert [(split.name, split.images, split.layout, split.labels) for split in shipped.splits] == [
        ("train", 1_281_167, "nested", "path"),
        ("validation", 50_000, "flat", "devkit"),
    ]
    assert {archive.file: (archive.bytes, archive.md5) for archive in shipped.archives} == {
        "ILSVRC2012_img_train.tar": (147_897_477_120, "1d675b47d978889d74fa0da5fadfb00e"),
        "ILSVRC2012_img_val.tar": (6_744_924_160, "29b22e2961454d5413ddabcf34fc5622"),
        "ILSVRC2012_devkit_t12.tar.gz": (2_568_634, "fa75699e90414af021442c21a62c3abf"),
        "ILSVRC2012_bbox_train_v2.tar.gz": (None, "9271167e2176350e65cfe4e546f14b17"),
        "ILSVRC2012_bbox_val_v3.tgz": (None, "f4cd18b5ea29fe6bbea62ec9c20d80f0"),
    }
    for archive in shipped.archives:
        assert archive.url == f"https://image-net.org/data/ILSVRC/2012/{archive.file}"
    assert shipped.devkit is not None
    assert shipped.devkit.file == "ILSVRC2012_devkit_t12.tar.gz"
    assert [(boxes.folder, boxes.archive.file) for boxes in shipped.bounding_boxes] == [
        ("train", "ILSVRC2012_bbox_train_v2.tar.gz"),
        ("validation", "ILSVRC2012_bbox_val_v3.tgz"),
    ]


def test_by_path(tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_text(GOOD)
    loaded = description.load(str(path))
    assert loaded.archives[0].md5 == "0123456789abcdef0123456789abcdef"
    assert loaded.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
    train = loaded.split_of("train.tar")
    assert train is not None
    assert train.name == "train"
    assert loaded.split_of("kit.tar.gz") is None


def test_without_bounding_boxes_or_devkit(tmp_path: Path) -> None:
    text = GOOD.partition("[[bounding_boxes]]")[0].replace('devkit = "kit.tar.gz"\n', "")
    text = text.replace('layout = "flat"\nlabels = "devkit"', 'layout = "folders"\nlabels = "path"')
    path = tmp_path / "any.toml"
    path.write_text(text)
    loaded = description.load(str(path))
    assert (loaded.devkit, loaded.bounding_boxes) == (None, ())


SPLITS = GOOD[GOOD.index("[splits.train]") : GOOD.index("[[bound")]
ARCHIVES = GOOD[: GOOD.index("[classes]")]
WRONG = {
    "no name": ('name = "small-set"\n', "", "top level: name is missing"),
    "name with a slash": ('"small-set"', '"../set"', "name: '../set' must be"),
    "long name": ('"small-set"', f'"{"n" * 31}"', "name: 'n"),
    "name that SSM refuses": ('"small-set"', '"aws-set"', "name: 'aws-set' .* not begin with aws"),
    "name with a line end": ('"small-set"', '"set\\n"', r"name: 'set\\n' must be"),
    "title of two lines": ('"Small set"', '"Small\\nset"', "title: must be one line of up to 200"),
    "long title": ('"Small set"', f'"{"t" * 201}"', "title: must be one line of up to 200"),
    "title no text": ('"Small set"', "3", "top level: title must be text"),
    "unknown key": ("[classes]\n", "[classes]\ncuont = 3\n", r"unknown key 'cuont'; the known keys are"),
    "unknown section": ("[classes]\n", "[class]\nx = 1\n[classes]\n", "top level: unknown key 'class'"),
    "one archive as a table": (ARCHIVES, 'name="a"\ntitle="t"\n[archives]\n', "archives: must be written"),
    "no checksum": ('md5 = "11111111111111111111111111111111"\n', "", "archive val.tar: md5 is missing"),
    "short checksum": ("2222222222\"", "\"", "archive kit.tar.gz: md5 must be 32"),
    "no size but zero": ("bytes = 1000", "bytes = 0", "archive train.tar: bytes must be a whole number"),
    "size as text": ("bytes = 1000", 'bytes = "1000"', "archive train.tar: bytes must be a whole number"),
    "size true": ("bytes = 1000", "bytes = true", "archive train.tar: bytes must be a whole number"),
    "file with a folder": ('file = "train.tar"', 'file = "../train.tar"', "file must be a plain file name"),
    "file that steers the terminal": (
        'file = "train.tar"', 'file = "\\u001b[31mtrain.tar"', "file must be a plain file name",
    ),
    "hidden file": ('file = "train.tar"', 'file = ".train.tar"', "file must be a plain file name"),
    "ftp": ("https://example.org/data/val", "ftp://example.org/data/val", "archive val.tar: url .* https://"),
    "no host": ("https://example.org/data/val", "https:///val", "archive val.tar: url .* https://"),
    "no address": ("https://example.org/data/val", "https://[example.org/val", "must be a web address"),
    "URL of two lines": ("https://example.org/data/val", "https://example.org/\\nv", "must be a web address"),
    "password in the URL": ("https://example.org/data/val", "https://me:pw@example.org/val", "credentials"),
    "password in an ftp URL": ("https://example.org/data/val", "ftp://me:pw@example.org/val", "credentials"),
    "name of a leftover": ('file = "train.tar"', 'file = "val.tar.partial"', "must not end in .partial"),
    "two of a name": ('file = "val.tar"', 'file = "train.tar"', "archives: two archives have the same"),
    "no classes": ("count = 3", "count = 0", r"\[classes\]: count must be a whole number, at least 1"),
    "devkit elsewhere": ('devkit = "kit.tar.gz"', 'devkit = "kit.zip"', "devkit 'kit.zip' is not among"),
    "devkit forgotten": ('devkit = "kit.tar.gz"', "", r"\[splits.validation\]: labels = .devkit. needs"),
    "archive elsewhere": ('archive = "train.tar"', 'archive = "t.tar"', r"\[splits.train\]: archive 't.tar'"),
    "compressed split": ('archive = "train.tar"', 'archive = "kit.tar.gz"', "must be a plain .tar"),
    "layout": ('layout = "nested"', 'layout = "nest"', "layout 'nest' must be one of nested, flat, folders"),
    "labels": ('labels = "path"', 'labels = "name"', "labels 'name' must be one of path, devkit"),
    "flat by path": ('layout = "nested"', 'layout = "flat"', "layout .flat. needs labels"),
    "nested by devkit": ('labels = "path"', 'labels = "devkit"', "layout .flat. needs labels"),
    "no images": ("images = 30", "images = -1", r"\[splits.train\]: images must be a whole number"),
    "split's name": ("[splits.train]", '[splits."../x"]', r"\[splits.../x\]: the name of a split must"),
    "split as folder": ("[splits.train]", "[splits.archives]", r"\[splits.archives\]: .* another name"),
    "two splits of one archive": ('archive = "val.tar"', 'archive = "train.tar"', "splits: two .* train.tar"),
    "split no table": (SPLITS, "[splits]\na=1\n", "must be a table"),
    "no split": (SPLITS, "[splits]\n", "splits: there must be at least one"),
    "boxes' folder": ('folder = "train"', 'folder = "a/b"', "folder 'a/b' must be letters"),
    "boxes' archive": ('archive = "kit.tar.gz"', 'archive = "k"', r"bounding_boxes\]\]: archive 'k' is not"),
    "not TOML": ("[classes]", "[classes", "not TOML"),
    "endless number": ("count = 3", f"count = {'9' * 5000}", "not TOML"),
    "deep nesting": ("count = 3", f"count = {'[' * 9000}", "not TOML"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "message"), WRONG.values(), ids=WRONG)
def test_mistakes(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in GOOD
    path = tmp_path / "wrong.toml"
    path.write_text(GOOD.replace(before, after))
    with pytest.raises(DescriptionError, match=message) as caught:
        description.load(str(path))
    assert str(caught.value).startswith(f"data set description {path}: ")
    assert "\n" not in str(caught.value)
    assert "me:pw" not in str(caught.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Each with its place and its remedy; an error says the first, and how to see the others."""
    path = tmp_path / "wrong.toml"
    text = GOOD.replace('"small-set"', '"Small"').replace("count = 3", "count = 0").replace("images = 30", "")
    text = text.replace('archive = "val.tar"', 'archive = "vall.tar"').replace(
        "[classes]", "[classes]\nx = 1"
    )
    path.write_text(text)
    described, mistakes = description.read(path)
    assert described is None
    assert [(mistake.where, mistake.problem.split(" ")[0]) for mistake in mistakes] == [
        ("name", "'Small'"), ("[classes]", "unknown"), ("[classes]", "count"), ("[splits.train]", "images"),
        ("[splits.validation]", "archive"),
    ]  # fmt: skip
    assert mistakes[4].remedy == "write 'val.tar', or add it as [[archives]]"
    assert all(mistake.remedy for mistake in mistakes)
    with pytest.raises(
        DescriptionError, match=r"give another name \(and 4 more: .*dataset check .*lists all"
    ):
        description.load(str(path))


def test_archive_without_a_url(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(GOOD.replace('url = "https://example.org/data/val.tar"\n', ""))
    assert [archive.url == "" for archive in description.load(str(path)).archives] == [False, True, False]


def test_names_that_come_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DescriptionError, match=r"'ilsvrc12': no such .*did you mean ilsvrc2012\?"):
        description.load("ilsvrc12")
    (tmp_path / "pets.toml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DescriptionError, match=r"'pets': no such .*did you mean pets.toml\?"):
        description.load("pets")


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="'imagenet': no such description: give one of ilsvrc2012"):
        description.load("imagenet")
    missing = tmp_path / "missing.toml"
    with pytest.raises(DescriptionError, match=re.escape(f"{missing}: No such file")):
        description.load(str(missing))
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(DescriptionError, match="Is a directory"):
        description.load(str(folder))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(DescriptionError, match="not TOML"):
        description.load(str(binary))
