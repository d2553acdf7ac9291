"""Loose images: every organized image is an object, and none is sent twice."""

from pathlib import Path

import boto3
import pytest

from prep.errors import IntegrityError
from prep.job import Job
from tests.prep.small_sets import TINY, job, write_folders

pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
BUCKET = "loose-bucket"


@pytest.fixture
def work(aws: str, tmp_path: Path) -> Job:
    """A small data set, not yet organized."""
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    return job(write_folders(tmp_path / "set", TINY), tmp_path, bucket=BUCKET)


def test_an_object_an_image(work: Job) -> None:
    with work.locked():
        work.organize()
        assert work.backup_images().counts == {"images": 6}
    s3 = boto3.client("s3")
    found = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    name = work.description.name
    expected = {f"{name}/images/train/{wnid}/{number}.jpg" for wnid in "ab" for number in range(3)}
    assert {item["Key"] for item in found} == expected
    body = s3.get_object(Bucket=BUCKET, Key=f"{name}/images/train/b/2.jpg")["Body"].read()
    assert body == TINY["train"]["b"]["2.jpg"]


def test_a_class_that_is_there_is_not_sent_again(work: Job) -> None:
    with work.locked():
        work.organize()
        work.backup_images()
        (work.layout.receipts / "loose.json").unlink()
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=f"{work.description.name}/images/train/a/0.jpg")
        assert work.backup_images().counts == {"images": 6}
    assert boto3.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 5


def test_not_before_organize(work: Job) -> None:
    with work.locked(), pytest.raises(IntegrityError, match="run organize first"):
        work.backup_images()


@pytest.mark.parametrize(
    "name", ["train/a/x\n.jpg", "train/a/\x1b[2J.jpg", "train/c\td/x.jpg", "train/a/\udcff.jpg"]
)
def test_names_that_are_no_keys(work: Job, name: str) -> None:
    """Of files that somebody put there."""
    path = work.layout.root / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    with work.locked(), pytest.raises(IntegrityError, match="don't trust it") as caught:
        work.backup_images()
    assert "\n" not in str(caught.value)
    assert boto3.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
