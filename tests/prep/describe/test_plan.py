"""What is decided about archives of many forms, and what is left to the user with the option for it."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from prep.describe.plan import Plan, Wishes, decide
from prep.describe.survey import survey
from prep.progress import Progress
from tests.prep.describe.inputs import images, write
from tests.prep.tars import file, tar, tar_of

CATS_AND_DOGS = images("cat", "dog")


def plan_of(folder: Path, inputs: Mapping[str, Mapping[str, bytes]], **wishes: object) -> Plan:
    paths = [write(folder / name, files) for name, files in inputs.items()]
    splits = wishes.pop("splits", {})
    assert isinstance(splits, dict)
    named = {folder / file: name for name, file in splits.items()}
    found = [survey(path, Progress(shown=False)) for path in paths]
    return decide(found, Wishes(splits=named, **wishes))  # type: ignore[arg-type]


def shape(plan: Plan) -> dict[str, tuple[str, int, int, bool]]:
    """Layout, images, classes and whether it is converted, by split."""
    return {
        split.name: (split.layout, split.images, len(split.classes), bool(split.why_convert))
        for split in plan.splits
    }


@pytest.mark.parametrize(
    "file", ["pets.zip", "pets.tar.gz", "pets.tgz", "pets.tar.xz", "pets.tar.bz2", "pets"]
)
def test_every_kind_of_input(tmp_path: Path, file: str) -> None:
    plan = plan_of(tmp_path, {file: CATS_AND_DOGS}, converts=True)
    assert plan.open == []
    assert shape(plan) == {"train": ("folders", 4, 2, True)}


def test_plain_tar_is_used_as_it_is(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"pets.tar": CATS_AND_DOGS})
    assert (plan.open, shape(plan)) == ([], {"train": ("folders", 4, 2, False)})
    assert plan.notes == ["pets.tar: taken as split train; --split NAME=FILE gives another name"]


def test_common_folder_above_the_classes(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"pets.tar": images("pets/images/cat", "pets/images/dog")})
    assert (plan.open, shape(plan)) == ([], {"train": ("folders", 4, 2, False)})


def test_nested(tmp_path: Path) -> None:
    inner = {f"{name}.tar": tar_of(images(name)) for name in ("n01", "n02", "n03")}
    plan = plan_of(tmp_path, {"ILSVRC_train.tar": inner})
    assert (plan.open, shape(plan)) == ([], {"train": ("nested", 6, 3, False)})


@pytest.mark.parametrize("word", ["val", "valid", "validation", "VALIDATION"])
def test_splits_by_file_name(tmp_path: Path, word: str) -> None:
    plan = plan_of(
        tmp_path, {"pets-train.tar": CATS_AND_DOGS, f"pets_{word}.tar": images("cat")}, class_folder=1
    )
    assert (plan.open, plan.notes) == ([], ["validation: classes without images: 1 (dog)"])
    assert shape(plan) == {"train": ("folders", 4, 2, False), "validation": ("folders", 2, 1, False)}


def test_splits_by_folder(tmp_path: Path) -> None:
    files = images(
        "set/train/cat", "set/train/dog", "set/val/cat", "set/val/dog", "set/test/cat", "set/test/dog"
    )
    plan = plan_of(tmp_path, {"pets.tar": files}, converts=True, without=frozenset({"test"}))
    assert shape(plan) == {"train": ("folders", 4, 2, True), "validation": ("folders", 4, 2, True)}
    assert plan.notes == ["test: left out, 4 images"]
    assert [split.why_convert for split in plan.splits] == ["pets.tar holds other splits as well"] * 2


def test_class_above_a_folder_that_all_have(tmp_path: Path) -> None:
    """As in tiny-imagenet-200: train/<class>/images/<image>."""
    plan = plan_of(tmp_path, {"tiny.zip": images("train/n01/images", "train/n02/images")}, converts=True)
    assert plan.open == []
    assert (plan.splits[0].class_folder, plan.splits[0].classes) == (2, {"n01", "n02"})


def test_a_class_may_be_named_like_a_split(tmp_path: Path) -> None:
    """The user says which split it is; then folders say nothing about it."""
    files = images("car", "train", "ship")
    plan = plan_of(tmp_path, {"vehicles.tar": files}, splits={"train": "vehicles.tar"})
    assert (plan.open, shape(plan)) == ([], {"train": ("folders", 6, 3, False)})
    asked = plan_of(tmp_path, {"vehicles.tar": files}).open
    assert any(f"give --split train={tmp_path / 'vehicles.tar'}, or the name" in line for line in asked)


def test_images_with_one_name(tmp_path: Path) -> None:
    """In a plain tar that would be used as it is. Class folders may have one name if their images differ."""
    twice = {f"{top}/{name}/{top}.jpg": b"1" for top in ("x", "y") for name in ("cat", "dog")}
    plan = plan_of(tmp_path, {"a.tar": twice})
    assert (plan.open, len(plan.notes)) == ([], 2)
    again = {f"{top}/{name}/1.jpg": b"1" for top in ("x", "y") for name in ("cat", "dog")}
    (asked,) = plan_of(tmp_path, {"b.tar": again}).open
    assert asked.startswith(
        "train: two images are named cat/1.jpg, by the nearest folder and the file: rename"
    )
    assert plan_of(tmp_path, {"c.tar": again}, class_folder=2, converts=True).open == []
    inner = {f"{top}/n1.tar": tar_of({"1.jpg": b"1"}) for top in ("x", "y")}
    (asked,) = plan_of(tmp_path, {"d.tar": inner}).open
    assert asked.startswith("train: two images are named n1/1.jpg")
    (tmp_path / "e.tar").write_bytes(tar([file("a/1.jpg", b"1"), file("b/1.jpg", b"1")] * 2))
    (asked,) = decide([survey(tmp_path / "e.tar", Progress(shown=False))], Wishes()).open
    assert asked.startswith("train: two images are named a/1.jpg")


def test_one_split_in_two_files(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"train_1.tar": images("cat"), "train_2.tar": images("dog")}, converts=True)
    assert shape(plan) == {"train": ("folders", 4, 2, True)}
    assert plan.splits[0].why_convert == "split train is in 2 files"


OPEN = {
    "flat": ({"a.tar": images("")}, r"train: 2 of 2 images lie in no class folder: give --devkit FILE"),
    "partly flat": ({"a.tar": images("", "b", "c")}, "2 of 6 images lie in no .*--without train"),
    "one folder": ({"a.tar": images("all")}, r"'all', which would be the only class: give --class-folder 1"),
    "zip": ({"a.zip": CATS_AND_DOGS}, r"a.zip is a zip archive, .*: give --to DIR.* about \d"),
    "other files": ({"a.tar": CATS_AND_DOGS | {"x.txt": b""}}, r"that are no images \(1\), .*--to"),
    "empty image": ({"a.tar": CATS_AND_DOGS | {"cat/0.jpg": b""}}, r"that are no images \(1\)"),
    "macOS": ({"a.tar": CATS_AND_DOGS | {"cat/._1.jpg": b""}}, r"that are no images \(1\)"),
    "two splits": ({"a.tar": images("train/a", "train/b", "val/a", "val/b")}, "a.tar holds other splits as"),
    "which is which": ({"a.tar": CATS_AND_DOGS, "b.tar": CATS_AND_DOGS}, "a.tar: the split .*--split train"),
    "nothing": ({"a.tar": {"x.txt": b""}}, "a.tar: holds no images: leave it out"),
    "tars and images": ({"a.tar": CATS_AND_DOGS | {"n1.tar": tar_of(images("n1"))}}, "images and inner tar"),
    "tars of splits": ({"a.tar": {"train.tar": tar_of(CATS_AND_DOGS)}}, "named like splits: unpack it"),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "asked"), OPEN.values(), ids=OPEN)
def test_what_the_user_must_decide(tmp_path: Path, inputs: dict[str, dict[str, bytes]], asked: str) -> None:
    plan = plan_of(tmp_path, inputs)
    assert any(re.search(asked, line) for line in plan.open), plan.open


def test_unknown_split_left_out(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"a.tar": CATS_AND_DOGS}, without=frozenset({"tset"}))
    assert plan.open == ["--without tset: there is no such split: choose from train"]
