"""An image folder: `<split>/<class>/<file>`, as torchvision's ImageFolder and Keras read it.

It is made under another name, and gets its own when it is whole: to write and rename each of 1.3 million
files durably would take hours.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from prep.errors import DescriptionError
from prep.export.index import REMEDY, Block
from prep.records.access import Sample
from prep.state.files import disk_errors, sync_file_system, sync_folder
from prep.state.names import relative_path


class Folder:
    """Writes the folder of one split."""

    def __init__(self, folder: Path, split: str) -> None:
        self._split = split
        self._whole = folder / split
        self._partial = folder / f".{split}.partial"

    def begin(self) -> None:
        """Make the folder, under its name for the time being.

        Raises:
            DescriptionError: one of the final name is there already.
        """
        if self._whole.exists():
            raise DescriptionError(f"{self._whole}: is there already: {REMEDY}")
        self._partial.mkdir(parents=True, exist_ok=True)

    def has(self, _block: Block) -> bool:
        """Whether the files of a finished block are still there: whether their folder is."""
        return self._whole.exists() or self._partial.exists()

    def write(self, _number: int, first: int, samples: Iterable[Sample]) -> Block:
        """Write the files of a block, and make them durable.

        Raises:
            IntegrityError: the name of a sample is no relative path.
            SpaceError: the disk is full.
        """
        digest = hashlib.sha256()
        images = size = 0
        with disk_errors(self._partial):
            for sample in samples:
                path = self._partial / relative_path(sample.name, "the list of names")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(sample.image)
                digest.update(sample.image)
                images += 1
                size += len(sample.image)
            sync_file_system(self._partial)
        return Block(self._split, first, images, size, digest.hexdigest())

    def finish(self) -> None:
        """Give the folder its name."""
        if self._partial.exists():
            self._partial.replace(self._whole)
            sync_folder(self._whole.parent)
