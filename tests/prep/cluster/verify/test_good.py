"""What is good is found to be so, once."""

import json
import re
from pathlib import Path

import pytest

from prep.cluster.place import Place
from prep.job import Job
from prep.records.dealing import PackSettings
from tests.prep import pictures
from tests.prep.cluster.stand import Stand
from tests.prep.cluster.stored import Stored, store
from tests.prep.cluster.verify.asking import (
    QUIET,
    ask,
    complaint,
    packed_here,
    refusal,
    same_receipt,
    verified,
)
from tests.prep.small_sets import pack, write_folders

pytestmark = QUIET


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
