"""The multipart upload of each `.rec` file, whose parts the merge tasks send."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from prep.aws.errors import aws_errors, ignored
from prep.aws.multipart import GONE, composite, same_object, stored_checksum
from prep.cluster.place import Place, client
from prep.cluster.work import upload_name
from prep.errors import AwsError

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PartFacts = Mapping[str, Any]
"""What `merge` has noted of a part: etag, checksum and bytes."""


def find_upload(doing: Place, part: str) -> str | None:
    """The upload of a file that an earlier driver of the job has begun, or None."""
    noted = doing.find_json(upload_name(part))
    return noted["upload"] if noted else None


def begin_upload(packed: Place, doing: Place, part: str) -> str:
    """Begin the upload of a file, and note it.

    Raises:
        AwsError: S3 refuses or fails.
    """
    with aws_errors(f"begin the upload of {packed.url(f'{part}.rec')}"):
        upload = client().create_multipart_upload(
            Bucket=packed.bucket, Key=packed.key(f"{part}.rec"), ChecksumAlgorithm="SHA256"
        )["UploadId"]
    doing.put_json(upload_name(part), {"upload": upload})
    return upload


def is_known(packed: Place, part: str, upload: str) -> bool:
    """Whether S3 still has the upload: it may have been completed, or aborted after some days."""
    with aws_errors(f"list the parts of {packed.url(f'{part}.rec')}"):
        try:
            client().list_parts(
                Bucket=packed.bucket, Key=packed.key(f"{part}.rec"), UploadId=upload, MaxParts=1
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            return False
    return True


def abort_upload(packed: Place, part: str, upload: str) -> None:
    """Abort an upload: S3 charges for its parts until then.

    Raises:
        AwsError: S3 refuses or fails.
    """
    with aws_errors(f"end the upload of {packed.url(f'{part}.rec')}"), ignored(GONE):
        client().abort_multipart_upload(Bucket=packed.bucket, Key=packed.key(f"{part}.rec"), UploadId=upload)


def is_object(packed: Place, part: str, parts: Sequence[PartFacts]) -> bool:
    """Whether the object exists that consists of these parts."""
    facts = {
        "bytes": sum(each["bytes"] for each in parts),
        "checksum": composite([each["checksum"] for each in parts]),
    }
    with aws_errors(f"look at {packed.url(f'{part}.rec')}"):
        stored = stored_checksum(client(), packed.bucket, packed.key(f"{part}.rec"))
    return stored is not None and same_object(stored, facts)


def complete_upload(packed: Place, doing: Place, part: str, upload: str, parts: Sequence[PartFacts]) -> None:
    """Have S3 put the parts together. It does no harm if that was done before.

    Raises:
        AwsError: S3 has lost the upload, or refuses or fails.
    """
    listed: list[CompletedPartTypeDef] = [
        {"PartNumber": number, "ETag": each["etag"], "ChecksumSHA256": each["checksum"]}
        for number, each in enumerate(parts, 1)
    ]
    name = f"{part}.rec"
    with aws_errors(f"complete the upload of {packed.url(name)}"):
        try:
            client().complete_multipart_upload(
                Bucket=packed.bucket,
                Key=packed.key(name),
                UploadId=upload,
                MultipartUpload={"Parts": listed},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            if not is_object(packed, part, parts):
                abort_upload(packed, part, upload)
                doing.remove([upload_name(part)])
                raise AwsError(
                    f"complete the upload of {packed.url(name)}: S3 has lost it: run again; it is merged "
                    "again"
                ) from error
