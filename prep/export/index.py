"""The index of an export: what it holds, with a SHA-256 of each block, and what is done so far.

A block is a run of neighbours in the `.rec` files: a tar shard, or some of the files of an image folder.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from prep.errors import DescriptionError, IntegrityError
from prep.state.files import write_json

NAME = "EXPORT.json"
PAUSE = 20  # times as long as writing the index took: it may have tens of thousands of blocks
REMEDY = "give another folder with --to, or remove this one"


@dataclass(frozen=True)
class Block:
    """`sha256` is that of the shard; or of the bytes of the images one after the other, in an image folder.

    path: of the shard or the split, below the folder of the export. first: number of its first record.
    """

    path: str
    first: int
    images: int
    bytes: int
    sha256: str


@dataclass
class Exported:
    """A split. `source` gives the SHA-256 of the `.rec` files that it comes from."""

    source: Mapping[str, str]
    images: int
    complete: bool = False
    blocks: list[Block] = field(default_factory=list)


@dataclass
class Index:
    """The file EXPORT.json of a folder."""

    dataset: str
    format: str
    shard_mib: int
    splits: dict[str, Exported] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The index of a folder; None if it has none.

        Raises:
            IntegrityError: it is damaged.
        """
        try:
            found: dict[str, Any] = json.loads((folder / NAME).read_bytes())
            splits = {
                name: Exported(**split | {"blocks": [Block(**block) for block in split["blocks"]]})
                for name, split in found.pop("splits").items()
            }
            return cls(**found, splits=splits)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IntegrityError(f"{folder / NAME}: damaged ({error!r}): {REMEDY}") from error

    def document(self) -> dict[str, Any]:
        """What the file holds, and `--json` prints."""
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Write the file, atomically."""
        write_json(folder / NAME, self.document())


class Seldom:
    """Calls a function now and then, so that it takes at most a twentieth of the time."""

    def __init__(self, write: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._next = clock()

    def __call__(self) -> None:
        """Call it, if that is due again."""
        start = self._clock()
        if start >= self._next:
            self._write()
            end = self._clock()
            self._next = end + PAUSE * (end - start)


def continued(folder: Path, wanted: Index) -> Index:
    """The index that the folder has already, if it is of the wanted data set and form; otherwise a new one.

    Raises:
        DescriptionError: the folder has another export, or other files.
    """
    found = Index.read(folder)
    if found is None:
        others = sorted({path.name for path in folder.iterdir()} - {"lost+found"})
        if others:
            raise DescriptionError(
                f"{folder}: has {others[0]}, but no {NAME}: give an empty folder with --to"
            )
        return wanted
    for what, there, now in (
        ("data set", found.dataset, wanted.dataset),
        ("--format", found.format, wanted.format),
        ("--shard-mib", found.shard_mib, wanted.shard_mib),
    ):
        if there != now:
            raise DescriptionError(f"{folder}: has an export with {what} {there}, not {now}: {REMEDY}")
    return found
