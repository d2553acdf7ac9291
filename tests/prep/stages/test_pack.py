"""Pack: the same bytes however it is done, every image in, and nothing lost in silence."""

import json
import random
import signal
import tarfile
from pathlib import Path
from typing import Any

import mxnet as mx
import pytest
from PIL import Image

from prep.archives import units
from prep.errors import IntegrityError
from prep.records import buckets
from prep.records.buckets import key_of
from prep.records.dealing import PackSettings
from rehearsal.checks.truth import read_truth
from rehearsal.sample.generate import oddities
from tests.prep import pictures
from tests.prep.commands import PREP_SMALL, folders, lines, run, start, wait_for
from tests.prep.small_sets import Images, job, note_checked, pack, packed_files, place_archives, write_folders

PACKED = {"MANIFEST.json", "classes.tsv"} | {
    f"{split}.{kind}" for split in ("train", "validation") for kind in ("rec", "idx", "lst")
}
TINY: dict[str, Images] = {
    "train": {
        "cat": {"1.jpg": pictures.jpeg(40, 30, 1), "2.png": pictures.save(pictures.picture(40, 30), "PNG")},
        "dog": {"1.jpg": pictures.jpeg(60, 80, 2), "3.jpg": pictures.jpeg(20, 20, 3)},
    }
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """The sample packed in one go."""
    folder = tmp_path_factory.mktemp("reference")
    pack(sample, folder)
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "packed" / "MANIFEST.json").read_text())
    return read


def test_what_is_packed_is_what_the_archives_hold(reference: Path, sample: Path) -> None:
    """Read by MXNet and Pillow, held against the archives by code that shares nothing with `prep`."""
    assert set(packed_files(reference)) == PACKED
    assert not (reference / "packed" / ".packing").exists()
    truth = read_truth(sample, sample.parent / "archives")
    planted = oddities(sample.parent)
    for split in truth.splits:
        originals = dict(split.images())
        base = reference / "packed" / split.name
        rows = [line.split("\t") for line in base.with_suffix(".lst").read_text().splitlines()]
        assert {name: int(label) for _, label, name in rows} == split.labels
        reader = mx.recordio.MXIndexedRecordIO(
            str(base.with_suffix(".idx")), str(base.with_suffix(".rec")), "r"
        )
        for index, label, name in rows:
            header, jpeg = mx.recordio.unpack(reader.read_idx(int(index)))
            assert (header.label, header.id) == (int(label), int(index))
            kind = planted[split.name].get(name, "")
            form, mode, size = pictures.header(jpeg)
            assert (form, mode in ("RGB", "L"), min(size) <= 480) == ("JPEG", True, True)
            before = pictures.seen(originals[name]) if "cmyk" not in kind and "ycck" not in kind else None
            if before is not None and min(before.size) <= 480 and kind in ("", "grey", "progressive"):
                assert jpeg == originals[name]
            elif before is not None:
                after = pictures.seen(jpeg)
                assert pictures.difference(after, before.resize(after.size, Image.Resampling.BOX)) < 10, name
        reader.close()


def test_order_is_the_shuffles(reference: Path) -> None:
    for split in ("train", "validation"):
        text = (reference / "packed" / f"{split}.lst").read_text()
        names = [line.split("\t")[2] for line in text.splitlines()]
        assert names == sorted(names, key=lambda name: key_of(0, name))


def test_manifest_says_what_was_done(reference: Path, sample: Path) -> None:
    facts = manifest(reference)
    assert facts["settings"].items() >= {"resize": 480, "quality": 95, "seed": 0}.items()
    assert (facts["dataset"], facts["classes"]) == ("sample", 6)
    assert facts["files"] == {
        name: {"bytes": (reference / "packed" / name).stat().st_size, "sha256": digest}
        for name, digest in packed_files(reference).items()
        if name != "MANIFEST.json"
    }
    train = facts["splits"]["train"]
    assert (train["images"], train["records"], train["unreadable"]) == (156, 156, {})
    cared = {
        name
        for name, kind in oddities(sample.parent)["train"].items()
        if kind.startswith(("cmyk", "ycck", "png", "orientation"))
    }
    assert set(train["care"]) == cared
    assert facts["splits"]["validation"]["records"] == 24


