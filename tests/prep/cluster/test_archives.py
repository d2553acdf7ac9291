"""Archives and devkit in S3: there or not, of the right size, with a digest that is known or not."""

import hashlib
from pathlib import Path

import pytest

from prep.cluster import place
from prep.cluster.archives import find_archives, read_devkit_of
from prep.cluster.place import Place
from prep.datasets import description
from prep.datasets.description import Description
from prep.errors import AwsError, IntegrityError, SourceError
from tests.prep.s3_proxy import Fault, S3Proxy


@pytest.fixture
def source(a_place: Place, sample: Path) -> Place:
    """The archives of the sample, each sent in one piece."""
    for path in (sample.parent / "archives").iterdir():
        a_place.put(path.name, path.read_bytes())
    return a_place


@pytest.fixture(scope="module")
def described(sample: Path) -> Description:
    return description.load(str(sample))


def send_in_parts(source: Place, name: str, metadata: dict[str, str]) -> None:
    """Write an object anew, in two parts, so that its ETag is no digest."""
    data, key = source.get(name), source.key(name)
    upload = place.client().create_multipart_upload(Bucket=source.bucket, Key=key, Metadata=metadata)
    parts = []
    for number, piece in enumerate((data[: 5 << 20], data[5 << 20 :]), 1):
        part = place.client().upload_part(
            Bucket=source.bucket, Key=key, UploadId=upload["UploadId"], PartNumber=number, Body=piece
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    place.client().complete_multipart_upload(
        Bucket=source.bucket, Key=key, UploadId=upload["UploadId"], MultipartUpload={"Parts": parts}
    )


def test_the_etag_of_one_piece_is_the_digest(source: Place, described: Description) -> None:
    found = find_archives(source, described)
    assert set(found) == {"train", "validation"}
    for split in described.splits:
        each = found[split.name]
        assert each.checked
        assert (each.archive.size, each.archive.archive) == (split.archive.bytes, split.archive)
        assert each.archive.url == source.url(split.archive.file)


def test_what_backup_notes_is_the_digest(source: Place, described: Description) -> None:
    train = described.splits[0].archive
    send_in_parts(source, train.file, {"md5": train.md5})
    found = find_archives(source, described)
    assert found["train"].checked
    assert train.md5 not in found["train"].archive.etag


@pytest.mark.parametrize("metadata", [{}, {"md5": "0" * 32}, {"sha256": "0" * 64}])
def test_other_objects_must_be_read(source: Place, described: Description, metadata: dict[str, str]) -> None:
    send_in_parts(source, described.splits[0].archive.file, metadata)
    found = find_archives(source, described)
    assert not found["train"].checked
    assert found["validation"].checked


def test_a_digest_that_is_another_must_be_read(source: Place, described: Description) -> None:
    """Its size is right: it may be the description that is wrong, or the object."""
    name = described.splits[1].archive.file
    data = bytearray(source.get(name))
    data[-1] ^= 1
    source.put(name, bytes(data))
    assert not find_archives(source, described)["validation"].checked


def test_another_size(source: Place, described: Description) -> None:
    train = described.splits[0].archive
    source.put(train.file, b"short")
    with pytest.raises(IntegrityError, match=f"{train.file}: has 5 bytes, should have {train.bytes}: put "):
        find_archives(source, described)


def test_a_missing_archive(source: Place, described: Description) -> None:
    name = described.splits[1].archive.file
    source.remove([name])
    with pytest.raises(SourceError, match=f"{source.url(name)}: does not exist: check --source"):
        find_archives(source, described)


def test_a_refusal_is_no_missing_archive(source: Place, proxy: S3Proxy, described: Description) -> None:
    proxy.plan = lambda _: Fault.DENIED
    with pytest.raises(AwsError, match=r"look at s3://.*: allow this role to call HeadObject"):
        find_archives(source, described)
    with pytest.raises(AwsError, match=r"read s3://.*: allow this role to call GetObject"):
        read_devkit_of(source, described)


def test_an_archive_is_read_in_one_version(source: Place, described: Description) -> None:
    archive = find_archives(source, described)["train"].archive
    data = source.get(archive.archive.file)
    assert archive.read(1000, 3000) == data[1000:3000]
    source.put(archive.archive.file, bytes(len(data)))
    with pytest.raises(SourceError, match="was replaced"):
        archive.read(1000, 3000)


def test_devkit(source: Place, described: Description, folders_sample: Path) -> None:
    found = read_devkit_of(source, described)
    assert found is not None
    assert (len(found.words), len(found.ground_truth)) == (6, 24)
    assert read_devkit_of(source, description.load(str(folders_sample))) is None


def test_a_devkit_of_another_digest(source: Place, described: Description) -> None:
    assert described.devkit is not None
    name = described.devkit.file
    source.put(name, b"other")
    other = hashlib.md5(b"other", usedforsecurity=False).hexdigest()
    with pytest.raises(IntegrityError, match=f"its MD5 is {other}, should be {described.devkit.md5}: put "):
        read_devkit_of(source, described)
    source.remove([name])
    with pytest.raises(SourceError, match=f"{source.url(name)}: does not exist: check --source"):
        read_devkit_of(source, described)
