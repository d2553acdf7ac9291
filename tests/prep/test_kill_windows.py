"""A kill between two steps that belong together: the next run does the second of them.

The moments are too short to be hit at random, so what a kill there leaves is made by hand.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest

from prep.aws import clients
from prep.job import Job
from prep.progress import Progress
from prep.run import run
from prep.sources.folder import FolderSource
from prep.stages import download
from tests.prep.commands import LONGEST, journal_lines
from tests.prep.small_sets import BUCKET, TINY, job, write_folders

pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")


def back_up(work: Job) -> None:
    with work.locked():
        work.backup()


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what is asked of S3 from now on."""
    counts, original = Counter[str](), clients.s3

    def note(model: Any, **_: Any) -> None:
        counts[model.name] += 1

    def watched(*arguments: Any) -> Any:
        client = original(*arguments)
        client.meta.events.register("before-call.s3", note)
        return client

    monkeypatch.setattr(clients, "s3", watched)
    return counts


def test_after_an_object_was_made_and_before_that_was_noted(
    work: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(work)
    journal = work.layout.journals / "backup.jsonl"
    lines = journal_lines(journal)
    whole = [line for line in lines if "complete" in json.loads(line)]
    assert whole
    journal.write_text("".join(line for line in lines if line not in whole))
    (work.layout.receipts / "backup.json").unlink()
    counts = counted(monkeypatch)
    back_up(work)
    assert counts["UploadPart"] == counts["CreateMultipartUpload"] == 0
    assert "forgotten" not in journal.read_text()
    work.check_backup()


def test_another_object_in_its_place_is_not_taken_for_it(work: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    back_up(work)
    journal = work.layout.journals / "backup.jsonl"
    lines = journal_lines(journal)
    journal.write_text("".join(line for line in lines if "complete" not in json.loads(line)))
    (work.layout.receipts / "backup.json").unlink()
    name = next(json.loads(line)["of"] for line in lines if "upload" in json.loads(line))
    client = boto3.client("s3")
    listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    key = next(entry["Key"] for entry in listed if entry["Key"].endswith(f"/{name}"))
    client.put_object(Bucket=BUCKET, Key=key, Body=b"somebody else's", ChecksumAlgorithm="SHA256")
    counts = counted(monkeypatch)
    back_up(work)
    assert counts["UploadPart"] > 0
    work.check_backup()


def test_after_the_receipt_of_the_backup_and_before_it_was_sent(work: Job) -> None:
    back_up(work)
    client = boto3.client("s3")
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    receipts = {key for key in keys if "/receipts/" in key}
    assert any(key.endswith("backup.json") for key in receipts)
    for key in receipts:
        client.delete_object(Bucket=BUCKET, Key=key)
    back_up(work)
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert receipts <= set(keys)


class Killed(BaseException):
    """Stands for the end of the process."""


def test_after_an_archive_got_its_name_and_before_what_follows(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made of it while it arrived is kept, and nothing else is left beside it."""
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    toml = write_folders(tmp_path / "set", TINY)
    (tmp_path / "root" / "archives").mkdir(parents=True)  # empty
    work = job(toml, tmp_path, source=str(toml.parent / "archives"), bucket=BUCKET)
    journal = work.layout.journals / "backup.jsonl"
    rename = Path.rename

    def renamed(path: Path, target: Path) -> Path:
        deadline = time.monotonic() + LONGEST
        while not (journal.exists() and '"unit"' in journal.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        rename(path, target)
        raise Killed

    monkeypatch.setattr(Path, "rename", renamed)
    with work.locked(), pytest.raises(Killed):
        run(work)
    monkeypatch.setattr(Path, "rename", rename)
    with work.locked():
        run(work)
    assert "forgotten" not in journal.read_text()
    assert [path.name for path in work.layout.archives.iterdir()] == ["train.tar"]


def test_after_the_receipt_of_the_run_and_before_its_end(work: Job) -> None:
    back_up(work)
    client = boto3.client("s3")
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    for stage in ("run", "snapshot"):
        (work.layout.receipts / f"{stage}.json").write_text("{}\n")
    back_up(work)
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]] == keys


def test_after_the_receipt_of_pack_and_before_its_buckets_were_removed(work: Job) -> None:
    work.layout.packing.mkdir()
    (work.layout.packing / "journal.jsonl").write_text("{}\n")
    with work.locked():
        work.pack()
    assert not work.layout.packing.exists()


def test_after_an_archive_got_its_name_and_before_its_journal_was_removed(
    sample: Path, tmp_path: Path
) -> None:
    work = job(sample, tmp_path)
    origin = FolderSource(sample.parent / "archives")
    download.download(work.description, work.layout, origin, Progress(shown=False))
    names = {path.name for path in work.layout.archives.iterdir()}
    archive = work.description.archives[-1].file
    (work.layout.archives / f"{archive}.journal").write_text("{}\n")
    work.layout.checked.unlink()
    download.download(work.description, work.layout, origin, Progress(shown=False))
    assert {path.name for path in work.layout.archives.iterdir()} == names