def test_threads_units_and_buckets_make_no_difference(
    tmp_path: Path, sample: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(sample, tmp_path / "1", threads=1)
    assert packed_files(tmp_path / "1") == packed_files(reference)
    monkeypatch.setattr(units, "SMALLEST", 1 << 20)
    monkeypatch.setattr(buckets, "BUCKET_BYTES", 2 << 20)
    pack(sample, tmp_path / "2", threads=2)
    assert packed_files(tmp_path / "2") == packed_files(reference)


def test_from_folders(tmp_path: Path, sample: Path, reference: Path) -> None:
    work = job(sample, tmp_path)
    with work.locked():
        work.organize()
    pack(sample, tmp_path, from_folders=True)
    assert packed_files(tmp_path) == packed_files(reference)


def test_killed_again_and_again(tmp_path: Path, sample: Path, reference: Path) -> None:
    """SIGKILL at seeded moments of dealing and merging; what comes out in the end has the same bytes."""
    place_archives(sample, tmp_path / "root")
    journal = tmp_path / "packed" / ".packing" / "journal.jsonl"
    chance = random.Random(4)  # noqa: S311 - no secret
    command = ["pack", "--dataset", str(sample), "--no-progress", *folders(tmp_path)]
    killed = 0
    for _ in range(20):
        target = lines(journal) + chance.randint(1, 3)
        process = start(*command, program=PREP_SMALL)
        if wait_for(lambda target=target: lines(journal) >= target, process):  # type: ignore[misc]  # a default
            process.send_signal(signal.SIGKILL)
            killed += 1
        _, errors = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors
    assert process.returncode == 0
    assert killed >= 3
    assert packed_files(tmp_path) == packed_files(reference)


def test_killed_with_units_of_the_real_size(tmp_path: Path, sample: Path, reference: Path) -> None:
    place_archives(sample, tmp_path / "root")
    journal = tmp_path / "packed" / ".packing" / "journal.jsonl"
    command = ["pack", "--dataset", str(sample), "--no-progress", *folders(tmp_path)]
    process = start(*command)
    assert wait_for(lambda: lines(journal) >= 3, process)
    process.kill()
    process.communicate()
    before = lines(journal)
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert before >= 3
    assert packed_files(tmp_path) == packed_files(reference)


def test_resumed_run_reads_only_what_is_missing(
    tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = job(sample, tmp_path)
    note_checked(work)
    original = units._images
    read: list[str] = []

    def failing(*arguments: Any) -> Any:
        read.append(arguments[0].name)
        if len(read) == 3:
            raise IntegrityError("stopped")
        return original(*arguments)

    monkeypatch.setattr(units, "_images", failing)
    with work.locked(), pytest.raises(IntegrityError, match="stopped"):
        work.pack()
    read[:] = ["resumed"] * 10
    with work.locked():
        work.pack()
    total = sum(1 for _ in (tmp_path / "root" / "archives").glob("*img*.tar"))
    assert total == 2
    assert len(read) - 10 == unit_count(sample) - 2


def unit_count(toml: Path) -> int:
    """How many units the splits' archives have, found from the members' places alone."""
    count = 0
    for path in (toml.parent / "archives").glob("*img*.tar"):
        with tarfile.open(path) as tar:
            offsets = [member.offset for member in tar][1:]
        begin, least = 0, max(8 << 20, path.stat().st_size // 1000)
        count += 1
        for offset in offsets:
            if offset - begin >= least:
                begin, count = offset, count + 1
    return count


def test_second_run_does_nothing(tmp_path: Path) -> None:
    toml = write_folders(tmp_path / "set", TINY)
    work = pack(toml, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "packed").iterdir()}
    with work.locked():
        receipt = work.pack()
    assert receipt.counts == {"train": 4}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "packed").iterdir()} == before


@pytest.mark.parametrize("setting", [{"resize": 16}, {"quality": 50}, {"seed": 6}])
def test_other_settings_pack_anew(tmp_path: Path, setting: dict[str, int]) -> None:
    toml = write_folders(tmp_path / "set", TINY)
    pack(toml, tmp_path)
    before = packed_files(tmp_path)
    pack(toml, tmp_path, settings=PackSettings(**setting))
    after = packed_files(tmp_path)
    assert (before.keys(), before["classes.tsv"]) == (after.keys(), after["classes.tsv"])
    assert before["train.rec"] != after["train.rec"]
    assert (
        manifest(tmp_path)["settings"].items()
        >= ({"resize": 480, "quality": 95, "seed": 0} | setting).items()
    )
    pack(toml, tmp_path)
    assert packed_files(tmp_path) == before


