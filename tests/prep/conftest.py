"""What several modules of tests of prep begin with; a module with needs of its own overrides it."""

import shutil
from pathlib import Path

import boto3
import pytest

from prep.job import Job
from tests.prep.small_sets import BUCKET, job, pack


@pytest.fixture(autouse=True)
def _shipped_prices(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The prices that come with the package, also where `prep plan --refresh` has been used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """The sample, packed."""
    folder = tmp_path_factory.mktemp("packed")
    pack(sample, folder)
    return folder


@pytest.fixture
def work(aws: str, tmp_path: Path, packed: Path, sample: Path) -> Job:
    """The packed sample and a bucket."""
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    for name in ("root", "packed"):
        shutil.copytree(packed / name, tmp_path / name)
    return job(sample, tmp_path, bucket=BUCKET)
