"""The backup against an embedded S3: equal bytes, nothing sent twice, and never half an object."""

import hashlib
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest

from prep.aws import clients
from prep.errors import AwsError, IntegrityError
from prep.job import Job
from prep.run import run
from tests.prep.small_sets import BUCKET, job

pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")


class Interrupted(Exception):  # noqa: N818 - not an error of the code under test
    """Stands for a kill in the middle of a call."""


class Calls:
    """Counts S3 calls of all clients made from now on; can end one of them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.sent = 0
        self.stop_at: tuple[str, int] | None = None

    def note(self, model: Any, **_: Any) -> None:
        self.counts[model.name] += 1
        if (model.name, self.counts[model.name]) == self.stop_at:
            raise Interrupted
        self.sent += model.name in ("UploadPart", "PutObject")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What is asked of S3."""
    calls, original = Calls(), clients.s3

    def watched(*arguments: Any) -> Any:
        client = original(*arguments)
        client.meta.events.register("before-call.s3", calls.note)
        return client

    monkeypatch.setattr(clients, "s3", watched)
    return calls


def back_up(work: Job) -> None:
    with work.locked():
        work.backup()


def stored() -> dict[str, str]:
    """SHA-256 of every object in the bucket."""
    s3 = boto3.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {
        key: hashlib.sha256(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()).hexdigest() for key in keys
    }


def expected(work: Job, receipts: set[str]) -> dict[str, str]:
    files = {f"sample/archives/{path.name}": path for path in work.layout.archives.iterdir()}
    files |= {f"sample/packed/{path.name}": path for path in work.layout.packed.iterdir() if path.is_file()}
    files |= {f"sample/receipts/{name}.json": work.layout.receipts / f"{name}.json" for name in receipts}
    return {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in files.items()}


def uploads() -> list[Any]:
    """Uploads that are begun and not ended: S3 asks money for them."""
    return list(boto3.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


def test_every_byte(work: Job) -> None:
    back_up(work)
    assert stored() == expected(work, {"pack", "backup"})
    assert uploads() == []
    with work.locked():
        assert work.check_backup().counts["objects"] == len(stored()) - 2


def test_second_run_sends_nothing(work: Job, calls: Calls) -> None:
    back_up(work)
    calls.counts.clear()
    back_up(work)
    assert not calls.counts & Counter(UploadPart=1, PutObject=1, CreateMultipartUpload=1)


def test_lost_receipt_sends_no_archive_again(work: Job, calls: Calls) -> None:
    back_up(work)
    (work.layout.receipts / "backup.json").unlink()
    calls.counts.clear()
    back_up(work)
    assert calls.counts["UploadPart"] == calls.counts["CreateMultipartUpload"] == 0
    assert calls.counts["PutObject"] == 1  # the new receipt
    assert stored() == expected(work, {"pack", "backup"})


@pytest.mark.parametrize(
    "stop_at",
    [("UploadPart", 4), ("CompleteMultipartUpload", 1), ("PutObject", 2), ("CreateMultipartUpload", 2)],
)
def test_interrupted_and_gone_on(work: Job, calls: Calls, stop_at: tuple[str, int]) -> None:
    calls.stop_at = stop_at
    with pytest.raises(Interrupted):
        back_up(work)
    assert not (work.layout.receipts / "backup.json").exists()
    begun = calls.counts["UploadPart"]
    calls.stop_at = None
    back_up(work)
    assert stored() == expected(work, {"pack", "backup"})
    assert uploads() == []
    journal = (work.layout.receipts / "journals" / "backup.jsonl").read_text()
    # No more than the parts of the unit under way, four at most, were sent twice.
    assert begun <= calls.counts["UploadPart"] <= journal.count('"PartNumber"') + 4


def test_upload_ended_on_the_server(work: Job, calls: Calls) -> None:
    """By a lifecycle rule, say: it begins anew, and the object is whole."""
    calls.stop_at = ("UploadPart", 4)
    with pytest.raises(Interrupted):
        back_up(work)
    calls.stop_at = None
    for upload in uploads():
        boto3.client("s3").abort_multipart_upload(
            Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
        )
    back_up(work)
    assert stored() == expected(work, {"pack", "backup"})
    assert uploads() == []


def test_in_one_pass_with_the_others(aws: str, tmp_path: Path, sample: Path) -> None:
    """`run`: archives are sent while they are read, packed files while they are verified."""
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    work = job(sample, tmp_path, bucket=BUCKET)
    with work.locked():
        run(work)
    assert stored() == expected(work, {"download", "organize", "pack", "verify", "preview", "backup"})


def test_a_preview_that_is_made_later_is_sent_alone(work: Job, calls: Calls) -> None:
    back_up(work)
    calls.counts.clear()
    with work.locked():
        work.preview()
    back_up(work)
    assert not calls.counts & Counter(UploadPart=1, CreateMultipartUpload=1)
    assert calls.counts["PutObject"] == 4  # the two files and the receipts of both stages
    assert stored() == expected(work, {"pack", "preview", "backup"})
    page = boto3.client("s3").head_object(Bucket=BUCKET, Key="sample/packed/preview.html")
    assert page["ContentType"] == "text/html; charset=utf-8"  # a browser shows it
    with work.locked():
        assert work.check_backup().counts["objects"] == len(stored()) - 3


def test_check_finds_a_changed_or_lost_object(work: Job) -> None:
    back_up(work)
    s3 = boto3.client("s3")
    key = "sample/packed/train.lst"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"other", ChecksumAlgorithm="SHA256")
    with work.locked(), pytest.raises(IntegrityError, match=f"backup s3://{BUCKET}/{key}: 5 bytes"):
        work.check_backup()
    s3.delete_object(Bucket=BUCKET, Key=key)
    with work.locked(), pytest.raises(IntegrityError, match=f"{key}: does not exist: run backup again"):
        work.check_backup()


def test_lost_object_is_sent_again_when_asked_anew(work: Job) -> None:
    back_up(work)
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="sample/packed/train.lst")
    (work.layout.receipts / "backup.json").unlink()
    back_up(work)
    assert stored() == expected(work, {"pack", "backup"})


def test_other_bucket_is_another_backup(work: Job, tmp_path: Path, sample: Path) -> None:
    back_up(work)
    boto3.client("s3").create_bucket(Bucket="second-bucket")
    back_up(job(sample, tmp_path, bucket="second-bucket"))
    listed = boto3.client("s3").list_objects_v2(Bucket="second-bucket")["Contents"]
    assert {item["Key"] for item in listed} == set(expected(work, {"pack", "backup"}))


def test_no_such_bucket(aws: str, tmp_path: Path, packed: Path, sample: Path) -> None:
    assert aws
    for name in ("root", "packed"):
        shutil.copytree(packed / name, tmp_path / name)
    with pytest.raises(
        AwsError, match=r"s3://backup-bucket/sample/archives/sample_img_val.tar: .*NoSuchBucket"
    ):
        back_up(job(sample, tmp_path, bucket=BUCKET))


def test_not_packed_yet(aws: str, tmp_path: Path, sample: Path) -> None:
    assert aws
    with pytest.raises(IntegrityError, match=r"MANIFEST.json: No such file.*: run pack"):
        back_up(job(sample, tmp_path, bucket=BUCKET))
