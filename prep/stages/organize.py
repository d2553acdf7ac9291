"""Organize: write the images of every split into class folders, `ROOT/<split>/<class>/<file>`."""

import lzma
import tarfile
import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any

from prep.archives.journal import UnitJournal
from prep.archives.units import Image, LoadedUnit
from prep.datasets.description import Description
from prep.errors import IntegrityError
from prep.progress import WORK_VOLUME, Progress
from prep.state.files import disk_errors, sync_file_system
from prep.state.group_commit import GroupCommit
from prep.state.layout import Layout
from prep.state.names import relative_path
from prep.state.receipts import Receipt

BLOCK = 4096  # bytes, of ext4
# So many bytes at the end of the archives are flushed while the merge keeps the other volume busy. Flushed
# earlier, they would keep the merge waiting, which begins when the last journals and receipts are on disk.
LATE_BYTES = 1 << 30
SMALL_FILE_BLOCKS = 16  # mb_stream_req in https://docs.kernel.org/admin-guide/ext4.html


class Organizer:
    """The consumer that writes images as files."""

    stage = "organize"
    busy_with = WORK_VOLUME

    def __init__(self, description: Description, layout: Layout, inputs: dict[str, Any]) -> None:
        self._description = description
        self._layout = layout
        self._inputs = inputs
        self._folders: set[Path] = set()
        self._begun = time.monotonic()
        self.journal = UnitJournal(layout.journals / "organize.jsonl", inputs)
        self._left = sum(inputs["bytes"].values()) - self.journal.bytes_done()
        self._commits = GroupCommit(
            self.stage, partial(sync_file_system, layout.root), self.journal.commit_all
        )

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit at this offset if its files are on disk, else None."""
        return self.journal.size_at(source, offset)

    def consume(self, loaded: LoadedUnit) -> None:
        """Write the unit's images; they count as written only when the journal names the unit."""
        top = self._layout.images(loaded.split.name)
        with disk_errors(top):
            for image in sorted(loaded.images, key=_place_on_disk):
                path = top / image.name
                if path.parent not in self._folders:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self._folders.add(path.parent)
                path.write_bytes(image.data)
        self._left -= loaded.unit.size
        done = loaded.unit, {"images": len(loaded.images)}
        self._commits.add(loaded.unit.size, done, later=self._left < LATE_BYTES)

    def flush(self) -> None:
        """Do nothing: all units are written, and `finish` waits until they are committed."""

    def settle(self) -> None:
        """Wait until the units that are written are committed."""
        self._commits.settle()

    def forget(self, source: str) -> None:
        """Discard the journal entries of an archive, so that its images are written again."""
        self._commits.settle()
        self.journal.forget(source)

    def clean(self) -> None:
        """Do nothing: no temporary files are left."""

    def finish(self, _progress: Progress) -> Receipt:
        """Check the number of images, unpack the bounding boxes, and return the receipt.

        Raises:
            IntegrityError: an archive holds another number of images than the description says.
        """
        self._commits.finish()
        counts: dict[str, int] = {}
        for entry in self.journal.units():
            split = self._description.split_of(entry["unit"])
            if split:
                counts[split.name] = counts.get(split.name, 0) + entry["images"]
        for split in self._description.splits:
            if counts.get(split.name, 0) != split.images:
                raise IntegrityError(
                    f"organize: {split.archive.file} holds {counts.get(split.name, 0)} images, the "
                    f"description says {split.images}: correct [splits.{split.name}] images or the archive"
                )
        for boxes in self._description.bounding_boxes:
            folder = self._layout.bounding_boxes / boxes.folder
            counts[f"bounding boxes {boxes.folder}"] = _unpack(
                self._layout.archives / boxes.archive.file, folder
            )
        outputs: dict[str, dict[str, Any]] = {
            str(self._layout.images(split.name)): {} for split in self._description.splits
        }
        return Receipt(
            self.stage, self._inputs, {}, outputs, counts, round(time.monotonic() - self._begun, 1)
        )


def _place_on_disk(image: Image) -> tuple[bool, bool]:
    """Sorts images so that those which ext4 puts side by side are written one after the other.

    Its allocator has a place for files of up to 64 KiB, another for those whose number of blocks is a power
    of two, and a third for all others. Written in the order of the archive, a class of ImageNet reaches the
    disk in requests of 550 KiB on average; in this order, of 700 KiB.
    """
    blocks = -(-len(image.data) // BLOCK)
    return blocks <= SMALL_FILE_BLOCKS, blocks & (blocks - 1) == 0


def _unpack(archive: Path, folder: Path) -> int:
    """Unpack a small archive of annotations, and return the number of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with disk_errors(folder), tarfile.open(archive) as tar:
            # Python before 3.11.4, as of Debian 12, has no filters; what is dangerous is refused below.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in tar:
                if member.name != ".":  # the folder itself, which `tar -c .` names
                    relative_path(member.name, f"archive {archive}")
                if not member.isfile() and not member.isdir():
                    raise IntegrityError(f"archive {archive}: {member.name!r} is no file: don't trust it")
                tar.extract(member, folder)
                count += member.isfile()
    except tarfile.ReadError as error:  # its text has a line for each compression that was tried
        raise IntegrityError(f"archive {archive}: not a readable tar file: download it again") from error
    except (tarfile.TarError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise IntegrityError(f"archive {archive}: {error}: download it again, or don't trust it") from error
    except OSError as error:
        raise IntegrityError(f"archive {archive}: {error.strerror or error}: download it again") from error
    sync_file_system(folder)
    return count
