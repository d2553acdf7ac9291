"""Where a run's status is kept: a file beside its journals, and an object in the bucket of the backup."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from prep import contract
from prep.aws.errors import aws_errors
from prep.reporting.document import MOST_BYTES, Document, parse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Put = Callable[[bytes], None]
MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchBucket"}


def write_file(path: Path, data: bytes) -> None:
    """Replace the file. Nothing is flushed: a work volume has better things to do every few seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def read_file(path: Path) -> tuple[Document, float] | None:
    """The status in a file and its age in seconds, or None if there is none.

    Raises:
        IntegrityError: the file holds something else.
    """
    try:
        with path.open("rb") as file:
            data, written = file.read(MOST_BYTES), path.stat().st_mtime
    except FileNotFoundError:
        return None
    return parse(data, str(path)), max(0.0, datetime.now(UTC).timestamp() - written)


def put_into(client: "S3Client", bucket: str, dataset: str) -> Put:
    """What writes the status of a data set's run into the bucket."""
    key = contract.status_key(dataset)

    def put(data: bytes) -> None:
        with aws_errors(f"write s3://{bucket}/{key}"):
            client.put_object(Bucket=bucket, Key=key, Body=data, ContentType="application/json")

    return put


def fetch_from(client: "S3Client", bucket: str, dataset: str) -> tuple[Document, float] | None:
    """The status in the bucket and its age in seconds by S3's own clock; None if there is none.

    Raises:
        IntegrityError: the object is something else.
        AwsError: S3 refuses or fails.
    """
    key = contract.status_key(dataset)
    with aws_errors(f"read s3://{bucket}/{key}"):
        try:
            answer = client.get_object(Bucket=bucket, Key=key)
            with answer["Body"] as body:
                data = body.read(MOST_BYTES)
        except ClientError as error:
            if error.response["Error"]["Code"] not in MISSING:
                raise
            return None
    age = (time_of(answer) - answer["LastModified"]).total_seconds()
    return parse(data, f"s3://{bucket}/{key}"), max(0.0, age)


def time_of(answer: Any) -> datetime:
    """When AWS gave an answer, by its own clock: a laptop's may be wrong."""
    sent = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(sent).astimezone(UTC) if sent else datetime.now(UTC)
