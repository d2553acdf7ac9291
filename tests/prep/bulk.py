"""Data sets of many bytes and little work: small pictures made large with comments of random bytes."""

import random
import struct
from pathlib import Path

from tests.prep.pictures import jpeg
from tests.prep.small_sets import Images, write_folders

COMMENT = 60_000  # bytes; a segment holds 65,533 at most


def bulky(size: int, seed: int) -> bytes:
    """A JPEG of about `size` bytes."""
    data, chance = jpeg(24, 16, seed), random.Random(seed)  # noqa: S311 - no secret
    comments = [
        struct.pack(">BBH", 0xFF, 0xFE, COMMENT + 2) + chance.randbytes(COMMENT)
        for _ in range(size // COMMENT)
    ]
    return data[:2] + b"".join(comments) + data[2:]


def bulk(folder: Path, images: int, size: int) -> Path:
    """Description of a data set of so many images of so many bytes each, in two classes and one split."""
    classes: Images = {
        name: {f"{number}.jpg": bulky(size, number) for number in range(first, images, 2)}
        for first, name in enumerate(("cat", "dog"))
    }
    return write_folders(folder, {"train": classes})
