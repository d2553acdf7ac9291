"""Restore: a backup comes back, byte for byte, and only where it is missing."""

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from prep.errors import IntegrityError, PrepError
from prep.job import Job
from prep.state import receipts
from tests.prep.s3_proxy import Fault, S3Proxy
from tests.prep.small_sets import TINY, job, pack, packed_files, write_folders

pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
BUCKET = "restore-bucket"


@pytest.fixture
def work(aws: str, tmp_path: Path) -> Job:
    """A small data set that has been backed up."""
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    work = pack(write_folders(tmp_path / "set", TINY), tmp_path, bucket=BUCKET)
    with work.locked():
        work.verify(back_up=True)
        work.backup()
    return work


def restore(work: Job, *what: str) -> dict[str, object]:
    with work.locked():
        return dict(work.restore(what).counts)


def test_everything_comes_back(work: Job, tmp_path: Path) -> None:
    packed = packed_files(tmp_path)
    archive = (work.layout.archives / "train.tar").read_bytes()
    shutil.rmtree(work.layout.root)
    shutil.rmtree(work.layout.packed)
    assert restore(work, "archives", "packed") == {"archives": 1, "packed": 4}
    assert packed_files(tmp_path) == packed
    assert (work.layout.archives / "train.tar").read_bytes() == archive
    with work.locked():
        work.pack()
        work.verify()
    assert packed_files(tmp_path) == packed


def test_only_what_is_missing(work: Job, tmp_path: Path) -> None:
    packed = packed_files(tmp_path)
    (work.layout.packed / "train.lst").unlink()
    assert restore(work, "packed") == {"packed": 1}
    assert packed_files(tmp_path) == packed


def test_only_what_is_asked_for(work: Job) -> None:
    shutil.rmtree(work.layout.root)
    shutil.rmtree(work.layout.packed)
    assert restore(work, "packed") == {"packed": 4}
    assert not work.layout.archives.exists()


def test_other_file_in_the_way_is_not_overwritten(work: Job) -> None:
    (work.layout.packed / "train.lst").write_bytes(b"mine")
    with pytest.raises(IntegrityError, match=r"train.lst: has 4 bytes"):
        restore(work, "packed")
    assert (work.layout.packed / "train.lst").read_bytes() == b"mine"


def test_manifest_comes_last(work: Job) -> None:
    """Where there is a manifest, all that it names is there."""
    shutil.rmtree(work.layout.packed)
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="tiny/packed/train.rec")
    with pytest.raises(PrepError, match=r"train.rec"):
        restore(work, "packed")
    assert not work.layout.manifest.exists()


def test_nothing_backed_up(aws: str, tmp_path: Path) -> None:
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    work = job(write_folders(tmp_path / "set", TINY), tmp_path, bucket=BUCKET)
    with pytest.raises(PrepError, match=f"s3://{BUCKET}/tiny/packed/MANIFEST.json"):
        restore(work, "packed")


def claim(**facts: object) -> None:
    """Have the manifest in the bucket claim this of `train.lst`."""
    s3 = boto3.client("s3")
    place = {"Bucket": BUCKET, "Key": "tiny/packed/MANIFEST.json"}
    table = json.loads(s3.get_object(**place)["Body"].read())
    table["files"]["train.lst"] |= facts
    s3.put_object(**place, Body=json.dumps(table))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"bytes": 1 << 61}, "GB needed for"),
        ({"bytes": 10**400}, "MANIFEST.json: damaged"),
        ({"bytes": "5"}, "MANIFEST.json: damaged"),
        ({"bytes": -1}, "MANIFEST.json: damaged"),
        ({"bytes": 3}, "train.lst: .* bytes.* 3"),
        ({"sha256": "0" * 64}, "train.lst: its SHA256 is"),
        ({"sha256": "0\r\nx-amz-acl: public-read"}, "MANIFEST.json: damaged"),
    ],
)
def test_sizes_and_digests_that_are_not_the_objects(
    work: Job, facts: dict[str, object], message: str
) -> None:
    shutil.rmtree(work.layout.packed)
    claim(**facts)
    with pytest.raises(PrepError, match=message) as caught:
        restore(work, "packed")
    assert "\n" not in str(caught.value)
    assert not work.layout.manifest.exists()
    assert not (work.layout.packed / "train.lst").exists()


PAGE, SHEET = "preview.html", "preview.png"


@pytest.fixture
def seen(work: Job) -> Job:
    """The same with a preview, which the backup has too."""
    with work.locked():
        work.preview()
        work.backup()
    return work


