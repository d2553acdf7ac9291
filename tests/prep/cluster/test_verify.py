"""Verify on a cluster: the receipt is that of one machine, and every kind of damage is found and named.

The packed files are those of one machine, put into S3 and cut into ranges. A real Ray cluster and a real S3
server do the work.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prep.aws import clients
from prep.cluster import place as places
from prep.cluster.place import Place
from prep.job import Job
from prep.records.dealing import PackSettings
from prep.state.receipts import Receipt
from rehearsal.sample.generate import make_sample
from tests.prep import pictures
from tests.prep.cluster.stand import BUCKET, Stand
from tests.prep.cluster.stored import Stored, cut, originals, store
from tests.prep.small_sets import job, pack, write_folders
from tests.prep.stages.test_verify import MISTAKES, SETTINGS, TINY, Packed

# MXNet 1.9.1 is the last there will be, and asks for names that SciPy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
SIZE = 5  # records of a range: the tiny set has five ranges


@pytest.fixture(scope="module", autouse=True)
def _storage(shared_stand: Stand) -> Iterator[None]:
    """This process, too, talks to the S3 server, to put packed files there and to damage them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shared_stand.env.items():
            patch.setenv(name, value)
        clients._session.cache_clear()
        places._client.cache_clear()
        yield
    clients._session.cache_clear()
    places._client.cache_clear()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, packed."""
    folder = tmp_path_factory.mktemp("good")
    pack(write_folders(folder / "set", TINY), folder, settings=SETTINGS)
    return folder


@pytest.fixture
def work(good: Path, tmp_path: Path) -> Job:
    """The same on this machine, for this test to damage."""
    return copied(good, "tiny", tmp_path)


def copied(packed: Path, name: str, folder: Path) -> Job:
    """A copy of a packed data set, with its description beside it."""
    for kind in ("root", "packed", "set"):
        shutil.copytree(packed / kind, folder / kind)
    return job(folder / "set" / f"{name}.toml", folder)


@pytest.fixture
def place(stand: Stand) -> Place:
    """Where the packed files of this test are."""
    return Place.parse(stand.place())


@pytest.fixture
def stored(work: Job, place: Place) -> Stored:
    """The small data set in S3."""
    return store(work, place, SIZE)


def ask(stand: Stand, work: Job, place: Place, *more: str) -> dict[str, Any]:
    """Verify on the cluster, by the command line."""
    (toml,) = (work.layout.root.parent / "set").glob("*.toml")
    where = ["--address", stand.nodes.address, "--packed", str(place), "--dataset", str(toml)]
    return stand.resident.ask(main=["verify", "--on", "ray", *where, "--no-progress", "--json", *more])


def verified(stand: Stand, work: Job, place: Place) -> Receipt:
    answer = ask(stand, work, place)
    assert answer["code"] == 0, answer["err"]
    return Receipt(**json.loads(answer["out"]))


def complaint(stand: Stand, work: Job, place: Place, *more: str) -> str:
    """One line, with nothing of what Ray has to say of the error."""
    answer = ask(stand, work, place, *more)
    assert answer["code"] == 5, answer
    *lines, last = answer["err"].splitlines()
    assert [line for line in lines if not line.startswith("verify: done")] == []
    assert last.startswith("error: ")
    return str(last).removeprefix("error: ")


def refusal(stand: Stand, work: Job, place: Place) -> str:
    """The same, where no receipt may be left."""
    said = complaint(stand, work, place)
    assert place.find(".prep/verify.json") is None
    return said


def same_receipt(work: Job, place: Place, receipt: Receipt) -> None:
    """Compare the receipt with that of this machine."""
    with work.locked():
        here = work.verify()
    counts = dict(receipt.counts)
    assert counts.pop("bytes")["read"] > 0
    assert counts == {split: here.counts[split] for split in counts}
    assert {*counts} == {*here.counts} - {"bytes"}
    assert (receipt.stage, receipt.inputs, receipt.settings, receipt.findings) == (
        here.stage, here.inputs, here.settings, here.findings,
    )  # fmt: skip
    assert receipt.outputs == {place.url("MANIFEST.json"): here.outputs[str(work.layout.manifest)]}
    assert place.get("MANIFEST.json") == work.layout.manifest.read_bytes()
    assert Receipt(**json.loads(place.get(".prep/verify.json"))) == receipt


@pytest.mark.parametrize("size", [2, 21])
def test_good(stand: Stand, work: Job, place: Place, size: int) -> None:
    stored = store(work, place, size)
    before = stored.everything()
    receipt = verified(stand, work, place)
    assert receipt.finished
    assert receipt.counts["train"] == {
        "records": 21, "as in the archive": 12, "classes": 3, "read by MXNet": 21, "damaged": 0,
    }  # fmt: skip
    same_receipt(work, place, receipt)
    after = stored.everything()
    assert after.pop(".prep/verify.json")
    assert after == before


def test_what_is_verified_is_not_verified_again(stand: Stand, work: Job, stored: Stored) -> None:
    receipt = verified(stand, work, stored.place)
    stored.place.remove(["train.rec"])  # which nobody reads now
    assert verified(stand, work, stored.place) == receipt


def test_another_manifest_is_verified_again(stand: Stand, work: Job, stored: Stored) -> None:
    verified(stand, work, stored.place)
    table = stored.table("MANIFEST.json")
    stored.place.put("MANIFEST.json", json.dumps(table).encode())
    stored.change("train.rec", 100)
    assert "train.rec" in complaint(stand, work, stored.place)


def packed_here(toml: Path, folder: Path, **options: Any) -> Job:
    """A data set packed on this machine, with its description beside it."""
    (folder / "set").mkdir()
    shutil.copy(toml, folder / "set")
    return pack(toml, folder, **options)


@pytest.mark.parametrize("part_mib", [0, 4])
def test_good_sample(
    stand: Stand,
    tmp_path: Path,
    sample: Path,
    place: Place,
    part_mib: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two splits, a devkit; in several files MXNet reads other records than in one."""
    monkeypatch.setattr("prep.records.buckets.BUCKET_BYTES", 2 << 20)
    work = packed_here(sample, tmp_path, settings=PackSettings(part_mib=part_mib))
    stored = store(work, place, 13)
    parts = stored.table("MANIFEST.json")["splits"]["train"]["parts"]
    assert (len(parts) > 2) == bool(part_mib)
    receipt = verified(stand, work, place)
    assert receipt.counts["train"]["records"] == 156
    assert receipt.counts["validation"]["records"] == 24
    same_receipt(work, place, receipt)


