"""The paths of all files and folders on the two volumes."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from prep import contract


@dataclass(frozen=True)
class Layout:
    """`root` is a folder on the work volume, `packed` is one on the dataset volume."""

    root: Path
    packed: Path

    @property
    def options(self) -> str:
        """The options of a command that name the folders, as a shell takes them; "" for the usual folders."""
        folders = {
            "--root": (self.root, contract.WORK_MOUNT),
            "--packed": (self.packed, contract.PACKED_MOUNT),
        }
        return " ".join(
            f"{option} {shlex.quote(str(folder))}"
            for option, (folder, usual) in folders.items()
            if str(folder) != usual
        )

    @property
    def archives(self) -> Path:
        """The downloaded archives."""
        return self.root / "archives"

    @property
    def bounding_boxes(self) -> Path:
        """Bounding box annotations, with a folder for each split."""
        return self.root / "bounding_boxes"

    @property
    def receipts(self) -> Path:
        """Receipts of finished stages."""
        return self.root / ".prep"

    @property
    def checked(self) -> Path:
        """The record of the archives that have been checked."""
        return self.root / ".prep" / "journals" / "checked.json"

    @property
    def devkit(self) -> Path:
        """The contents of the devkit, if images were adopted from a copy without a devkit."""
        return self.root / ".prep" / "devkit.json"

    @property
    def journals(self) -> Path:
        """Journals of the stages, except that of pack, which is beside its buckets."""
        return self.root / ".prep" / "journals"

    @property
    def usage(self) -> Path:
        """What the unfinished run has used so far."""
        return self.root / ".prep" / "journals" / "usage.json"

    @property
    def status(self) -> Path:
        """How far the run is, as the bucket has it too. Not among the receipts: those are backed up."""
        return self.root / ".prep" / "journals" / "status.json"

    @property
    def notified(self) -> Path:
        """When the run finished about which a notice was sent last."""
        return self.root / ".prep" / "journals" / "notified"

    @property
    def packing(self) -> Path:
        """The journal and the buckets of pack, which are removed when pack has finished."""
        return self.packed / ".packing"

    @property
    def classes(self) -> Path:
        """The table of classes: label, wnid, words."""
        return self.packed / "classes.tsv"

    @property
    def manifest(self) -> Path:
        """Settings, counts and the SHA-256 of every packed file."""
        return self.packed / "MANIFEST.json"

    @property
    def preview(self) -> Path:
        """The page that shows a person what the packed files hold."""
        return self.packed / "preview.html"

    @property
    def contact_sheet(self) -> Path:
        """The contact sheet of the packed files."""
        return self.packed / "preview.png"

    @property
    def previews(self) -> tuple[Path, Path]:
        """The two files of the preview."""
        return self.preview, self.contact_sheet

    def images(self, split: str) -> Path:
        """Class folders of one split."""
        return self.root / split

    def part(self, name: str) -> dict[str, Path]:
        """The three files of a split, or of a part of one, by kind."""
        return {"rec": self.rec(name), "idx": self.idx(name), "lst": self.lst(name)}

    def rec(self, part: str) -> Path:
        """The RecordIO file of a split or of a part of a split."""
        return self.packed / f"{part}.rec"

    def idx(self, part: str) -> Path:
        """The index of a RecordIO file: key and offset of each record."""
        return self.packed / f"{part}.idx"

    def lst(self, part: str) -> Path:
        """The list of a RecordIO file: index, label and name of each record."""
        return self.packed / f"{part}.lst"