def test_changed_settings_in_the_middle_mix_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = write_folders(tmp_path / "set", TINY)
    monkeypatch.setattr(units, "SMALLEST", 1)
    work = job(toml, tmp_path, settings=PackSettings(resize=16))
    monkeypatch.setattr("prep.stages.pack.merge", stop)
    with work.locked(), pytest.raises(IntegrityError, match="stopped"):
        work.pack()
    assert (tmp_path / "packed" / ".packing").exists()
    monkeypatch.undo()
    pack(toml, tmp_path)
    pack(toml, tmp_path / "other")
    assert packed_files(tmp_path) == packed_files(tmp_path / "other")


def stop(*_: object) -> None:
    raise IntegrityError("stopped")


def test_changed_archive_packs_anew(tmp_path: Path) -> None:
    toml = write_folders(tmp_path / "set", TINY)
    pack(toml, tmp_path)
    more = {"train": {**TINY["train"], "dog": {**TINY["train"]["dog"], "4.jpg": pictures.jpeg(9, 9)}}}
    write_folders(tmp_path / "new", more)
    toml.write_text((tmp_path / "new" / "tiny.toml").read_text())
    archive = tmp_path / "root" / "archives" / "train.tar"
    archive.unlink()
    archive.write_bytes((tmp_path / "new" / "archives" / "train.tar").read_bytes())
    work = pack(toml, tmp_path)
    assert len((tmp_path / "packed" / "train.lst").read_text().splitlines()) == 5
    assert work.layout.packing.exists() is False


def unreadable(tmp_path: Path, count: int) -> Path:
    bad = {f"bad{number}.jpg": pictures.jpeg(40, 30, number)[: 300 + number] for number in range(count)}
    return write_folders(
        tmp_path / "set", {"train": {**TINY["train"], "cat": {**TINY["train"]["cat"], **bad}}}
    )


def test_unreadable_images_fail_with_their_names(tmp_path: Path) -> None:
    toml = unreadable(tmp_path, 2)
    with pytest.raises(
        IntegrityError,
        match=r"^pack: 2 unreadable images: cat/bad0.jpg cut short.*; cat/bad1.jpg cut.*--allow-unreadable 2",
    ):
        pack(toml, tmp_path)
    assert not (tmp_path / "packed" / "MANIFEST.json").exists()
    assert not (tmp_path / "packed" / "train.rec").exists()
    with pytest.raises(IntegrityError, match="2 unreadable"):
        pack(toml, tmp_path, allow_unreadable=1)
    pack(toml, tmp_path, allow_unreadable=2)
    train = manifest(tmp_path)["splits"]["train"]
    assert (train["images"], train["records"]) == (6, 4)
    assert {name: why[:9] for name, why in train["unreadable"].items()} == {
        "cat/bad0.jpg": "cut short",
        "cat/bad1.jpg": "cut short",
    }
    assert "bad" not in (tmp_path / "packed" / "train.lst").read_text()


def test_many_unreadable_images_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"^pack: 30 unreadable images: .*; …: ") as caught:
        pack(unreadable(tmp_path, 30), tmp_path)
    assert len(str(caught.value)) < 1500


def test_class_whose_images_are_all_unreadable_keeps_its_label(tmp_path: Path) -> None:
    """Were it left out, every later class would have another label than elsewhere."""
    images: Images = {"ant": {"1.jpg": b"broken"}, **TINY["train"]}
    pack(write_folders(tmp_path / "set", {"train": images}), tmp_path, allow_unreadable=1)
    assert (tmp_path / "packed" / "classes.tsv").read_text() == "0\tant\tant\n1\tcat\tcat\n2\tdog\tdog\n"


def test_duplicate_names(tmp_path: Path) -> None:
    twice: Images = {f"{part}/cat": TINY["train"]["cat"] for part in "ab"}
    toml = write_folders(tmp_path / "set", {"train": twice}, classes=1)
    with pytest.raises(IntegrityError, match=r"two images of split train are named cat/\d"):
        pack(toml, tmp_path)


def test_wrong_counts(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"split train has 4 images, the description says 5: correct"):
        pack(write_folders(tmp_path / "images", TINY, images=5), tmp_path / "1")
    with pytest.raises(IntegrityError, match=r"says 3, but there are 2 in the archives: correct \[classes\]"):
        pack(write_folders(tmp_path / "classes", TINY, classes=3), tmp_path / "2")