def test_sample_of_many(stand: Stand, tmp_path: Path, place: Place) -> None:
    """MXNet reads the records that it reads on one machine: every other one, whatever the ranges."""
    images = {f"{number}.jpg": pictures.jpeg(9, 9, number) for number in range(501)}
    work = pack(write_folders(tmp_path / "set", {"train": {"a": images}}), tmp_path)
    store(work, place, 33)
    receipt = verified(stand, work, place)
    assert receipt.counts["train"]["read by MXNet"] == 251
    same_receipt(work, place, receipt)


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


def test_ranges_swapped(stand: Stand, work: Job, place: Place) -> None:
    """Each is in order for itself, and all else fits."""
    packed = Packed(work.layout.packed.parent)
    packed.entries[5:15] = packed.entries[10:15] + packed.entries[5:10]
    packed.write()
    store(work, place, SIZE)
    said = refusal(stand, work, place)
    assert re.match(re.escape(place.url("train.rec")) + r" record 10 \(.*\): not in the order of the", said)


def lost(rows: list[dict[str, Any]], number: int) -> None:
    del rows[number]


def renumbered(rows: list[dict[str, Any]]) -> None:
    del rows[2]
    for number, row in enumerate(rows):
        row["number"] = number


def claimed(rows: list[dict[str, Any]]) -> None:
    """A range is gone, and nobody misses its records: the others claim to be all."""
    del rows[2]
    first = 0
    for number, row in enumerate(rows):
        row["number"], row["first"] = number, first
        first += row["records"]


def no_last_records(rows: list[dict[str, Any]]) -> None:
    del rows[-1]


def one_record_less(rows: list[dict[str, Any]]) -> None:
    rows[-1]["records"] -= 1


def one_byte_less(rows: list[dict[str, Any]]) -> None:
    rows[-1]["rec"][1] -= 1


def cut_elsewhere(rows: list[dict[str, Any]]) -> None:
    rows[1]["rec"][1] -= 4
    rows[2]["rec"][0] -= 4
    rows[2]["rec"][1] += 4


def other_lines(rows: list[dict[str, Any]]) -> None:
    size = rows[1]["idx"][1]
    rows[1]["idx"][1] = size + 1
    rows[2]["idx"][0] += 1
    rows[2]["idx"][1] -= 1


