"""Archives from other places than the site: a folder, and one's own backup in S3."""

import hashlib
import os
from pathlib import Path
from threading import Event

import boto3
import pytest

from prep.aws import clients
from prep.datasets.description import Archive, Description
from prep.errors import DescriptionError, IntegrityError, PrepError, SourceError
from prep.progress import Progress
from prep.sources import arrival
from prep.sources.choose import choose_source
from prep.sources.folder import FolderSource
from prep.sources.s3 import S3Source
from prep.sources.source import Source, SourceChangedError
from prep.stages import download
from prep.state.layout import Layout

CONTENT = bytes(range(256)) * 50
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
ARCHIVE = Archive("a.tar", "https://example.invalid/a.tar", MD5, len(CONTENT))
BUCKET = "origin-bucket"


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, aws: str) -> "Place":
    """A place without the archive."""
    assert aws
    if request.param == "s3":
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        return Place(None, tmp_path)
    (tmp_path / "brought").mkdir()
    return Place(tmp_path / "brought", tmp_path)


class Place:
    """A folder, or else a bucket, that archives come from."""

    def __init__(self, folder: Path | None, work: Path) -> None:
        self.folder = folder
        self.layout = Layout(work / "root", work / "packed")
        self.origin: Source = (
            FolderSource(folder) if folder else S3Source(clients.s3(), BUCKET, "set/archives")
        )

    def put(self, content: bytes) -> None:
        if self.folder:
            (self.folder / "a.tar").write_bytes(content)
        else:
            boto3.client("s3").put_object(Bucket=BUCKET, Key="set/archives/a.tar", Body=content)

    def fetch(self) -> None:
        description = Description("set", "Set", (ARCHIVE,), 1, None, (), (), "0" * 64)
        download.download(description, self.layout, self.origin, Progress(shown=False))


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "RANGE_BYTES", 1000)


def test_whole(place: Place) -> None:
    place.put(CONTENT)
    place.fetch()
    assert (place.layout.archives / "a.tar").read_bytes() == CONTENT


def test_ranges(place: Place) -> None:
    place.put(CONTENT)
    version = place.origin.version(ARCHIVE)
    assert version.size == len(CONTENT)
    for start, end in ((0, 1), (0, len(CONTENT)), (300, 999), (len(CONTENT) - 1, len(CONTENT))):
        assert place.origin.fetch(ARCHIVE, version, start, end, Event()) == CONTENT[start:end]


def test_not_there(place: Place) -> None:
    with pytest.raises(SourceError, match=r"a.tar: .*: check"):
        place.fetch()


def test_another_one(place: Place) -> None:
    place.put(bytes(reversed(CONTENT)))
    with pytest.raises(IntegrityError, match=r"a.tar: its MD5 is"):
        place.fetch()
    place.put(CONTENT)
    place.fetch()
    assert (place.layout.archives / "a.tar").read_bytes() == CONTENT


def test_replaced_while_it_is_read(place: Place) -> None:
    place.put(CONTENT)
    version = place.origin.version(ARCHIVE)
    place.put(CONTENT[:-1] + b"x")
    if place.folder:
        os.utime(place.folder / "a.tar", ns=(1, 1))
    with pytest.raises(SourceChangedError, match=r"a.tar: "):
        place.origin.fetch(ARCHIVE, version, 0, 10, Event())


def test_original_is_left_alone(place: Place) -> None:
    """Even where it is the last copy: it is read, never moved."""
    place.put(CONTENT)
    place.fetch()
    assert place.origin.version(ARCHIVE).size == len(CONTENT)


def test_no_such_bucket(aws: str) -> None:
    assert aws
    origin = S3Source(clients.s3(), "no-such-bucket", "")
    with pytest.raises(PrepError, match=r"s3://no-such-bucket/a.tar"):
        origin.version(ARCHIVE)


@pytest.mark.parametrize(
    "address",
    [
        "https://anna:hunter2@example.org/archives",
        "https://anna:hunt/hunter2@example.org/archives",
        "ftp://anna:hunter2@example.org/",
        "s3://anna:hunter2@bucket/prefix",
    ],
)
def test_password_in_an_address(address: str) -> None:
    """It is refused before anything could show it, and is not shown by the refusal."""
    with pytest.raises(DescriptionError, match="source: must hold no @") as caught:
        choose_source(address, None, Progress(shown=False))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["ftp://example.org/", "s3://", "s3:///prefix", "https://", "https://[x/", "https://a/?sig=1"]
)
def test_no_address(address: str) -> None:
    with pytest.raises(DescriptionError, match=r"must be https://…, s3://bucket/prefix or a folder"):
        choose_source(address, None, Progress(shown=False))
