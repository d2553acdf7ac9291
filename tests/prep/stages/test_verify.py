"""Verify: every kind of damage is found, and the message names the file.

What a bad disk does, the manifest's hashes show. What a mistake in `pack` would do is made here by rewriting
files and hashes together, so that only what `verify` knows of the contents can find it.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prep.errors import IntegrityError
from prep.job import Job
from prep.records.dealing import PackSettings
from prep.records.recordio import image_record, read_records
from rehearsal.sample.generate import make_sample
from tests.prep import pictures
from tests.prep.small_sets import job, pack, write_folders

# MXNet 1.9.1 is the last there will be, and asks for names that SciPy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")

# Images packed as they are, made smaller, and converted, in two classes.
TINY = {
    "train": {
        name: {
            **{f"small{number}.jpg": pictures.jpeg(40, 30, number) for number in range(4)},
            "large.jpg": pictures.jpeg(120, 90, 7),
            "png.jpg": pictures.save(pictures.picture(40, 30, 8), "PNG"),
            "large-png.jpg": pictures.save(pictures.picture(120, 90, 9), "PNG"),
        }
        for name in ("ant", "bee", "cat")
    }
}
SETTINGS = PackSettings(resize=48)


@dataclass
class Entry:
    """A record of a `.rec` file that is to be rewritten."""

    label: int
    name: str
    image: bytes


class Packed:
    """A packed split, taken apart and put together again, hashes and all."""

    def __init__(self, folder: Path, split: str = "train") -> None:
        self.base = folder / "packed" / split
        names = [line.split("\t")[2] for line in self.path("lst").read_text().splitlines()]
        with self.path("rec").open("rb") as file:
            self.entries = [
                Entry(int(record.label), name, record.image)
                for record, name in zip(read_records(file, split), names, strict=True)
            ]

    def path(self, kind: str) -> Path:
        return self.base.with_suffix(f".{kind}")

    def named(self, name: str) -> Entry:
        return next(entry for entry in self.entries if entry.name == name)

    def write(self) -> None:
        rec = idx = lst = b""
        for number, entry in enumerate(self.entries):
            idx += f"{number}\t{len(rec)}\n".encode()
            lst += f"{number}\t{entry.label}\t{entry.name}\n".encode()
            rec += image_record(entry.image, entry.label, number)
        for kind, data in (("rec", rec), ("idx", idx), ("lst", lst)):
            self.path(kind).write_bytes(data)
        rehash(self.base.parent)


def rehash(packed: Path) -> None:
    """Make the manifest's hashes those of the files."""
    path = packed / "MANIFEST.json"
    table = json.loads(path.read_text())
    for name in table["files"]:
        data = (packed / name).read_bytes()
        table["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(table))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, packed."""
    folder = tmp_path_factory.mktemp("good")
    pack(write_folders(folder / "set", TINY), folder, settings=SETTINGS)
    return folder


@pytest.fixture
def work(good: Path, tmp_path: Path) -> Job:
    """The same, for this test to damage."""
    shutil.copytree(good / "root", tmp_path / "root")
    shutil.copytree(good / "packed", tmp_path / "packed")
    return job(good / "set" / "tiny.toml", tmp_path, settings=SETTINGS)


def complaint(work: Job) -> str:
    with work.locked(), pytest.raises(IntegrityError) as caught:
        work.verify()
    assert "\n" not in str(caught.value)
    assert not (work.layout.receipts / "verify.json").exists()
    return str(caught.value)


def test_good(work: Job) -> None:
    with work.locked():
        receipt = work.verify()
        again = work.verify()
    assert receipt == again
    counts = receipt.counts["train"]
    assert counts == {"records": 21, "as in the archive": 12, "classes": 3, "read by MXNet": 21, "damaged": 0}


def test_good_sample(tmp_path: Path, sample: Path) -> None:
    work = pack(sample, tmp_path)
    with work.locked():
        receipt = work.verify()
    assert receipt.counts["train"]["records"] == 156
    assert receipt.counts["validation"] == {
        "records": 24, "as in the archive": 24 - changed(work), "classes": 6, "read by MXNet": 24,
        "damaged": 0,
    }  # fmt: skip


def changed(work: Job) -> int:
    """Images of the validation split that were made smaller or converted."""
    validation = json.loads(work.layout.manifest.read_text())["splits"]["validation"]
    return int(validation["images"]) - int(validation["as_is"])


@pytest.mark.parametrize("file", ["train.rec", "train.idx", "train.lst", "classes.tsv"])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_changed_byte(work: Job, file: str, place: float) -> None:
    path = work.layout.packed / file
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 0x01
    path.write_bytes(data)
    said = complaint(work)
    # A record and its lines in index and list are compared: either may be the one that is wrong.
    assert file in said or (file in ("train.idx", "train.lst") and "train.rec" in said)


@pytest.mark.parametrize("file", ["train.rec", "train.idx", "train.lst", "classes.tsv", "MANIFEST.json"])
@pytest.mark.parametrize("change", ["shorter", "longer", "empty", "gone"])
def test_wrong_length(work: Job, file: str, change: str) -> None:
    path = work.layout.packed / file
    data = path.read_bytes()
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"shorter": data[: len(data) // 2], "longer": data + b"1\t2\t3\n", "empty": b""}[change]
        )
    said = complaint(work)
    assert file in said or (file in ("train.idx", "train.lst") and "train.rec" in said)


def labels_swapped(packed: Packed) -> None:
    for entry in packed.entries:
        entry.label = {0: 1, 1: 0}.get(entry.label, entry.label)


def one_label(packed: Packed) -> None:
    packed.entries[4].label = (packed.entries[4].label + 1) % 3


def record_dropped(packed: Packed) -> None:
    del packed.entries[3]


def last_dropped(packed: Packed) -> None:
    del packed.entries[-1]


def record_twice(packed: Packed) -> None:
    packed.entries.insert(3, packed.entries[2])


def order(packed: Packed) -> None:
    packed.entries[2], packed.entries[3] = packed.entries[3], packed.entries[2]


def pictures_swapped(packed: Packed) -> None:
    one, other = packed.named("ant/small1.jpg"), packed.named("bee/small2.jpg")
    one.image, other.image = other.image, one.image


def one_reencoded(packed: Packed) -> None:
    packed.named("ant/small1.jpg").image = pictures.jpeg(40, 30, 1, quality=91)


def unknown_name(packed: Packed) -> None:
    packed.entries[0].name = packed.entries[0].name.replace("/", "/x")


def unknown_class(packed: Packed) -> None:
    packed.entries[0].name = "wasp/" + packed.entries[0].name.partition("/")[2]


def cut_picture(packed: Packed) -> None:
    entry = packed.named("ant/large.jpg")
    entry.image = entry.image[: len(entry.image) // 2]


def no_picture(packed: Packed) -> None:
    packed.named("ant/large.jpg").image = b"no picture"


def png_inside(packed: Packed) -> None:
    packed.named("ant/png.jpg").image = TINY["train"]["ant"]["png.jpg"]


MISTAKES: dict[str, tuple[Callable[[Packed], None], str]] = {
    "labels swapped": (labels_swapped, r"train.rec record \d+ \(\w+/.*\): label \d, should be \d"),
    "one label": (one_label, r"train.rec record 4 .*: label \d, should be \d"),
    "record dropped": (record_dropped, "split train: 1 images are missing, such as "),
    "last record dropped": (last_dropped, "split train: 1 images are missing, such as "),
    "record twice": (record_twice, "train.rec record 3 .*: no such image in the archive"),
    "order": (order, r"train.rec record 3 \(.*\): not in the order of the shuffle"),
    "pictures swapped": (pictures_swapped, "train: 10 of 21 images have the bytes in the .* says 12"),
    "one re-encoded": (one_reencoded, "train: 11 of 21 images have the bytes in the archive, .* says 12"),
    "unknown name": (unknown_name, "train.rec record 0 .*: no such image in the archive"),
    "unknown class": (unknown_class, r"train.rec record 0 \(wasp/.*\): label \d, should be None"),
    "cut picture": (cut_picture, r"train.rec record \d+ \(ant/large.jpg\): cut short"),
    "no picture": (no_picture, r"train.rec record \d+ \(ant/large.jpg\): "),
    "PNG inside": (png_inside, r"train.rec record \d+ \(ant/png.jpg\): "),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_of_pack(work: Job, mistake: Callable[[Packed], None], message: str) -> None:
    packed = Packed(work.layout.packed.parent)
    mistake(packed)
    packed.write()
    said = complaint(work)
    assert re.search(message, said), said


def test_putting_together_again_changes_nothing(work: Job) -> None:
    """Or the mistakes above would be found for another reason."""
    before = (work.layout.packed / "train.rec").read_bytes()
    Packed(work.layout.packed.parent).write()
    assert (work.layout.packed / "train.rec").read_bytes() == before
    with work.locked():
        work.verify()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("0\tbee\tbee\n1\tant\tant\n2\tcat\tcat\n", "classes.tsv: classes are not in sorted order"),
        ("0\tant\tant\n1\tbee\tbee\n", "classes.tsv: 2 classes, the description says 3"),
        ("0\tant\tant\n1\tbee\tbee\n2\tdog\tdog\n", "should be None"),
        ("1\tant\tant\n2\tbee\tbee\n3\tcat\tcat\n", "classes.tsv: its lines are not label, class and words"),
    ],
)
def test_mistaken_table(work: Job, table: str, message: str) -> None:
    work.layout.classes.write_text(table)
    rehash(work.layout.packed)
    assert message in complaint(work)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "[" * 9999, '{"dataset": "tiny"}'])
