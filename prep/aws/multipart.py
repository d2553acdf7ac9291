"""Multipart uploads to S3 that continue where they stopped.

A unit of a file is sent as one part or, if it is large, as several parts at the same time, each on its own
connection. The journal holds every unit that S3 has, with the ETag and the SHA-256 of each part. S3 compares
the SHA-256 of every part with the bytes that it receives, and keeps a checksum of all parts with the object.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from prep.archives.journal import UnitJournal
from prep.archives.units import Unit
from prep.aws.errors import aws_errors
from prep.errors import AwsError
from prep.state.memory_file import MemoryFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

# On 2 vCPUs, more than four connections slow each other down.
CONNECTIONS = 4
PART_BYTES = 8 << 20  # smallest part into which a unit is cut; S3 requires at least 5 MiB
MISSING = {"404", "NoSuchKey", "NotFound"}
GONE = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder"}


@dataclass(frozen=True)
class Target:
    """Where a file goes: its key, and the digests that are kept with it as metadata."""

    key: str
    digests: Mapping[str, str]


class Uploads:
    """The uploads of one backup. The journal identifies files by their names."""

    def __init__(self, client: "S3Client", bucket: str, journal: UnitJournal) -> None:
        self._client = client
        self._bucket = bucket
        self.journal = journal
        self._ids = {entry["of"]: entry["upload"] for entry in journal.entries if "upload" in entry}
        self._digests = {entry["of"]: entry["digests"] for entry in journal.entries if "upload" in entry}
        self._complete = {
            entry["complete"]: entry["facts"] for entry in journal.entries if "complete" in entry
        }
        self._following: dict[str, int] = {}  # the number of the next part
        self._pool = ThreadPoolExecutor(CONNECTIONS, "upload")

    def resume(self, name: str, target: Target) -> None:
        """Discard what was sent of a file if the file has changed since, or if S3 has aborted its upload.

        If the object exists already, an earlier run has completed the upload, but was killed before it noted
        this in the journal.
        """
        if name not in self._ids or (name in self._complete and self._digests[name] == target.digests):
            return
        if self._digests[name] == target.digests and (
            self._is_known(name, target.key) or self._is_object(name, target.key)
        ):
            return
        self.forget(name, target.key)

    def _is_known(self, name: str, key: str) -> bool:
        with aws_errors(f"list the parts of s3://{self._bucket}/{key}"):
            try:
                self._client.list_parts(Bucket=self._bucket, Key=key, UploadId=self._ids[name], MaxParts=1)
            except ClientError as error:
                if error.response["Error"]["Code"] not in GONE:
                    raise
                return False
        return True

    def _is_object(self, name: str, key: str) -> bool:
        """Whether the object exists already, with the checksum of the upload. If so, this is noted."""
        facts = self._facts(name)
        with aws_errors(f"look at s3://{self._bucket}/{key}"):
            stored = stored_checksum(self._client, self._bucket, key)
        if stored is None or not same_object(stored, facts):
            return False
        self._note_complete(name, facts)
        return True

    def forget(self, name: str, key: str) -> None:
        """Discard what was sent of a file, and abort its upload: S3 charges for stored parts until then."""
        if name in self._ids and name not in self._complete:
            with aws_errors(f"end the upload of s3://{self._bucket}/{key}"):
                try:
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=key, UploadId=self._ids[name]
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] not in GONE:
                        raise
        for known in (self._ids, self._digests, self._complete, self._following):
            known.pop(name, None)
        self.journal.forget(name)

    def send(self, unit: Unit, data: memoryview, target: Target) -> "list[CompletedPartTypeDef]":
        """Send a unit, and return its parts, which the caller must commit to the journal with the unit.

        The units of a file must come in order.
        """
        with aws_errors(f"upload bytes {unit.offset} to {unit.end} of s3://{self._bucket}/{target.key}"):
            if unit.archive not in self._ids:
                self._begin(unit.archive, target)
            first = self._following.get(unit.archive) or self._first_number(unit.archive)
            pieces = _pieces(data)
            numbers = range(first, first + len(pieces))
            self._following[unit.archive] = first + len(pieces)
            keys = [target.key] * len(pieces)
            return list(self._pool.map(self._send, [unit.archive] * len(pieces), keys, numbers, pieces))

    def _first_number(self, name: str) -> int:
        """The number of the first part that is not in the journal."""
        return 1 + max((part["PartNumber"] for part in self._parts(name)), default=0)

    def _begin(self, name: str, target: Target) -> None:
        upload = self._client.create_multipart_upload(
            Bucket=self._bucket, Key=target.key, Metadata=dict(target.digests), ChecksumAlgorithm="SHA256"
        )["UploadId"]
        self._ids[name] = upload
        self._digests[name] = dict(target.digests)
        self.journal.append({"upload": upload, "of": name, "digests": dict(target.digests)})

    def _send(self, name: str, key: str, number: int, piece: memoryview) -> "CompletedPartTypeDef":
        part = self._client.upload_part(
            Bucket=self._bucket,
            Key=key,
            UploadId=self._ids[name],
            PartNumber=number,
            Body=cast(IO[bytes], MemoryFile(piece)),
            ChecksumAlgorithm="SHA256",
        )
        return {"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}

    def _parts(self, name: str) -> "list[CompletedPartTypeDef]":
        return [part for entry in self.journal.units() if entry["unit"] == name for part in entry["parts"]]

    def complete(self, name: str, target: Target) -> dict[str, Any]:
        """Complete an upload, which makes the object; returns its size in bytes and its checksum in S3.

        Raises:
            AwsError: S3 has lost parts or the whole upload; the next run sends the file again.
        """
        if name not in self._complete:
            parts = sorted(self._parts(name), key=lambda part: part["PartNumber"])
            with aws_errors(f"complete the upload of s3://{self._bucket}/{target.key}"):
                try:
                    self._client.complete_multipart_upload(
                        Bucket=self._bucket,
                        Key=target.key,
                        UploadId=self._ids[name],
                        MultipartUpload={"Parts": parts},
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] not in GONE:
                        raise
                    # If the call was repeated because the first reply was lost, the object exists.
                    if not self._is_object(name, target.key):
                        self.forget(name, target.key)
                        raise AwsError(
                            f"complete the upload of s3://{self._bucket}/{target.key}: S3 has lost parts of "
                            "it: run again; it is sent again"
                        ) from error
            if name not in self._complete:
                self._note_complete(name, self._facts(name))
        return dict(self._complete[name])

    def _facts(self, name: str) -> dict[str, Any]:
        """Size in bytes and checksum of the object that consists of the parts in the journal."""
        size = sum(entry["size"] for entry in self.journal.units() if entry["unit"] == name)
        parts = sorted(self._parts(name), key=lambda part: part["PartNumber"])
        return {"bytes": size, "checksum": composite([part["ChecksumSHA256"] for part in parts])}

    def _note_complete(self, name: str, facts: dict[str, Any]) -> None:
        self.journal.append({"complete": name, "of": name, "facts": facts})
        self._complete[name] = facts


def stored_checksum(client: "S3Client", bucket: str, key: str) -> tuple[int, str] | None:
    """Size in bytes and SHA-256 checksum of an object, as S3 keeps them, or None if it does not exist."""
    try:
        head = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return None
        raise
    return head["ContentLength"], head.get("ChecksumSHA256", "")


def same_object(stored: tuple[int, str], facts: Mapping[str, Any]) -> bool:
    """Whether the size and the checksum that S3 keeps are those in `facts`."""
    # Some servers leave out the number of parts after the checksum.
    checksums = {checksum.partition("-")[0] for checksum in (stored[1], facts["checksum"])}
    return stored[0] == facts["bytes"] and len(checksums) == 1


def composite(parts: Sequence[str]) -> str:
    """S3's checksum of an object, from the SHA-256 of its parts (base64).

    It is the SHA-256 of the concatenated SHA-256 of all parts, and their number. See
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html.
    """
    digest = hashlib.sha256(b"".join(base64.b64decode(part) for part in parts)).digest()
    return f"{base64.b64encode(digest).decode()}-{len(parts)}"


def _pieces(data: memoryview) -> list[memoryview]:
    """The bytes of a unit, cut into at most one part for each connection."""
    count = max(1, min(CONNECTIONS, len(data) // PART_BYTES))
    size = -(-len(data) // count)
    return [data[start : start + size] for start in range(0, len(data), size)]