def test_the_preview_comes_back(seen: Job, tmp_path: Path) -> None:
    packed = packed_files(tmp_path)
    assert {PAGE, SHEET} <= set(packed)
    shutil.rmtree(seen.layout.packed)
    assert restore(seen, "packed") == {"packed": 4}
    assert packed_files(tmp_path) == packed


@pytest.mark.parametrize("lost", ["missing", "damaged"])
def test_a_preview_that_is_lost_does_not_matter(
    seen: Job, tmp_path: Path, lost: str, capfd: pytest.CaptureFixture[str]
) -> None:
    packed = packed_files(tmp_path)
    shutil.rmtree(seen.layout.packed)
    s3, key = boto3.client("s3"), f"tiny/packed/{PAGE}"
    if lost == "missing":
        s3.delete_object(Bucket=BUCKET, Key=key)
    else:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"other", Metadata={"sha256": packed[PAGE]})
    assert restore(seen, "packed") == {"packed": 4}
    del packed[PAGE]
    assert packed_files(tmp_path) == packed
    said = [line for line in capfd.readouterr().err.splitlines() if key in line]
    assert len(said) == 1
    assert "`python -m prep preview` makes preview.html again" in said[0]


RECEIPT = "tiny/packed/.prep/verify.json"


@pytest.fixture
def verified(work: Job) -> Job:
    """The same, verified in S3, as a cluster does it; nothing of it is on the volumes any more."""
    receipt = json.loads((work.layout.receipts / "verify.json").read_text())
    url = f"s3://{BUCKET}/tiny/packed/MANIFEST.json"
    put_receipt(receipt | {"outputs": {url: receipt["outputs"][str(work.layout.manifest)]}})
    shutil.rmtree(work.layout.root)
    shutil.rmtree(work.layout.packed)
    return work


def put_receipt(receipt: object) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key=RECEIPT, Body=json.dumps(receipt))


def get_receipt() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        boto3.client("s3").get_object(Bucket=BUCKET, Key=RECEIPT)["Body"].read()
    )
    return found


def accepted_by_snapshot(work: Job) -> bool:
    """Whether snapshot takes the packed files for verified; the volume in question does not exist."""
    with pytest.raises(PrepError) as caught:
        replace(work, volume="vol-0123456789abcdef0").snapshot()
    return "have not been verified" not in str(caught.value)


def test_what_was_verified_in_s3_is_verified(verified: Job) -> None:
    restore(verified, "packed")
    kept = receipts.read(verified.layout, "verify")
    assert kept is not None
    assert [*kept.outputs] == [str(verified.layout.manifest)]
    assert asdict(kept) | {"outputs": 0} == get_receipt() | {"outputs": 0}
    assert accepted_by_snapshot(verified)
    with verified.locked():
        assert verified.verify() == kept  # which would need the inventory


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"manifest": "0" * 64}},
        {"inputs": {}},
        {"stage": "pack"},
        {"outputs": []},
        {"unknown": 1},
    ],
)
def test_another_receipt_is_not_kept(
    verified: Job, change: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    put_receipt(get_receipt() | change)
    restore(verified, "packed")
    assert receipts.read(verified.layout, "verify") is None
    assert f"restore: s3://{BUCKET}/{RECEIPT} is not for this MANIFEST.json" in capfd.readouterr().err
    assert not accepted_by_snapshot(verified)


def test_another_manifest_is_not_verified(verified: Job) -> None:
    """As when somebody has packed again, and not verified since."""
    s3, place = boto3.client("s3"), {"Bucket": BUCKET, "Key": "tiny/packed/MANIFEST.json"}
    table = json.loads(s3.get_object(**place)["Body"].read())
    s3.put_object(**place, Body=json.dumps(table))
    restore(verified, "packed")
    assert not accepted_by_snapshot(verified)


def test_a_receipt_that_is_refused(
    verified: Job, aws: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The files are there all the same."""
    with S3Proxy(aws) as proxy:
        proxy.plan = lambda request: Fault.DENIED if request.key.endswith(RECEIPT) else None
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        assert restore(verified, "packed") == {"packed": 4}
    assert receipts.read(verified.layout, "verify") is None
    said = [line for line in capfd.readouterr().err.splitlines() if RECEIPT in line]
    assert len(said) == 1
    assert re.search(r"^restore: read s3://.*verify.json: .*GetObject; run verify before snapshot$", said[0])


def test_the_receipt_comes_after_the_files(verified: Job) -> None:
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="tiny/packed/train.rec")
    with pytest.raises(PrepError, match=r"train.rec"):
        restore(verified, "packed")
    assert receipts.read(verified.layout, "verify") is None


def test_a_backup_has_no_such_receipt(work: Job, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(work.layout.root)
    restore(work, "packed")
    assert receipts.read(work.layout, "verify") is None
    assert "verify" not in capfd.readouterr().err