def test_damaged_manifest(work: Job, text: str) -> None:
    work.layout.manifest.write_text(text)
    assert f"{work.layout.manifest}: damaged" in complaint(work)


Change = Callable[[dict[str, Any]], object]
LACKING: dict[str, Change] = {
    "hashes": lambda table: table["files"].clear(),
    "one hash": lambda table: table["files"]["train.rec"].pop("sha256"),
    "a size": lambda table: table["files"]["train.rec"].update(bytes="5"),
    "a size that could be": lambda table: table["files"]["train.rec"].update(bytes=10**400),
    "the class table": lambda table: table["files"].pop("classes.tsv"),
    "the index": lambda table: table["files"].pop("train.idx"),
    "a split": lambda table: table["splits"].clear(),
    "a list of parts": lambda table: table["splits"]["train"].update(parts="train"),
    "a count": lambda table: table["splits"]["train"].pop("as_is"),
    "the unreadable": lambda table: table["splits"]["train"].pop("unreadable"),
    "a seed": lambda table: table["settings"].clear(),
}


@pytest.mark.parametrize("change", LACKING.values(), ids=LACKING)
def test_manifest_that_lacks(work: Job, change: Change) -> None:
    table = json.loads(work.layout.manifest.read_text())
    change(table)
    work.layout.manifest.write_text(json.dumps(table))
    assert re.search("MANIFEST.json: (damaged|made from another)|SHA-256 is not", complaint(work))


