"""Archives of which ranges are read, and what is true of them."""

import io
import random
import tarfile
from pathlib import Path

from prep.archives.units import Unit, read_units
from prep.datasets.description import Archive, Split
from tests.prep import tars

NAME = "a.tar"
SPLIT = Split("train", Archive(NAME, "https://example.invalid/a.tar", "0" * 32, None), "folders", "path", 1)


class Ranges:
    """An archive in memory, of which ranges are read; it notes which."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(self.data), "S3 refuses such a range, or answers with fewer bytes"
        self.asked.append((start, end))
        return self.data[start:end]

    @property
    def bytes(self) -> int:
        return sum(end - start for start, end in self.asked)


def random_members(seed: int, names: int = 60) -> list[tars.Member]:
    """Folders and images of any size, also empty ones."""
    rng = random.Random(seed)  # noqa: S311 - a test
    members = []
    for number in range(200):
        if rng.random() < 0.05:
            members.append(tars.special(f"n{number}", tarfile.DIRTYPE))
        size = rng.choice([0, rng.randrange(2000), 512 * rng.randrange(8), rng.randrange(20_000)])
        letters = rng.choice(["x", "é"]) if names > 100 else "x"
        name = f"n{number % 7}/{letters * rng.randrange(1, names)}{number}.JPEG"
        members.append(tars.file(name, rng.randbytes(size)))
    return members


def photographs(number: int, size: int, form: int = tarfile.GNU_FORMAT, seed: int = 4) -> bytes:
    """An archive of images of about that size."""
    rng = random.Random(seed)  # noqa: S311 - a test
    noise = rng.randbytes(2 * size)
    sizes = [rng.randrange(size // 2, 2 * size) for _ in range(number)]
    return tars.tar([tars.file(f"n1/{index}.JPEG", noise[:size]) for index, size in enumerate(sizes)], form)


def read_whole(folder: Path, data: bytes, least: int) -> list[Unit]:
    """The units as one machine finds them."""
    path = folder / NAME
    path.write_bytes(data)
    return [loaded.unit for loaded in read_units(path, SPLIT, str, lambda _: None, least)]


def member_ends(data: bytes) -> set[int]:
    """Where units may end: between members, and at the end of the archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.offset for member in tar} - {0} | {len(data)}


def tiles(units: list[Unit], size: int) -> bool:
    ends = [0] + [unit.end for unit in units]
    return (
        [unit.offset for unit in units] == ends[:-1]
        and [unit.index for unit in units] == list(range(len(units)))
        and all(unit.size > 0 for unit in units)
        and ends[-1] == size
    )
