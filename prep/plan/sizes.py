"""How many bytes a data set has in each form, estimated from its description and from measured shares."""

from dataclasses import dataclass
from typing import Final

from prep.archives.units import block_bytes, unit_bytes
from prep.aws.multipart import CONNECTIONS, PART_BYTES
from prep.datasets.description import Description, Split
from prep.errors import DescriptionError

# For ImageNet: 154.64 GB of archives give about 140 GB at 480/95, where most images stay as they are, and
# about 35 GB at 256/90, 26 KB an image (README).
UNCHANGED_SHARE: Final = 140 / 154.64
SMALL_BYTES, SMALL_SIDE, SMALL_QUALITY = 35e9 / 1_331_167, 256, 90
# Most of ImageNet's images have 375 pixels on the short side: a larger `resize` leaves them unchanged.
USUAL_SIDE: Final = 375
# Bytes at a JPEG quality beside those at 90: 250 generated photographs at 256, measured on 2026-11-25.
BY_QUALITY: Final = (
    (1, 0.05), (50, 0.37), (60, 0.42), (70, 0.51), (75, 0.56), (80, 0.65), (85, 0.78), (90, 1.0), (93, 1.23),
    (95, 1.51), (97, 1.92), (98, 2.19), (100, 2.96),
)  # fmt: skip
MEASURED: Final = ((480, 95), (256, 90))


@dataclass(frozen=True)
class Sizes:
    """Bytes of all archives, of the images as files, and of the packed files; counts of images and classes.

    unit: bytes of the largest unit
    archive_parts, packed_parts: requests that send them to S3
    measured: the packed size is ImageNet's, measured; else it is an estimate
    """

    archives: int
    loose: int
    packed: int
    images: int
    classes: int
    unit: int
    archive_parts: int
    packed_parts: int
    measured: bool


def encodes(resize: int) -> bool:
    """Whether nearly every image has to be decoded and encoded, if images are as ImageNet's."""
    return 0 < resize < USUAL_SIDE


def sizes(description: Description, resize: int, quality: int) -> Sizes:
    """The sizes of a data set at these settings.

    Raises:
        DescriptionError: the description gives no size for an archive of images.
    """
    for split in description.splits:
        if split.archive.bytes is None:
            raise DescriptionError(
                f"data set {description.name}: archive {split.archive.file} has no size: add `bytes` to it"
            )
    archives = sum(archive.bytes or 0 for archive in description.archives)
    splits = [split.archive.bytes or 0 for split in description.splits]
    images = sum(split.images for split in description.splits)
    packed = [packed_bytes(size, split.images, resize, quality) for size, split in _pairs(description)]
    return Sizes(
        archives=archives,
        loose=sum(splits),
        packed=sum(packed),
        images=images,
        classes=description.classes,
        unit=max(largest_unit(split, description.classes) for split in description.splits),
        archive_parts=sum(map(archive_parts, splits)),
        packed_parts=sum(map(packed_parts, packed)),
        measured=description.name == "ilsvrc2012" and (resize, quality) in MEASURED,
    )


def _pairs(description: Description) -> list[tuple[int, Split]]:
    return [(split.archive.bytes or 0, split) for split in description.splits]


def packed_bytes(archive: int, images: int, resize: int, quality: int) -> int:
    """Bytes of the packed files of an archive of that many images."""
    unchanged = archive * UNCHANGED_SHARE
    if not encodes(resize):
        return round(unchanged)
    side = (resize / SMALL_SIDE) ** 2
    small = images * SMALL_BYTES * side * by_quality(quality) / by_quality(SMALL_QUALITY)
    return round(min(unchanged, small))


def by_quality(quality: int) -> float:
    """Bytes at a JPEG quality beside those at 90."""
    below, above = BY_QUALITY[0], BY_QUALITY[-1]
    for point in BY_QUALITY:
        if point[0] <= quality:
            below = point
    for point in reversed(BY_QUALITY):
        if point[0] >= quality:
            above = point
    if above[0] == below[0]:
        return below[1]
    return below[1] + (above[1] - below[1]) * (quality - below[0]) / (above[0] - below[0])


def largest_unit(split: Split, classes: int) -> int:
    """About the bytes of the largest unit: in a nested archive, of the archive of a class."""
    archive = split.archive.bytes or 0
    member = archive // classes if split.layout == "nested" else 0
    return min(archive, max(member, unit_bytes(archive)))


def archive_parts(archive: int) -> int:
    """Requests that upload an archive: a unit is cut as prep.aws.multipart cuts it."""
    return _requests(archive, unit_bytes(archive))


def packed_parts(packed: int) -> int:
    """Requests that upload a packed file."""
    return _requests(packed, block_bytes(packed))


def _requests(total: int, block: int) -> int:
    pieces = max(1, min(CONNECTIONS, block // PART_BYTES))
    return -(-total // block) * pieces + 2  # to begin and to complete
