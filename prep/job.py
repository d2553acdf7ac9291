"""A job: one data set on its way through the stages, and which of them it still needs.

A stage that finished left a receipt; it runs again only if its inputs, its settings or its outputs are no
longer those of the receipt. Organize, pack and the backup of archives are consumers of one pass.
"""

import fcntl
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prep import contract
from prep.archives.inventory import Inventory
from prep.archives.journal import UnitJournal
from prep.archives.passes import Consumer, SplitReader, at_work, run_pass
from prep.archives.units import LoadedUnit, read_blocks
from prep.aws import clients
from prep.datasets.classes import class_finder
from prep.datasets.description import Archive, Description
from prep.errors import DescriptionError, IntegrityError
from prep.progress import Progress
from prep.records import manifest
from prep.sources import credentials
from prep.sources.fetch import CONNECTIONS
from prep.sources.folder import FolderSource
from prep.sources.s3 import S3Source
from prep.sources.source import Source
from prep.stages import adopt, backup, backup_images, download, restore, snapshot, verify
from prep.stages.backup import Backup
from prep.stages.organize import Organizer
from prep.stages.pack import DEFAULT_SETTINGS, Packer, PackSettings
from prep.state import receipts
from prep.state.files import disk_errors
from prep.state.layout import Layout
from prep.state.receipts import Receipt

STAGES = ("download", "organize", "pack", "verify", "backup", "snapshot")


