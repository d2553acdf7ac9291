"""Restore: download the archives, the packed files or both from a backup in S3."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from prep import contract
from prep.aws.errors import aws_errors, ignored
from prep.aws.multipart import MISSING
from prep.datasets.description import Description
from prep.errors import AwsError, PrepError
from prep.progress import Progress
from prep.records import manifest
from prep.sources.fetch import fetch_files
from prep.sources.s3 import S3Source
from prep.state import receipts
from prep.state.files import disk_errors, write_whole
from prep.state.layout import Layout
from prep.state.receipts import Receipt

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


VERIFY = "verify"


@dataclass(frozen=True)
class PackedFile:
    """A packed file as the manifest describes it."""

    file: str
    bytes: int
    digest: str
    algorithm: str = "sha256"
    url: str = ""


def restore(
    client: "S3Client",
    bucket: str,
    description: Description,
    layout: Layout,
    what: Sequence[str],
    progress: Progress,
) -> Receipt:
    """Download "archives", "packed" or both, and check each file by its digest. Files already there are kept.

    Raises:
        AwsError, SourceError: S3 refuses or fails, or a file is not in the backup.
        IntegrityError: a file is not what the description or the manifest says.
        SpaceError: a volume has no room for the files.
    """
    begun = time.monotonic()
    counts: dict[str, Any] = {}
    if "archives" in what:
        source = S3Source(client, bucket, contract.archives_prefix(description.name), progress.note)
        counts["archives"] = fetch_files(
            description.archives, layout.archives, layout.checked, source, progress
        )
    if "packed" in what:
        prefix = contract.packed_prefix(description.name)
        with aws_errors(f"read s3://{bucket}/{prefix}{layout.manifest.name}"):
            text = client.get_object(Bucket=bucket, Key=prefix + layout.manifest.name)["Body"].read()
        facts = manifest.parse(text, f"s3://{bucket}/{prefix}{layout.manifest.name}").files
        files = [PackedFile(name, fact["bytes"], fact["sha256"]) for name, fact in facts.items()]
        checked = layout.packed / ".restored.json"
        counts["packed"] = fetch_files(
            files, layout.packed, checked, S3Source(client, bucket, prefix, progress.note), progress
        )
        checked.unlink(missing_ok=True)
        write_whole(layout.manifest, text)  # last: a manifest exists only beside all its files
        _restore_verification(client, bucket, prefix, layout, progress)
        _restore_preview(client, bucket, prefix, layout, progress)
    return Receipt("restore", {}, {"bucket": bucket}, {}, counts, round(time.monotonic() - begun, 1))


def _restore_verification(
    client: "S3Client", bucket: str, prefix: str, layout: Layout, progress: Progress
) -> None:
    """Keep the receipt of the verify that has checked these files in S3, if there is one.

    The files here are the same ones: their digests are those in the manifest, and the receipt names the
    digest of the manifest. So `snapshot` accepts them.
    """
    url = f"s3://{bucket}/{prefix}{receipts.object_name(VERIFY)}"
    text = b""
    try:
        with aws_errors(f"restore: read {url}"), ignored(MISSING):
            key = prefix + receipts.object_name(VERIFY)
            text = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except AwsError as error:
        progress.note(f"{error}; run verify before snapshot")
    if not text:
        return
    receipt = receipts.parse(text)
    if receipt is None or (receipt.stage, receipt.inputs) != (VERIFY, manifest.inputs(layout)):
        progress.note(f"restore: {url} is not for this {layout.manifest.name}: run verify before snapshot")
        return
    outputs = {str(layout.manifest): manifest.facts_of(layout.manifest)}
    with disk_errors(layout.root):
        receipts.copy(layout, replace(receipt, settings={}, outputs=outputs))


def _restore_preview(
    client: "S3Client", bucket: str, prefix: str, layout: Layout, progress: Progress
) -> None:
    """Download the preview, if there is one. Nothing depends on it, and `preview` makes it again."""
    for path in layout.previews:
        key = prefix + path.name
        try:
            with aws_errors(f"restore: read s3://{bucket}/{key}"):
                answer = client.get_object(Bucket=bucket, Key=key)
                data = answer["Body"].read()
        except PrepError as error:
            progress.note(f"{error}; `python -m prep preview` makes {path.name} again")
            continue
        if hashlib.sha256(data).hexdigest() == answer["Metadata"].get("sha256"):
            write_whole(path, data)
        else:
            progress.note(f"restore: {key} is damaged; `python -m prep preview` makes {path.name} again")
