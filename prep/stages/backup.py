"""Backup: archives, packed files and receipts to S3.

The units of the archives, and the blocks of the `.rec` files that `verify` reads, are sent from memory while
other stages work on them, so that backup reads nothing from the disk. All other files are small: each is sent
as a whole, unless S3 has it already.
"""

import base64
import hashlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prep import contract
from prep.archives.journal import UnitJournal
from prep.archives.passes import at_work
from prep.archives.units import LoadedUnit, block_bytes, read_blocks
from prep.aws.errors import aws_errors
from prep.aws.multipart import Target, Uploads, same_object, stored_checksum
from prep.datasets.description import Description, Split
from prep.errors import IntegrityError
from prep.progress import UP, UPLOAD, Progress
from prep.records import manifest
from prep.records.growth import Growth
from prep.records.manifest import Manifest
from prep.state import receipts
from prep.state.group_commit import GroupCommit
from prep.state.layout import Layout
from prep.state.names import plain_name
from prep.state.receipts import Receipt

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TYPES = {".html": "text/html; charset=utf-8", ".png": "image/png"}  # so that a browser shows them
LATER = {"snapshot", "run"}  # stages whose receipts are not sent: in a run they follow the backup


class Backup:
    """A consumer of the archives, and then of the packed files; `finish` sends all other files."""

    stage = "backup"
    busy_with = UPLOAD

    def __init__(
        self,
        client: "S3Client",
        bucket: str,
        description: Description,
        layout: Layout,
        inputs: dict[str, Any],
        progress: Progress,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._description = description
        self._layout = layout
        self._progress = progress
        self._begun = time.monotonic()
        self.journal = UnitJournal(layout.journals / "backup.jsonl", inputs | {"bucket": bucket})
        self._uploads = Uploads(client, bucket, self.journal)
        # The journal lies on a volume that may be busy: a unit is sent while the one before is noted.
        self._commits = GroupCommit(self.stage, lambda: None, self.journal.commit_all, worth=0)
        self._targets: dict[str, Target] = {}
        self._recs: list[tuple[Path, Split]] = []
        self._recipe = ""
        for split in description.splits:
            key = contract.archives_prefix(description.name) + split.archive.file
            self._expect(split.archive.file, Target(key, {"md5": split.archive.md5}))

    def _expect(self, name: str, target: Target) -> None:
        self._targets[name] = target
        self._uploads.resume(name, target)

    def expect_packed(self, packed: Manifest) -> None:
        """Prepare the uploads of the `.rec` files of this manifest."""
        splits = {split.name: split for split in self._description.splits}
        if unknown := set(packed.splits) - set(splits):
            raise IntegrityError(
                f"{self._layout.manifest}: split {min(unknown)!r} is not in the description: run pack again"
            )
        self._recs = [(self._layout.rec(part), splits[split]) for split, part in packed.parts()]
        sizes = self.journal.sizes.items()
        done = sum(size for (name, _), size in sizes if name in {rec.name for rec, _ in self._recs})
        self._progress.add(self.stage, sum(rec.stat().st_size for rec, _ in self._recs), done)
        made = receipts.read(self._layout, "pack")
        from_folders = made is not None and made.inputs.get("from") == "folders"
        for rec, _ in self._recs:
            sha256 = packed.files[rec.name]["sha256"]
            facts = {"sha256": sha256} if from_folders else {"recipe": manifest.recipe(packed)}
            self._expect_rec(rec.name, facts)

    def expect_merge(self, growth: Growth) -> None:
        """Be ready for the blocks of `.rec` files that are being merged: their SHA-256 is not known yet."""
        draft, expected = growth.draft()
        self._progress.add(self.stage, expected)
        self._recipe = manifest.recipe(draft)

    def begin_part(self, name: str, expected: int) -> int:
        """Be ready for the blocks of a `.rec` file of about that size; returns the size of a block.

        What was sent by an earlier run decides how the file is cut.
        """
        if name not in self._targets:
            self._expect_rec(name, {"recipe": self._recipe})
        return self.journal.size_at(name, 0) or block_bytes(expected)

    def _expect_rec(self, name: str, identity: dict[str, str]) -> None:
        self._expect(name, Target(contract.packed_prefix(self._description.name) + name, identity))

    def send_packed(self) -> None:
        """Send the blocks of the `.rec` files that S3 does not have yet; call `expect_packed` first."""
        with at_work([self], self._progress) as give:
            for rec, split in self._recs:
                size = self.begin_part(rec.name, rec.stat().st_size)
                for loaded in read_blocks(rec, split, partial(self.size_at, rec.name), size):
                    if not give(loaded):
                        return

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit at this offset if S3 has it, else None."""
        return self.journal.size_at(source, offset)

    def consume(self, loaded: LoadedUnit) -> None:
        """Send a unit."""
        parts = self._uploads.send(loaded.unit, loaded.data, self._targets[loaded.unit.archive])
        self._commits.add(loaded.unit.size, (loaded.unit, {"parts": parts}))
        self._progress.moved(UP, loaded.unit.size)

    def flush(self) -> None:
        """Commit all units."""
        self._commits.finish()

    def settle(self) -> None:
        """Wait until the finished units are committed."""
        self._commits.settle()

    def forget(self, source: str) -> None:
        """Discard what was sent of an archive, so that it is sent again."""
        self._commits.settle()
        self._uploads.forget(source, self._targets[source].key)

    def finish(self, inputs: dict[str, Any]) -> Receipt:
        """Complete the uploads, send the small archives and packed files, and return the receipt.

        Raises:
            AwsError: S3 refuses or fails.
            IntegrityError: nothing is packed yet.
        """
        packed = manifest.read(self._layout)
        outputs: dict[str, dict[str, Any]] = {}
        for name, target in self._targets.items():
            facts = self._uploads.complete(name, target) | dict(target.digests)
            outputs[self._url(target.key)] = facts | packed.digest_of(name)
        for path, target in self._small_files(packed):
            outputs[self._url(target.key)] = self._send(path, target)
        seconds = round(time.monotonic() - self._begun, 1)
        return Receipt(
            self.stage, inputs, {"bucket": self._bucket}, outputs, {"objects": len(outputs)}, seconds
        )

    def _url(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _small_files(self, packed: Manifest) -> list[tuple[Path, Target]]:
        prefix = contract.archives_prefix(self._description.name)
        archives = [
            (self._layout.archives / archive.file, Target(prefix + archive.file, {"md5": archive.md5}))
            for archive in self._description.archives
            if archive.file not in self._targets
        ]
        prefix = contract.packed_prefix(self._description.name)
        facts = packed.files | {self._layout.manifest.name: manifest.facts_of(self._layout.manifest)}
        files = [
            (self._layout.packed / name, Target(prefix + name, {"sha256": fact["sha256"]}))
            for name, fact in facts.items()
            if name not in self._targets
        ]
        previews = [
            (path, Target(prefix + path.name, {"sha256": manifest.facts_of(path)["sha256"]}))
            for path in self._layout.previews
            if path.exists()
        ]
        return archives + files + previews

    def _send(self, path: Path, target: Target) -> dict[str, Any]:
        """Upload a small file unless S3 has it with its digest; returns its size, checksum and digests."""
        data = path.read_bytes()
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        with aws_errors(f"upload {path} to {self._url(target.key)}"):
            if self._stored(target.key) != (len(data), checksum):
                task = f"backup {path.name}"
                self._progress.add(task, len(data))
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=target.key,
                    Body=data,
                    ContentType=TYPES.get(path.suffix, "binary/octet-stream"),  # S3's default
                    Metadata=dict(target.digests),
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=checksum,
                )
                self._progress.advance(task, len(data))
                self._progress.moved(UP, len(data))
        return {"bytes": len(data), "checksum": checksum} | dict(target.digests)

    def _stored(self, key: str) -> tuple[int, str] | None:
        return stored_checksum(self._client, self._bucket, key)

    def send_receipts(self) -> None:
        """Upload the receipts. This comes last, so that the backup's own receipt is among them.

        Those of later stages are there only if a run is repeated, and what is in S3 must not depend on that.
        """
        prefix = contract.receipts_prefix(self._description.name)
        for path in sorted(self._layout.receipts.glob("*.json")):
            name = plain_name(path.name, str(self._layout.receipts))
            if path.stem not in LATER:
                self._send(path, Target(prefix + name, {}))


def previews(layout: Layout) -> dict[str, Any]:
    """What the backup depends on beside archives and packed files: the preview, if there is one."""
    found = {path.name: manifest.facts_of(path)["sha256"] for path in layout.previews if path.exists()}
    return {"preview": found} if found else {}


def check(client: "S3Client", bucket: str, dataset: str, receipt: Receipt) -> Receipt:
    """Compare every object of a backup with the checksums that S3 keeps, without downloading one.

    Raises:
        IntegrityError: an object is missing or differs, or the receipt names an object of another data set.
        AwsError: S3 refuses or fails.
    """
    begun = time.monotonic()
    known = (contract.archives_prefix(dataset), contract.packed_prefix(dataset))
    for url, facts in receipt.outputs.items():
        key = url.removeprefix("s3://").partition("/")[2]
        folder, _, name = key.rpartition("/")
        known_facts = isinstance(facts.get("bytes"), int) and isinstance(facts.get("checksum"), str)
        if f"{folder}/" not in known or not known_facts:
            raise IntegrityError(
                f"receipt of the backup: {url!r} is not an object of {dataset}: run backup again"
            )
        plain_name(name, "receipt of the backup")
        with aws_errors(f"look at s3://{bucket}/{key}"):
            stored = stored_checksum(client, bucket, key)
        if stored is None:
            raise IntegrityError(f"backup s3://{bucket}/{key}: does not exist: run backup again")
        if not same_object(stored, facts):
            raise IntegrityError(
                f"backup s3://{bucket}/{key}: {stored[0]} bytes, checksum {stored[1] or 'none'}; should be "
                f"{facts['bytes']} with {facts['checksum']}: remove it and run backup again"
            )
    total = sum(facts["bytes"] for facts in receipt.outputs.values())
    counts = {"objects": len(receipt.outputs), "bytes": total}
    return Receipt("check", {}, {"bucket": bucket}, {}, counts, round(time.monotonic() - begun, 1))