@dataclass(frozen=True)
class Job:
    """What to do with which data set, where.

    `source` replaces the archives' URLs; `secret` names the Secrets Manager secret with the site's
    credentials; `bucket` takes the backup; `volume` is the EBS volume to snapshot, the one under `packed`
    or, with `snapshot_of` "work", the one under `root`. `from_folders` packs organized class folders.
    `with_organize` False leaves the class folders out of `run`: training needs only what is packed.
    """

    description: Description
    layout: Layout
    progress: Progress
    source: str | None = None
    secret: str | None = None
    bucket: str | None = None
    volume: str | None = None
    snapshot_of: str = "packed"
    settings: PackSettings = DEFAULT_SETTINGS
    threads: int | None = None
    allow_unreadable: int = 0
    from_folders: bool = False
    with_organize: bool = True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process off the same volumes.

        Raises:
            DescriptionError: there is one at work.
        """
        with disk_errors(self.layout.root):
            self.layout.receipts.mkdir(parents=True, exist_ok=True)
            self.layout.packed.mkdir(parents=True, exist_ok=True)
        with (self.layout.receipts / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DescriptionError(
                    f"{self.layout.root}: another prep is at work there: wait for it"
                ) from None
            yield

    def run(self) -> list[Receipt]:
        """Every stage that is not done, in order; what can share a pass does. Returns all receipts."""
        organize = ["organize"] if self.with_organize else []
        back_up = ["backup"] if self.bucket else []
        done = [self.download(), *self._pass([*organize, "pack", *back_up])]
        done.append(self.verify(self.bucket is not None))
        if self.bucket:
            done.append(self.backup())
        if self.volume:
            done.append(self.snapshot())
            if self.bucket:
                self._backup_consumer().send_receipts(self.progress)
        return done

    def download(self) -> Receipt:
        """Fetch the archives."""
        inputs = download.inputs(self.description)
        standing = self._standing("download", inputs, {})
        if standing:
            return standing
        return self._keep(download.download(self.description, self.layout, self._origin(), self.progress))

    def _origin(self) -> Source:
        """Where `source` says the archives come from: a bucket, a folder, or an archive server."""
        scheme, _, rest = (self.source or "").partition("://")
        if scheme == "s3":
            bucket, _, prefix = rest.partition("/")
            return S3Source(clients.s3(), bucket, prefix)
        if self.source and not rest:
            return FolderSource(Path(self.source))
        if self.source and scheme not in ("http", "https"):
            raise DescriptionError(f"source {self.source}: must be https://…, s3://bucket/prefix or a folder")
        from prep.sources.http import HttpSource  # urllib3 takes long to load

        found = credentials.from_environment()
        if found is None and self.secret:
            found = credentials.from_secret(clients.secretsmanager(), self.secret)
        return HttpSource(found, self.source, CONNECTIONS)

    def restore(self, what: Sequence[str]) -> Receipt:
        """Bring back what the backup holds."""
        if not self.bucket:
            raise DescriptionError(f"restore: no bucket: give --bucket or set {contract.ENV_BUCKET}")
        return restore.restore(clients.s3(), self.bucket, self.description, self.layout, what, self.progress)

    def organize(self) -> Receipt:
        """Write the images into class folders."""
        return self._pass(["organize"])[0]

    def adopt(self, copy: Path) -> Receipt:
        """Take the images of Kaggle's copy for the class folders."""
        return adopt.adopt(copy, self.layout, self.progress)

    def pack(self) -> Receipt:
        """Make the RecordIO files."""
        return self._pass(["pack"])[0]

    def verify(self, back_up: bool = False) -> Receipt:
        """Check the packed files, and send them to S3 while they are in memory if asked to."""
        inputs = self._manifest_inputs()
        standing = self._standing("verify", inputs, {})
        if standing:
            return standing
        consumers = []
        if back_up:
            consumers = [self._backup_consumer()]
            consumers[0].expect_packed(manifest.read(self.layout))
            self._show_packed(consumers[0])
        return self._keep(
            verify.verify(self.description, self.layout, inputs, self.progress, self.threads, consumers)
        )

    def check_backup(self) -> Receipt:
        """Compare the backup with the checksums that S3 keeps."""
        if not self.bucket:
            raise DescriptionError("verify: --against must be s3://BUCKET")
        receipt = receipts.read(self.layout, "backup")
        if receipt is None:
            raise IntegrityError("verify: there is no receipt of a backup: run backup first")
        return backup.check(clients.s3(), self.bucket, receipt)

    def backup(self) -> Receipt:
        """Send archives, packed files and receipts to S3."""
        if not self.bucket:
            raise DescriptionError(f"backup: no bucket: give --bucket or set {contract.ENV_BUCKET}")
        inputs = self._pass_inputs() | self._manifest_inputs()
        standing = self._standing("backup", inputs, {"bucket": self.bucket})
        if standing:  # a kill may have come before all receipts were sent
            self._backup_consumer().send_receipts(self.progress)
            return standing
        consumer = self._backup_consumer()
        self._read([consumer])
        consumer.expect_packed(manifest.read(self.layout))
        self._show_packed(consumer)
        with at_work([consumer], self.progress) as give:
            for loaded in self._packed_blocks(consumer):
                if not give(loaded):
                    break
        receipt = self._keep(consumer.finish(inputs, self.progress))
        consumer.send_receipts(self.progress)
        return receipt

    def send_loose_images(self) -> Receipt:
        """Send the organized images to S3 one by one."""
        if not self.bucket:
            raise DescriptionError(f"backup: no bucket: give --bucket or set {contract.ENV_BUCKET}")
        inputs = {"description": self.description.sha256}
        return self._standing("loose", inputs, {"bucket": self.bucket}) or self._keep(
            backup_images.send(
                clients.s3(), self.bucket, self.description, self.layout, inputs, self.progress
            )
        )

    def snapshot(self) -> Receipt:
        """Take and publish a snapshot of what `verify` has passed."""
        if not self.volume:
            raise DescriptionError(f"snapshot: no volume: give --volume or set {contract.ENV_VOLUME}")
        inputs = self._manifest_inputs()
        settings = {"volume": self.volume}
        standing = self._standing("snapshot", inputs, settings)
        if standing:
            return standing
        if not self._standing("verify", inputs, {}):
            raise IntegrityError("snapshot: what is packed has not been verified: run verify first")
        mount = self.layout.root if self.snapshot_of == "work" else self.layout.packed
        return self._keep(
            snapshot.snapshot(
                clients.ec2(),
                clients.ssm(),
                self.description,
                self.volume,
                mount,
                inputs["manifest"],
                inputs,
                self.progress,
            )
        )

    def status(self) -> dict[str, dict[str, Any]]:
        """For every stage: "done" with its receipt, "begun" with bytes done, or "not begun"."""
        journals = {
            "organize": self.layout.journals / "organize.jsonl",
            "backup": self.layout.journals / "backup.jsonl",
        }
        journals["pack"] = self.layout.packing / "journal.jsonl"
        found: dict[str, dict[str, Any]] = {}
        for stage in STAGES:
            receipt = receipts.read(self.layout, stage)
            if receipt:
                found[stage] = {"state": "done"} | asdict(receipt)
            elif stage in journals and journals[stage].exists():
                found[stage] = {"state": "begun", "bytes": UnitJournal.peek(journals[stage])}
            elif stage == "download" and any(self.layout.archives.glob("*.journal")):
                found[stage] = {"state": "begun"}
            else:
                found[stage] = {"state": "not begun"}
        return found

    def _standing(self, stage: str, inputs: dict[str, Any], settings: dict[str, Any]) -> Receipt | None:
        receipt = receipts.read(self.layout, stage)
        if receipt and receipt.stands(inputs, settings):
            self.progress.note(f"{stage}: done on {receipt.finished}")
            return receipt
        return None

    def _keep(self, receipt: Receipt) -> Receipt:
        with disk_errors(self.layout.root):
            kept = receipts.write(self.layout, receipt)
        self.progress.note(f"{receipt.stage}: done in {receipt.seconds} s: {_counted(receipt.counts)}")
        return kept

    def _archive(self, archive: Archive) -> Path:
        path = self.layout.archives / archive.file
        if not path.is_file():
            raise IntegrityError(f"archive {path}: not there: run download first, or put it there")
        return path

    def _pass_inputs(self) -> dict[str, Any]:
        """What organize, pack and backup depend on."""
        if self.from_folders:
            sizes = {
                split.name: _folder_bytes(self.layout.images(split.name)) for split in self.description.splits
            }
        else:
            sizes = {
                split.name: self._archive(split.archive).stat().st_size for split in self.description.splits
            }
        origin = "folders" if self.from_folders else "archives"
        return {"description": self.description.sha256, "bytes": sizes, "from": origin}

    def _manifest_inputs(self) -> dict[str, Any]:
        manifest.read(self.layout)  # that there is one, or a clear word
        return {"manifest": manifest.facts_of(self.layout.manifest)["sha256"]}

    def _pass(self, stages: Sequence[str]) -> list[Receipt]:
        """Run the consumers of those stages that are not done in one pass; backup's receipt comes later."""
        inputs = self._pass_inputs()
        organizer = packer = None
        done: dict[str, Receipt | None] = {}
        consumers: list[Consumer] = []
        if "organize" in stages:
            done["organize"] = self._standing("organize", inputs, {})
            if not done["organize"]:
                organizer = Organizer(self.description, self.layout, inputs)
                consumers.append(organizer)
        if "pack" in stages:
            done["pack"] = self._standing("pack", inputs, asdict(self.settings))
            if not done["pack"]:
                packer = Packer(
                    self.description, self.layout, inputs, self.settings, self.threads, self.allow_unreadable
                )
                consumers.append(packer)
            else:  # a kill may have come before this was removed
                shutil.rmtree(self.layout.packing, ignore_errors=True)
        if consumers and "backup" in stages:
            consumers.append(self._backup_consumer())
        if consumers or "pack" in stages:  # with no consumer left, what the inventory lacks is still read
            self._read(consumers, inputs)
        if organizer:
            done["organize"] = self._keep(organizer.finish())
        if packer:
            done["pack"] = self._keep(packer.finish(self.progress))
            packer.clean()
        return [receipt for receipt in done.values() if receipt]

    def _backup_consumer(self) -> Backup:
        assert self.bucket  # noqa: S101 - callers have seen to it
        return Backup(clients.s3(), self.bucket, self.description, self.layout, self._pass_inputs())

    def _packed_blocks(self, consumer: Backup) -> Iterator[LoadedUnit]:
        """The blocks of the `.rec` files that the consumer lacks."""
        splits = {split.name: split for split in self.description.splits}
        for name, part in manifest.read(self.layout).parts():
            rec = self.layout.rec(part)
            yield from read_blocks(rec, splits[name], partial(consumer.size_at, rec.name))

    def _show_packed(self, consumer: Backup) -> None:
        recs = [self.layout.rec(part) for _, part in manifest.read(self.layout).parts()]
        done = sum(
            size for (name, _), size in consumer.journal.sizes.items() if name in {rec.name for rec in recs}
        )
        self.progress.add(consumer.stage, sum(rec.stat().st_size for rec in recs), done)

    def _read(self, consumers: Sequence[Consumer], inputs: dict[str, Any] | None = None) -> None:
        inputs = inputs or self._pass_inputs()
        class_of = class_finder(self.description, self.layout)
        total = sum(inputs["bytes"].values())
        everyone = [Inventory(self.layout, inputs), *consumers]
        for consumer in everyone:
            self.progress.add(consumer.stage, total, consumer.journal.bytes_done())
        readers = [
            SplitReader(
                self.layout.images(split.name) if self.from_folders else self._archive(split.archive),
                split,
                partial(class_of, split),
            )
            for split in self.description.splits
        ]
        run_pass(readers, everyone, self.progress)


def _counted(counts: Mapping[str, Any]) -> str:
    """Counts for a person: "train 600", or "train 600 records, 517 as in the archive"."""
    parts = []
    for name, count in counts.items():
        inner = (
            [f"{number} {what}" for what, number in count.items()]
            if isinstance(count, dict)
            else [str(count)]
        )
        parts.append(f"{name} {', '.join(inner)}")
    return "; ".join(parts)


def _folder_bytes(folder: Path) -> int:
    if not folder.is_dir():
        raise IntegrityError(f"{folder}: no such folder: run organize first")
    return sum(path.stat().st_size for path in folder.glob("*/*"))
