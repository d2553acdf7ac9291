"""The commands: each stage on its own, and what they share. `run` puts them together.

Every finished stage leaves a receipt. A stage runs again only if its inputs, settings or outputs differ from
its receipt. The module of each stage defines what the stage depends on and what it leaves.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prep import contract
from prep.archives.inventory import Inventory
from prep.archives.passes import run_pass
from prep.archives.readers import Consumer, Downloads, pass_inputs, split_readers
from prep.aws import clients
from prep.datasets.description import Description
from prep.errors import DescriptionError, IntegrityError
from prep.images.messages import messages_kept
from prep.progress import Progress
from prep.records import manifest
from prep.records.dealing import DEFAULT_SETTINGS, PackSettings
from prep.records.examine import refuse_damage
from prep.sources.choose import choose_source
from prep.sources.fetch import check_small
from prep.stages import adopt, backup, backup_images, download, restore, snapshot, verify
from prep.stages.backup import Backup
from prep.stages.organize import Organizer
from prep.stages.pack import Packer
from prep.stages.preview import STAGE as PREVIEW
from prep.stages.preview import preview
from prep.state import receipts
from prep.state.checked import CheckedFiles
from prep.state.files import disk_errors
from prep.state.layout import Layout
from prep.state.lock import locked
from prep.state.receipts import Receipt

NOTHING: Downloads = {}
Pass = Mapping[str, Receipt | Organizer | Packer]
"""What became of organize and pack in a pass: a receipt if the stage was done before, or its consumer."""


@dataclass(frozen=True)
class Job:
    """The stages for one data set in one pair of folders, with their options.

    `source` replaces the URLs of the archives. `secret` names the Secrets Manager secret with the credentials
    of the site. `bucket` is the S3 bucket for the backup. `volume` is the EBS volume to take a snapshot of:
    the one mounted at `packed` or, with `snapshot_of` "work", the one mounted at `root`. `from_folders` packs
    the class folders instead of the archives. With `with_organize` False, `run` writes no class folders:
    training needs only the packed files. `strict` makes `verify` fail if the picture data of an image is
    damaged.
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
    strict: bool = False

    def locked(self) -> AbstractContextManager[None]:
        """Lock the two folders, so that no second process works in them."""
        return locked(self.layout)

    def download(self) -> Receipt:
        """Fetch the archives, and check those that changed since they were fetched."""
        if download.unchanged(self.description, self.layout):
            standing = self.standing("download", download.inputs(self.description), {})
            if standing:
                return standing
        source = choose_source(self.source, self.secret, self.progress)
        return self.keep(download.download(self.description, self.layout, source, self.progress))

    def organize(self) -> Receipt:
        """Write the images into class folders."""
        return self.finish(self.read(["organize"])["organize"])

    def pack(self) -> Receipt:
        """Make the RecordIO files."""
        return self.finish(self.read(["pack"])["pack"])

    def verify(self, back_up: bool = False) -> Receipt:
        """Check the packed files and, with `back_up`, send them to S3 while they are in memory."""
        standing = self.standing("verify", manifest.inputs(self.layout), {}, self.layout.manifest)
        if standing:
            refuse_damage(standing, self.strict)
            return standing
        consumer = None
        if back_up:
            consumer = self.backup_consumer(self._pass_inputs())
            consumer.expect_packed(manifest.read(self.layout))
        return self.keep_verified(
            verify.verify(self.description, self.layout, self.progress, self.threads, consumer)
        )

    def keep_verified(self, receipt: Receipt) -> Receipt:
        """Write the receipt of verify, then refuse damaged images with `strict`."""
        kept = self.keep(receipt)
        refuse_damage(kept, self.strict)
        return kept

    def preview(self) -> Receipt:
        """Make the page and the contact sheet that show what is packed, beside the packed files."""
        standing = self.standing(PREVIEW, manifest.inputs(self.layout), {}, self.layout.preview)
        return standing or self.keep(preview(self.layout, self.layout.packed, self.progress, self.threads))

    def backup(self) -> Receipt:
        """Send archives, packed files and receipts to S3."""
        self._needed_bucket("backup")
        archives = self._pass_inputs()
        consumer = self.backup_consumer(archives)
        inputs = archives | manifest.inputs(self.layout) | backup.previews(self.layout)
        receipt = self.standing("backup", inputs, {"bucket": self.bucket})
        if receipt is None:
            self._read([consumer], archives)
            consumer.expect_packed(manifest.read(self.layout))
            consumer.send_packed()
            receipt = self.keep(consumer.finish(inputs))
        consumer.send_receipts()  # even if the backup is done: a kill may have prevented this
        return receipt

    def snapshot(self) -> Receipt:
        """Take a snapshot of the volume that `verify` has checked, and publish its ID."""
        if not self.volume:
            raise DescriptionError(f"snapshot: no volume: give --volume or set {contract.ENV_VOLUME}")
        inputs = manifest.inputs(self.layout)
        standing = self.standing("snapshot", inputs, {"volume": self.volume})
        if standing:
            return standing
        if not self.standing("verify", inputs, {}, self.layout.manifest):
            raise IntegrityError("snapshot: the packed files have not been verified: run verify first")
        ec2, ssm = clients.ec2(self.progress.repeated), clients.ssm(self.progress.repeated)
        mount = self.layout.root if self.snapshot_of == "work" else self.layout.packed
        return self.keep(
            snapshot.snapshot(ec2, ssm, self.description, self.volume, mount, inputs, self.progress)
        )

    def adopt(self, copy: Path) -> Receipt:
        """Link the images of Kaggle's copy into the class folders."""
        return adopt.adopt(copy, self.layout, self.progress)

    def restore(self, what: Sequence[str]) -> Receipt:
        """Download archives or packed files from the backup."""
        bucket = self._needed_bucket("restore")
        s3 = clients.s3(self.progress.repeated)
        return restore.restore(s3, bucket, self.description, self.layout, what, self.progress)

    def backup_images(self) -> Receipt:
        """Send each image in the class folders to S3, as an object of its own."""
        bucket = self._needed_bucket("backup")
        inputs = {"description": self.description.sha256}
        s3 = clients.s3(self.progress.repeated)
        return self.standing(backup_images.STAGE, inputs, {"bucket": bucket}) or self.keep(
            backup_images.send(s3, bucket, self.description, self.layout, inputs, self.progress)
        )

    def check_backup(self) -> Receipt:
        """Compare the backup with the checksums that S3 keeps."""
        bucket = self._needed_bucket("verify")
        receipt = receipts.read(self.layout, "backup")
        if receipt is None:
            raise IntegrityError("verify: there is no receipt of a backup: run backup first")
        return backup.check(clients.s3(self.progress.repeated), bucket, self.description.name, receipt)

    def read(self, stages: Sequence[str], downloads: Downloads = NOTHING, in_run: bool = False) -> Pass:
        """Run those of organize and pack that are not done, in one pass, up to their last steps.

        Returns, by stage, its receipt if it was done, or the consumer to give to `finish`. In a run the
        backup of the archives takes part in the pass.
        """
        inputs = self._pass_inputs(downloads)
        settings = {"organize": {}, "pack": asdict(self.settings)}
        makes = {"organize": None, "pack": self.layout.manifest}
        done = {stage: self.standing(stage, inputs, settings[stage], makes[stage]) for stage in stages}
        todo = {stage: self._consumer(stage, inputs) for stage in stages if not done[stage]}
        if "pack" in stages and "pack" not in todo:  # a kill may have come before this was removed
            shutil.rmtree(self.layout.packing, ignore_errors=True)
        consumers: list[Consumer] = [*todo.values()]
        if in_run and self.bucket and (todo or downloads):
            consumers.append(self.backup_consumer(inputs))
        # For pack, the inventory also reads the units that it has not read yet.
        if todo or downloads or "pack" in stages:
            self._read(consumers, inputs, downloads)
        return {stage: done[stage] or todo[stage] for stage in stages}

    def finish(self, found: Receipt | Organizer | Packer) -> Receipt:
        """The last steps of organize or pack after its pass, and its receipt."""
        if isinstance(found, Receipt):
            return found
        receipt = self.keep(found.finish(self.progress))
        found.clean()
        return receipt

    def _consumer(self, stage: str, inputs: dict[str, Any]) -> Organizer | Packer:
        if stage == "organize":
            return Organizer(self.description, self.layout, inputs)
        return Packer(
            self.description, self.layout, inputs, self.settings, self.threads, self.allow_unreadable
        )

    def backup_consumer(self, inputs: dict[str, Any]) -> Backup:
        """What sends archives and packed files to the bucket."""
        bucket = self._needed_bucket("backup")
        client = clients.s3(self.progress.repeated)
        return Backup(client, bucket, self.description, self.layout, inputs, self.progress)

    def _read(
        self, consumers: Sequence[Consumer], inputs: dict[str, Any], downloads: Downloads = NOTHING
    ) -> None:
        """One pass over the archives, or the class folders, for these consumers and the inventory."""
        checked = CheckedFiles(self.layout.checked)
        check_small(self.description, self.layout.archives, checked, self.progress)
        everyone = [Inventory(self.layout, inputs), *consumers]
        for consumer in everyone:
            self.progress.add(consumer.stage, sum(inputs["bytes"].values()), consumer.journal.bytes_done())
        readers = split_readers(self.description, self.layout, self.from_folders, downloads)
        with messages_kept():
            run_pass(readers, everyone, checked, self.progress)

    def _pass_inputs(self, downloads: Downloads = NOTHING) -> dict[str, Any]:
        return pass_inputs(self.description, self.layout, self.from_folders, downloads)

    def _needed_bucket(self, stage: str) -> str:
        if not self.bucket:
            raise DescriptionError(f"{stage}: no bucket: give --bucket or set {contract.ENV_BUCKET}")
        return self.bucket

    def standing(
        self, stage: str, inputs: dict[str, Any], settings: dict[str, Any], makes: Path | None = None
    ) -> Receipt | None:
        """The receipt of a stage that need not run again, or None.

        `makes` is a file that must be among the outputs of the receipt.
        """
        receipt = receipts.read(self.layout, stage)
        if receipt is None or not receipt.stands(inputs, settings):
            return None
        if makes is not None and str(makes) not in receipt.outputs:
            return None
        self.progress.note(f"{stage}: done on {receipt.finished}")
        self.progress.finish(stage)
        return receipt

    def keep(self, receipt: Receipt, tell: bool = True) -> Receipt:
        """Write a receipt; the stage is done then."""
        with disk_errors(self.layout.root):
            kept = receipts.write(self.layout, receipt)
        self.progress.finish(receipt.stage)
        if tell:
            self.progress.note(f"{receipt.stage}: done in {receipt.seconds} s: {receipt.counted()}")
        return kept
