"""Damage of the packed files, and of what says what they should be."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from prep.cluster.place import Place
from prep.job import Job
from rehearsal.sample.generate import make_sample
from tests.prep import pictures
from tests.prep.cluster.stand import BUCKET, Stand
from tests.prep.cluster.stored import Stored, cut, originals, store
from tests.prep.cluster.verify.asking import QUIET, SIZE, copied, refusal, verified
from tests.prep.small_sets import job, pack, write_folders
from tests.prep.stages.test_verify import MISTAKES, TINY, Packed

pytestmark = QUIET


@pytest.mark.parametrize(
    ("file", "where"),
    [
        ("train.rec", 0.0),
        ("train.rec", 0.5),
        ("train.rec", 1.0),
        ("train.idx", 0.5),
        ("train.lst", 0.5),
        ("classes.tsv", 0.5),
    ],
)
def test_one_changed_byte(stand: Stand, work: Job, stored: Stored, file: str, where: float) -> None:
    stored.change(file, int(where * (len(stored.place.get(file)) - 1)))
    said = refusal(stand, work, stored.place)
    assert f"s3://{BUCKET}/{stored.place.prefix}" in said
    # A record and its lines in index and list are compared: either may be the one that is wrong.
    assert file in said or (file in ("train.idx", "train.lst") and "train.rec" in said)


def test_what_is_wrong_is_packed_again(stand: Stand, stored: Stored, work: Job) -> None:
    """Or else `pack` would say that it is done."""
    stored.place.put(".prep/pack.json", b"{}")
    verified(stand, work, stored.place)
    assert stored.place.find(".prep/pack.json") == b"{}"
    stored.place.remove([".prep/verify.json"])
    stored.change("train.rec", 100)
    assert "train.rec" in refusal(stand, work, stored.place)
    assert stored.place.find(".prep/pack.json") is None


def test_padding(stand: Stand, work: Job, stored: Stored) -> None:
    """Which only the digest of the whole file covers."""
    packed = Packed(work.layout.packed.parent)
    ends = [int(line.split("\t")[1]) for line in packed.path("idx").read_text().splitlines()][1:]
    number = next(n for n, entry in enumerate(packed.entries) if len(entry.image) % 4)
    stored.change("train.rec", ends[number] - 1)
    said = refusal(stand, work, stored.place)
    assert said.startswith(f"{stored.place.url('train.rec')}: its SHA-256 is not that in the manifest")


@pytest.mark.parametrize("kind", ["rec", "idx", "lst"])
def test_another_digest(stand: Stand, work: Job, stored: Stored, kind: str) -> None:
    table = stored.table("MANIFEST.json")
    table["files"][f"train.{kind}"]["sha256"] = "0" * 64
    stored.place.put_json("MANIFEST.json", table)
    said = refusal(stand, work, stored.place)
    assert said.startswith(f"{stored.place.url(f'train.{kind}')}: its SHA-256 is not that in the manifest")


@pytest.mark.parametrize("file", ["train.rec", "train.idx", "train.lst", "classes.tsv", "MANIFEST.json"])
@pytest.mark.parametrize("change", ["shorter", "longer", "empty", "gone"])
def test_wrong_length(stand: Stand, work: Job, stored: Stored, file: str, change: str) -> None:
    data = stored.place.get(file)
    if change == "gone":
        stored.place.remove([file])
    else:
        changed = {"shorter": data[: len(data) // 2], "longer": data + b"1\t2\t3\n", "empty": b""}[change]
        stored.place.put(file, changed)
    assert stored.place.url(file) in refusal(stand, work, stored.place)


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_of_pack(
    stand: Stand, work: Job, place: Place, mistake: Callable[[Packed], None], message: str
) -> None:
    found_and_named(stand, work, place, SIZE, mistake, message)


@pytest.mark.parametrize("name", ["order", "record twice"])
def test_mistakes_where_ranges_meet(stand: Stand, work: Job, place: Place, name: str) -> None:
    """Records 2 and 3 are in two ranges, each of which is in order for itself."""
    mistake, message = MISTAKES[name]
    if name == "record twice":  # whose original is in the range before
        message = "train.rec record 3 .*: (no such image in the archive|not in the order)"
    found_and_named(stand, work, place, 3, mistake, message)


def found_and_named(
    stand: Stand, work: Job, place: Place, size: int, mistake: Callable[[Packed], None], message: str
) -> None:
    packed = Packed(work.layout.packed.parent)
    mistake(packed)
    packed.write()
    store(work, place, size)
    said = refusal(stand, work, place)
    assert re.search(message, said), said
    assert said.startswith(str(place))


def test_another_description(stand: Stand, stored: Stored, tmp_path: Path) -> None:
    more = {**TINY, "test": {"ant": {"1.jpg": pictures.jpeg(9, 9)}}}
    other = job(write_folders(tmp_path / "more" / "set", more), tmp_path / "more")
    said = refusal(stand, other, stored.place)
    assert said == f"{stored.place.url('MANIFEST.json')}: made from another description: run pack again"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("0\tbee\tbee\n1\tant\tant\n2\tcat\tcat\n", "classes.tsv: classes are not in sorted order"),
        ("0\tant\tant\n1\tbee\tbee\n", "classes.tsv: 2 classes, the description says 3"),
        (
            "0\tant\tant\n1\tbee\tbee\n2\tdog\tdog\n",
            r"train.rec record \d+ \(cat/.*\): .* should be None",
        ),
    ],
)
def test_mistaken_table(stand: Stand, work: Job, stored: Stored, table: str, message: str) -> None:
    stored.place.put("classes.tsv", table.encode())
    stored.rehash()
    assert re.search(message, refusal(stand, work, stored.place))


@pytest.fixture(scope="module")
def with_devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose validation images get their classes from a devkit, packed."""
    folder = tmp_path_factory.mktemp("devkit")
    pack(make_sample(folder / "set", classes=4, images_per_class=1, validation_images=8), folder)
    return folder


def test_labels_by_the_ground_truth(stand: Stand, with_devkit: Path, tmp_path: Path, place: Place) -> None:
    """An image under another class with that class's label is consistent in itself, and wrong."""
    work = copied(with_devkit, "sample", tmp_path)
    images = originals(work)
    packed = Packed(tmp_path, "validation")
    wnids = sorted({entry.name.partition("/")[0] for entry in packed.entries})
    entry = packed.entries[0]
    wnid, _, file = entry.name.partition("/")
    other = wnids[(wnids.index(wnid) + 1) % len(wnids)]
    images["validation"][f"{other}/{file}"] = images["validation"].pop(entry.name)
    entry.name, entry.label = f"{other}/{file}", wnids.index(other)
    packed.write()
    store(work, place, 3)
    cut(place, json.loads(place.get("MANIFEST.json")), 3, images)
    said = refusal(stand, work, place)
    assert said.startswith(
        f"{place.url('validation.rec')} record 0 ({other}/{file}): the ground truth says {wnid}"
    )


@pytest.mark.parametrize("change", ["gone", "another"])
def test_devkit(stand: Stand, with_devkit: Path, tmp_path: Path, place: Place, change: str) -> None:
    work = copied(with_devkit, "sample", tmp_path)
    stored = store(work, place, 3)
    devkit = work.description.devkit
    assert devkit
    name = f".prep/devkit/{devkit.file}"
    if change == "gone":
        place.remove([name])
        assert f"{place.url(name)}: does not exist: run pack" in refusal(stand, work, place)
    else:
        stored.change(name, 100)
        assert f"{place.url(name)}: its MD5 is " in refusal(stand, work, place)