def twice(rows: list[dict[str, Any]]) -> None:
    rows.insert(2, rows[1])


def another_file(rows: list[dict[str, Any]]) -> None:
    rows[-1]["part"] = "train-00001"


def other_split(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["split"] = "test"


def text_for_a_number(rows: list[dict[str, Any]]) -> None:
    rows[0]["rec"][1] = "5"


def no_lines(rows: list[dict[str, Any]]) -> None:
    del rows[0]["lst"]


RANGES = "ranges.json: split train: "
GAPS: dict[str, tuple[Callable[[list[dict[str, Any]]], None], str]] = {
    "first lost": (lambda rows: lost(rows, 0), RANGES + "no range 0 that begins with record 0"),
    "third lost": (lambda rows: lost(rows, 2), RANGES + "no range 2 that begins with record 10"),
    "third lost, others renumbered": (renumbered, RANGES + "no range 2 that begins with record 10"),
    "third lost, others claim its records": (claimed, RANGES + "no range of train.rec that begins at"),
    "last lost": (no_last_records, RANGES + r"the ranges of train.rec end at byte \d+, it has \d+"),
    "one record less": (one_record_less, r"train.rec: 1 records in the \d+ bytes from byte .*, should be 0"),
    "one byte less": (one_byte_less, RANGES + r"the ranges of train.rec end at byte \d+, it has \d+"),
    "cut elsewhere": (cut_elsewhere, r"train.rec: "),
    "lines cut elsewhere": (other_lines, "train.rec: record 10 .*differs from the index|train.idx: has more"),
    "twice": (twice, RANGES + "no range 2 that begins with record 10"),
    "another file": (another_file, RANGES + "other files than in the manifest"),
    "none of this split": (other_split, RANGES + "other files than in the manifest"),
    "text for a number": (text_for_a_number, r"ranges.json: damaged \(.*'5' is not"),
    "no lines": (no_lines, r"ranges.json: damaged \(KeyError"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), GAPS.values(), ids=GAPS)
def test_ranges_that_miss_something(
    stand: Stand, work: Job, stored: Stored, change: Callable[[list[dict[str, Any]]], None], message: str
) -> None:
    rows = stored.table(".prep/ranges.json")
    change(rows)
    stored.place.put_json(".prep/ranges.json", rows)
    said = refusal(stand, work, stored.place)
    assert re.search(message, said), said
    assert said.startswith(str(stored.place))


def test_a_range_without_records(stand: Stand, work: Job, stored: Stored) -> None:
    """Its buckets are empty."""
    rows = stored.table(".prep/ranges.json")
    last = rows[-1]
    ends = {kind: [sum(last[kind]), 0] for kind in ("rec", "idx", "lst")}
    number, first = last["number"] + 1, last["first"] + last["records"]
    rows.append(last | ends | {"number": number, "first": first, "records": 0})
    stored.place.put_json(".prep/ranges.json", rows)
    stored.place.put(f".prep/inventory/train-{number:05d}.tsv", b"")
    same_receipt(work, stored.place, verified(stand, work, stored.place))


@pytest.mark.parametrize("text", [b"", b"{", b"{}x", b"[1]", b"[" * 9999, b"\xff", None])
def test_damaged_ranges(stand: Stand, work: Job, stored: Stored, text: bytes | None) -> None:
    if text is None:
        stored.place.remove([".prep/ranges.json"])
    else:
        stored.place.put(".prep/ranges.json", text)
    assert f"{stored.place.url('.prep/ranges.json')}: " in refusal(stand, work, stored.place)


PIECE = ".prep/inventory/train-00002.tsv"


def without(text: str, number: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[:number] + lines[number + 1 :])


def wrong_sums(text: str) -> str:
    return re.sub(r"\d+\n", "5\n", text)


INVENTORY: dict[str, tuple[Callable[[str], str], str]] = {
    "a name": (lambda text: text.replace("/", "/x", 1), r"train.rec record \d+ \(.*\): no such image in the"),
    "a tab": (lambda text: text.replace("\t", " ", 1), rf"{PIECE}: damaged: run pack again"),
    "cut short": (lambda text: text[:-1], rf"{PIECE}: damaged: run pack again"),
    "a line less": (
        lambda text: without(text, 1),
        r"train.rec record \d+ \(.*\): no such image in the archive",
    ),
    "a line more": (lambda text: text + "ant/more.jpg\t5\t5\n", r"the archive holds 22 images, .* says 21"),
    "a line twice": (lambda text: text + text.splitlines()[0] + "\n", "holds .* twice"),
    "other sums": (wrong_sums, r"split train: \d+ of 21 images have the bytes in the archive, .* says 12"),
    "empty": (lambda _: "", r"train.rec record 10 \(.*\): no such image in the archive"),
}


@pytest.mark.parametrize(("change", "message"), INVENTORY.values(), ids=INVENTORY)
def test_damaged_inventory(
    stand: Stand, work: Job, stored: Stored, change: Callable[[str], str], message: str
) -> None:
    stored.place.put(PIECE, change(stored.place.get(PIECE).decode()).encode())
    said = refusal(stand, work, stored.place)
    assert re.search(message, said), said


def test_lost_inventory(stand: Stand, work: Job, stored: Stored) -> None:
    stored.place.remove([PIECE])
    assert f"{stored.place.url(PIECE)}: does not exist: run pack" in refusal(stand, work, stored.place)


def test_image_of_another_piece(stand: Stand, work: Job, stored: Stored) -> None:
    """An image is missing even if an image more than there should be is in another range."""
    text = stored.place.get(PIECE).decode()
    line = text.splitlines(keepends=True)[0]
    stored.place.put(PIECE, text.replace(line, "").encode())
    other = ".prep/inventory/train-00000.tsv"
    stored.place.put(other, stored.place.get(other) + line.encode())
    said = refusal(stand, work, stored.place)
    assert f"({line.split(chr(9))[0]}): no such image in the archive" in said


def test_unreadable_images(stand: Stand, tmp_path: Path, place: Place) -> None:
    """They are in the inventory and in no record, and the manifest names them."""
    images = {f"{number}.jpg": pictures.jpeg(20, 20, number) for number in range(7)}
    images["bad.jpg"] = b"no picture"
    toml = write_folders(tmp_path / "set", {"train": {"a": images}})
    work = pack(toml, tmp_path, allow_unreadable=1)
    stored = store(work, place, 3)
    receipt = verified(stand, work, place)
    assert receipt.counts["train"]["records"] == 7
    same_receipt(work, place, receipt)
    table = stored.table("MANIFEST.json")
    table["splits"]["train"]["unreadable"] = {}
    place.put_json("MANIFEST.json", table)
    assert "split train: 1 images are missing, such as a/bad.jpg" in complaint(stand, work, place)


def test_damage_inside(stand: Stand, tmp_path: Path, place: Place) -> None:
    images = {f"{number}.jpg": pictures.jpeg(200, 150, number) for number in range(12)}
    images["5.jpg"] = pictures.damaged_inside(images["5.jpg"])
    images["8.jpg"] = pictures.damaged_inside(images["8.jpg"])
    work = pack(write_folders(tmp_path / "set", {"train": {"a": images}}), tmp_path)
    stored = store(work, place, 5)
    for _ in range(2):  # without a receipt and with one
        said = complaint(stand, work, place, "--strict")
        assert re.search(r"2 images are damaged inside, such as train/a/[58].jpg \(", said)
    receipt = verified(stand, work, place)
    found = receipt.findings["damaged"]["train"]
    assert {*found} == {"a/5.jpg", "a/8.jpg"}
    assert stored.table("MANIFEST.json")["splits"]["train"]["damaged"] == found
    same_receipt(work, place, receipt)


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


def test_nothing_there(stand: Stand, work: Job, place: Place) -> None:
    said = refusal(stand, work, place)
    assert said == f"{place.url('MANIFEST.json')}: does not exist: run pack"


def test_what_a_cluster_has_packed(stand: Stand, tmp_path: Path, sample: Path) -> None:
    """Verify needs the ranges, the inventory and the devkit that `pack` on a cluster leaves."""
    work = packed_here(sample, tmp_path)
    packed = stand.place()
    assert stand.pack(sample, stand.source(sample), packed).returncode == 0
    place = Place.parse(packed)
    assert len(Stored(place).table(".prep/ranges.json")) > 2
    same_receipt(work, place, verified(stand, work, place))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--against", "s3://b"], "--against: not with --on ray"),
        (["--threads", "2"], "--threads: not with --on ray"),
        (["--packed", "packed"], "--packed: with --on ray, give an address like s3://"),
    ],
)
def test_options_that_do_not_fit(
    stand: Stand, work: Job, place: Place, more: list[str], message: str
) -> None:
    answer = ask(stand, work, place, *more)
    assert (answer["code"], message in answer["err"]) == (2, True)