def test_description_that_was_changed_since(good: Path, tmp_path: Path) -> None:
    """Even by a split more, of which the manifest knows nothing."""
    more = {**TINY, "test": {"ant": {"1.jpg": pictures.jpeg(9, 9)}}}
    shutil.copytree(good / "packed", tmp_path / "packed")
    other = job(write_folders(tmp_path / "more", more), tmp_path)
    assert "made from another description" in complaint(other)


def test_validation_labels_by_the_ground_truth(tmp_path: Path) -> None:
    """An image under another class with that class's label is consistent in itself, and wrong."""
    toml = make_sample(tmp_path / "set", classes=4, images_per_class=1, validation_images=8)
    work = pack(toml, tmp_path)
    inventory = work.layout.journals / "inventory.tsv"
    packed = Packed(tmp_path, "validation")
    wnids = sorted({entry.name.partition("/")[0] for entry in packed.entries})
    entry = packed.entries[0]
    wnid, _, file = entry.name.partition("/")
    other = wnids[(wnids.index(wnid) + 1) % len(wnids)]
    inventory.write_text(inventory.read_text().replace(entry.name, f"{other}/{file}"))
    entry.name, entry.label = f"{other}/{file}", wnids.index(other)
    packed.write()
    assert f"validation.rec record 0 ({other}/{file}): the ground truth says {wnid}" in complaint(work)


def test_stale_packed_files_are_verified_again(work: Job) -> None:
    """The receipt is for these very bytes."""
    with work.locked():
        work.verify()
    table = json.loads(work.layout.manifest.read_text())
    work.layout.manifest.write_text(json.dumps(table))
    (work.layout.packed / "train.lst").write_bytes(b"")
    with work.locked(), pytest.raises(IntegrityError):
        work.verify()


def test_not_packed_yet(tmp_path: Path, good: Path) -> None:
    work = job(good / "set" / "tiny.toml", tmp_path)
    with work.locked(), pytest.raises(IntegrityError, match=r"MANIFEST.json: No such file.*: run pack"):
        work.verify()


def test_damage_inside_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Packed as it is, since its markers are whole; libjpeg's own words reach only manifest and receipt."""
    images = {f"{number}.jpg": pictures.jpeg(200, 150, number) for number in range(12)}
    images["5.jpg"] = pictures.damaged_inside(images["5.jpg"])
    images["8.jpg"] = pictures.damaged_inside(images["8.jpg"])
    work = pack(write_folders(tmp_path / "set", {"train": {"a": images}}), tmp_path)
    before = (tmp_path / "packed" / "train.rec").read_bytes()
    with work.locked():
        receipt = work.verify()
    assert receipt.counts["train"]["damaged"] == 2
    found = receipt.findings["damaged"]["train"]
    assert set(found) == {"a/5.jpg", "a/8.jpg"}
    assert all(found.values())
    facts = json.loads(work.layout.manifest.read_text())
    assert facts["splits"]["train"]["damaged"] == found
    assert (tmp_path / "packed" / "train.rec").read_bytes() == before
    assert "JPEG data" not in capfd.readouterr().err
    with work.locked():  # what verify added to the manifest undoes neither receipt
        assert work.pack().finished
        assert work.verify() == receipt


def test_damage_inside_is_an_error_if_strict(tmp_path: Path) -> None:
    images = {f"{number}.jpg": pictures.jpeg(200, 150, number) for number in range(4)}
    images["3.jpg"] = pictures.damaged_inside(images["3.jpg"])
    toml = write_folders(tmp_path / "set", {"train": {"a": images}})
    pack(toml, tmp_path)
    strict = job(toml, tmp_path, strict=True)
    for _ in range(2):  # with a receipt and without
        with strict.locked(), pytest.raises(IntegrityError, match=r"1 images are damaged inside.*a/3.jpg \("):
            strict.verify()
