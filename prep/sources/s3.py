"""A source in S3, such as an earlier backup: it saves downloading 150 GB from the site again."""

import threading
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from prep.aws.clients import silent
from prep.aws.errors import aws_errors
from prep.aws.objects import read_body, read_into
from prep.aws.retries import Note
from prep.errors import SourceError
from prep.sources.source import SourceChangedError, Version, Wanted

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

MISSING = {"404", "NoSuchKey", "NotFound"}


class S3Source:
    """Serves the objects `prefix` + file name of a bucket."""

    def __init__(self, client: "S3Client", bucket: str, prefix: str, note: Note = silent) -> None:
        self._client = client
        self._bucket = bucket
        self._note = note
        self._prefix = prefix if not prefix or prefix.endswith("/") else prefix + "/"

    def _url(self, wanted: Wanted) -> str:
        return f"s3://{self._bucket}/{self._prefix}{wanted.file}"

    def version(self, wanted: Wanted) -> Version:
        """Size and ETag of the object.

        Raises:
            SourceError: the object does not exist.
            AwsError: S3 refuses or fails.
        """
        with aws_errors(f"look at {self._url(wanted)}"):
            try:
                head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + wanted.file)
            except ClientError as error:
                if error.response["Error"]["Code"] not in MISSING:
                    raise
                raise SourceError(
                    f"{self._url(wanted)}: does not exist: check the bucket and the prefix"
                ) from error
        return Version(head["ContentLength"], head["ETag"])

    def fetch(self, wanted: Wanted, version: Version, start: int, end: int, _stop: threading.Event) -> bytes:
        """As `read`."""
        return self.read(wanted, version, start, end)

    def read(self, wanted: Wanted, version: Version, start: int, end: int) -> bytes:
        """The bytes [start, end) of that version of the object.

        Raises:
            SourceChangedError: the object has been replaced.
            AwsError: S3 refuses or fails.
        """
        operation = f"read {self._url(wanted)}"
        with aws_errors(operation):
            return read_body(lambda: self._get(wanted, version, start, end), operation, self._note)

    def read_into(self, wanted: Wanted, version: Version, start: int, target: memoryview) -> None:
        """Fill `target` with the bytes of that version of the object from `start` on.

        Raises:
            SourceChangedError: the object has been replaced.
            AwsError: S3 refuses or fails.
        """
        operation = f"read {self._url(wanted)}"
        end = start + len(target)
        with aws_errors(operation):
            filled = read_into(lambda: self._get(wanted, version, start, end), target, operation, self._note)
        if filled < len(target):
            raise SourceChangedError(f"{self._url(wanted)}: ends before byte {end}: run again")

    def _get(self, wanted: Wanted, version: Version, start: int, end: int) -> "GetObjectOutputTypeDef":
        try:
            return self._client.get_object(
                Bucket=self._bucket,
                Key=self._prefix + wanted.file,
                Range=f"bytes={start}-{end - 1}",
                IfMatch=version.etag,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"PreconditionFailed", "412"}:
                raise
            raise SourceChangedError(
                f"{self._url(wanted)}: was replaced during the download: run again"
            ) from error
