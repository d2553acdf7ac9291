"""Backup: archives, packed files and receipts to S3.

The consumer sends each unit of an archive as one part of a multipart upload, from memory. The journal knows
which parts S3 has, so an upload goes on where it stopped. Small archives, packed files and receipts are sent
whole, and not again if S3 has them already.
"""

import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from prep import contract, manifest
from prep.aws import aws_errors
from prep.description import Archive, Description
from prep.files import MemoryFile
from prep.layout import Layout
from prep.passes import UnitJournal
from prep.progress import Progress
from prep.receipts import Receipt
from prep.units import LoadedUnit

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

# On 2 vCPUs more than four connections slow each other down; parts of 64 MiB reach 600 GiB in 10,000.
TRANSFER = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=64 << 20, max_concurrency=4)


class Backup:
    """The consumer that uploads the archives of the splits, a part a unit; `finish` sends all else."""

    stage = "backup"

    def __init__(
        self,
        client: "S3Client",
        bucket: str,
        description: Description,
        layout: Layout,
        inputs: dict[str, Any],
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._description = description
        self._layout = layout
        self._begun = time.monotonic()
        self.journal = UnitJournal(layout.journals / "backup.jsonl", inputs | {"bucket": bucket})
        self._complete = {entry["complete"] for entry in self.journal.entries if "complete" in entry}
        self._uploads = {entry["of"]: entry["upload"] for entry in self.journal.entries if "upload" in entry}
        for archive in set(self._uploads) - self._complete:
            if not self._is_known(archive):
                del self._uploads[archive]
                self.journal.forget(archive)

    def _is_known(self, archive: str) -> bool:
        """Whether S3 still has the upload: a lifecycle rule may have ended it."""
        with aws_errors(f"list the parts of {self._url(archive)}"):
            try:
                self._client.list_parts(
                    Bucket=self._bucket, Key=self._key(archive), UploadId=self._uploads[archive], MaxParts=1
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchUpload":
                    raise
                return False
        return True

    def _key(self, archive: str) -> str:
        return contract.archives_prefix(self._description.name) + archive

    def _url(self, archive: str) -> str:
        return f"s3://{self._bucket}/{self._key(archive)}"

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit there if S3 has it as a part."""
        return self.journal.size_at(source, offset)

    def consume(self, loaded: LoadedUnit) -> None:
        """Send a unit as a part; S3 compares the checksum that is computed on the bytes in memory."""
        unit = loaded.unit
        with aws_errors(f"upload part {unit.index + 1} of {self._url(unit.archive)}"):
            if unit.archive not in self._uploads:
                self._begin(loaded.split.archive)
            part = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key(unit.archive),
                UploadId=self._uploads[unit.archive],
                PartNumber=unit.index + 1,
                Body=cast(IO[bytes], MemoryFile(loaded.data)),
                ChecksumAlgorithm="SHA256",
            )
        self.journal.commit(unit, part=unit.index + 1, etag=part["ETag"], sha256=part["ChecksumSHA256"])

    def _begin(self, archive: Archive) -> None:
        upload = self._client.create_multipart_upload(
            Bucket=self._bucket,
            Key=self._key(archive.file),
            Metadata={"md5": archive.md5},
            ChecksumAlgorithm="SHA256",
        )["UploadId"]
        self._uploads[archive.file] = upload
        self.journal.append({"upload": upload, "of": archive.file})

    def flush(self) -> None:
        """Every part is committed when it has been sent."""

    def finish(self, inputs: dict[str, Any], progress: Progress) -> Receipt:
        """Complete the archives' uploads and send the rest: small archives, packed files and receipts.

        `inputs` is what the receipt depends on.

        Raises:
            AwsError: S3 refuses or fails.
            IntegrityError: nothing is packed yet.
        """
        packed = manifest.read(self._layout)
        outputs: dict[str, dict[str, Any]] = {}
        for split in self._description.splits:
            self._complete_upload(split.archive.file)
            outputs[self._url(split.archive.file)] = {"md5": split.archive.md5}
        for archive in self._description.archives:
            if self._description.split_of(archive.file) is None:
                path = self._layout.archives / archive.file
                outputs[self._url(archive.file)] = self._send(
                    path, self._key(archive.file), {"md5": archive.md5}, progress
                )
        prefix = contract.packed_prefix(self._description.name)
        files = packed.files | {self._layout.manifest.name: manifest.facts_of(self._layout.manifest)}
        for name, facts in files.items():
            url = f"s3://{self._bucket}/{prefix}{name}"
            digest = {"sha256": facts["sha256"]}
            outputs[url] = self._send(self._layout.packed / name, prefix + name, digest, progress)
        seconds = round(time.monotonic() - self._begun, 1)
        return Receipt(
            self.stage, inputs, {"bucket": self._bucket}, outputs, {"objects": len(outputs)}, seconds
        )

    def _complete_upload(self, archive: str) -> None:
        if archive in self._complete:
            return
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": entry["part"], "ETag": entry["etag"], "ChecksumSHA256": entry["sha256"]}
            for entry in self.journal.units()
            if entry["unit"] == archive
        ]
        with aws_errors(f"complete the upload of {self._url(archive)}"):
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key(archive),
                UploadId=self._uploads[archive],
                MultipartUpload={"Parts": sorted(parts, key=lambda part: part["PartNumber"])},
            )
        self.journal.append({"complete": archive})
        self._complete.add(archive)

    def _send(self, path: Path, key: str, digest: dict[str, str], progress: Progress) -> dict[str, Any]:
        """Upload a file unless S3 has it with that size and digest; returns what is true of it."""
        size = path.stat().st_size
        with aws_errors(f"upload {path} to s3://{self._bucket}/{key}"):
            if not self._has(key, size, digest):
                task = f"backup {path.name}"
                progress.add(task, size)
                self._client.upload_file(
                    str(path),
                    self._bucket,
                    key,
                    ExtraArgs={"Metadata": digest, "ChecksumAlgorithm": "SHA256"},
                    Config=TRANSFER,
                    Callback=lambda sent: progress.advance(task, sent),
                )
        return {"bytes": size} | digest

    def _has(self, key: str, size: int, digest: dict[str, str]) -> bool:
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
                return False
            raise
        return head["ContentLength"] == size and head["Metadata"] == digest

    def send_receipts(self, progress: Progress) -> None:
        """Upload every receipt there is; the last thing, so that the backup's own is among them."""
        prefix = contract.receipts_prefix(self._description.name)
        for path in sorted(self._layout.receipts.glob("*.json")):
            self._send(path, prefix + path.name, {"sha256": str(manifest.facts_of(path)["sha256"])}, progress)
