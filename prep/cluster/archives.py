"""The archives of a job in S3: whether they are there, whether their digest is known, and the devkit."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from prep.aws.errors import aws_errors
from prep.aws.multipart import MISSING
from prep.cluster.place import Place, client
from prep.cluster.work import RemoteArchive
from prep.datasets.classes import Devkit, read_devkit
from prep.datasets.description import Archive, Description
from prep.errors import IntegrityError, SourceError


@dataclass(frozen=True)
class Found:
    """The archive of a split in S3. `checked` says whether its digest is known to be right."""

    archive: RemoteArchive
    checked: bool


def find_archives(source: Place, description: Description) -> dict[str, Found]:
    """The archive of each split, by the name of the split.

    Its digest is known if `backup` has put the object there, which notes the digest with it, or if its ETag
    is the digest, as that of an object that was sent in one piece without a key of KMS.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html

    Raises:
        SourceError: an archive is not there.
        IntegrityError: it has another size than the description says.
        AwsError: S3 refuses or fails.
    """
    return {split.name: _find(source, split.archive) for split in description.splits}


def _find(source: Place, archive: Archive) -> Found:
    url = source.url(archive.file)
    head: Mapping[str, Any]
    with aws_errors(f"look at {url}"):
        try:
            head = client().head_object(Bucket=source.bucket, Key=source.key(archive.file))
        except ClientError as error:
            if error.response["Error"]["Code"] not in MISSING:
                raise
            raise SourceError(f"{url}: does not exist: check --source") from error
    size, etag = head["ContentLength"], head["ETag"]
    if archive.bytes is not None and size != archive.bytes:
        raise IntegrityError(
            f"{url}: has {size} bytes, should have {archive.bytes}: put the right file there, or correct the "
            "description"
        )
    checked = archive.md5 in (head["Metadata"].get("md5"), etag.strip('"'))
    return Found(RemoteArchive(source, archive, size, etag), checked)


def read_devkit_of(source: Place, description: Description) -> Devkit | None:
    """The contents of the devkit, if the description has one.

    Raises:
        IntegrityError: it is not there, or not what the description says.
        AwsError: S3 refuses or fails.
    """
    if description.devkit is None:
        return None
    wanted = description.devkit
    data = source.find(wanted.file)
    if data is None:
        raise SourceError(f"{source.url(wanted.file)}: does not exist: check --source")
    return devkit_of(data, wanted, source.url(wanted.file))


def devkit_of(data: bytes, wanted: Archive, url: str) -> Devkit:
    """The contents of a devkit, of which these are the bytes.

    Raises:
        IntegrityError: it is not what the description says.
    """
    found = md5(data, usedforsecurity=False).hexdigest()
    if found != wanted.md5:
        raise IntegrityError(
            f"{url}: its MD5 is {found}, should be {wanted.md5}: put the right file there, or correct the "
            "description"
        )
    with tempfile.TemporaryDirectory(prefix="devkit-") as folder:
        path = Path(folder) / wanted.file
        path.write_bytes(data)
        return read_devkit(path)
