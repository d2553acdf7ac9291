"""What is counted, and which images are chosen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prep.errors import IntegrityError
from prep.preview import survey as module
from prep.preview.survey import Check, Survey, kind_of, survey
from prep.records import manifest
from prep.state.layout import Layout
from tests.prep import pictures
from tests.prep.preview.packed import Item, write_packed

CLASSES = [("ant", "ant, emmet"), ("bee", "bee"), ("cat", "cat")]
IMAGES = [pictures.jpeg(40, 30, number) for number in range(7)]
PARTS = [
    [Item(1, "0.jpg", IMAGES[0]), Item(0, "1.jpg", IMAGES[1]), Item(1, "2.jpg", IMAGES[2])],
    [Item(1, "3.jpg", IMAGES[3]), Item(0, "4.jpg", IMAGES[4])],
]
CARE = {
    "care": {"bee/2.jpg": ["was CMYK", "was turned by Exif orientation 6"], "ant/4.jpg": ["was PNG"]},
    "damaged": {"ant/1.jpg": "premature end of data segment (12)", "ant/4.jpg": "bad"},
}


def look(layout: Layout, first: int = 2) -> Survey:
    return survey(layout, manifest.read(layout), first)


def test_counts_and_places_over_several_parts(tmp_path: Path) -> None:
    found = look(write_packed(tmp_path, CLASSES, {"train": PARTS, "test": [PARTS[1]]}))
    assert [tally.images for tally in found.tallies["train"]] == [2, 3, 0]
    assert [tally.images for tally in found.tallies["test"]] == [1, 1, 0]
    first = found.tallies["train"][1].first
    assert [place.name for place in first] == ["bee/0.jpg", "bee/2.jpg"]
    last = found.tallies["train"][0].first[1]
    assert (last.number, last.name) == (4, "ant/4.jpg")
    for place, number in ((first[1], 2), (last, 4)):
        assert found.records["train"][place.number].image == IMAGES[number]
    assert found.images == 7
    assert found.checks() == [
        Check("classes", 3, 3),
        Check("images of train", 5, 5),
        Check("images of test", 2, 2),
    ]
    assert all(check.right for check in found.checks())


def test_care_and_damage_by_kind_the_rarest_first(tmp_path: Path) -> None:
    found = look(write_packed(tmp_path, CLASSES, {"train": PARTS}, {"train": CARE}))
    assert {name: [one.place.name for one in kind.shown] for name, kind in found.kinds.items()} == {
        "has damaged picture data …": ["ant/1.jpg"],
        "was CMYK": ["bee/2.jpg"],
        "was PNG": ["ant/4.jpg"],
    }
    assert found.kinds["was PNG"].shown[0].reasons == ("was PNG", "has damaged picture data (bad)")
    assert kind_of("had 17 bytes after its end") == kind_of("had 4 bytes after its end")


def test_of_a_kind_only_some_are_shown_and_all_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OF_A_KIND", 2)
    care = {f"{CLASSES[item.label][0]}/{item.file}": ["was PNG"] for part in PARTS for item in part}
    kind = look(write_packed(tmp_path, CLASSES, {"train": PARTS}, {"train": {"care": care}})).kinds["was PNG"]
    assert (kind.images, [one.place.name for one in kind.shown]) == (5, ["ant/1.jpg", "bee/0.jpg"])


def test_images_that_were_left_out_are_not_expected(tmp_path: Path) -> None:
    out = {"images": 6, "unreadable": {"cat/9.jpg": "is empty"}}
    found = look(write_packed(tmp_path, CLASSES, {"train": PARTS}, {"train": out}))
    assert all(check.right for check in found.checks())


def test_a_missing_image_is_seen(tmp_path: Path) -> None:
    found = look(write_packed(tmp_path, CLASSES, {"train": PARTS}, {"train": {"images": 6}}))
    assert [check for check in found.checks() if not check.right] == [Check("images of train", 6, 5)]


def no_file(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    def shorten(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[0] + b"\n")

    return shorten


def change(**facts: Any) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        table = json.loads((folder / "MANIFEST.json").read_text())
        table["splits"]["train"] |= facts
        (folder / "MANIFEST.json").write_text(json.dumps(table))

    return rewrite


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        (folder / name).write_text((folder / name).read_text().replace(old, new))

    return rewrite


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_file("MANIFEST.json"), "MANIFEST.json: No such file or directory: run pack"),
        (no_file("classes.tsv"), "classes.tsv: No such file or directory: run pack"),
        (no_file("train.rec"), "train.rec: is missing: .*restore it"),
        (no_file("train.idx"), "train.idx: is missing: .*restore it"),
        (cut("train.lst"), r"train.lst: has \d+ bytes, MANIFEST.json says \d+: .*restore it"),
        (replace("train.lst", "0\t1\t", "0\t3\t"), "split train: label 3 of 3 classes: run verify"),
        (change(care=["bee/2.jpg"]), "MANIFEST.json: damaged .*: run pack again"),
        (change(images="many"), "MANIFEST.json: damaged .*: run pack again"),
    ],
)
def test_what_is_wrong_gets_one_line(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    layout = write_packed(tmp_path, CLASSES, {"train": [[*PARTS[0], *PARTS[1]]]})
    spoil(tmp_path)
    with pytest.raises(IntegrityError, match=message) as caught:
        look(layout)
    assert "\n" not in str(caught.value)
