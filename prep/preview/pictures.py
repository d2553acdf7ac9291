"""Thumbnails of packed images: which are shown, and how they are made."""

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar, cast

import cv2
import numpy as np

from prep.errors import IntegrityError
from prep.images.jpeg import JpegError, inspect
from prep.images.messages import messages_kept
from prep.images.resize import Pixels, shrink
from prep.preview.survey import Place, Survey
from prep.progress import Progress

# A thumbnail of a photograph takes about 4 KB at 96 pixels, 8 KB at 144; the page holds all of them, a third
# larger in base64. So 2,400 are about 13 MB, at most.
BUDGET: Final = 2400  # thumbnails of classes
MOST_OF_A_CLASS: Final = 6  # in each split
FEW: Final = 400  # thumbnails: so many may be larger
SIDE, SIDE_OF_MANY = 144, 96  # pixels of a square thumbnail
LONG_SIDE: Final = 240  # pixels of the picture of an image that needed care
QUALITY: Final = 80
REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}

T = TypeVar("T")


class Thumbnail(NamedTuple):
    """A JPEG; width and height in pixels of the packed image, and the bytes of the packed file."""

    jpeg: bytes
    width: int
    height: int
    bytes: int


def of_a_class(classes: int, splits: int) -> int:
    """How many images of a class are shown in each split."""
    return max(1, min(MOST_OF_A_CLASS, BUDGET // max(1, classes * splits)))


def side_of(thumbnails: int) -> int:
    """Side in pixels of each of so many square thumbnails."""
    return SIDE if thumbnails <= FEW else SIDE_OF_MANY


def made_of(
    found: Survey,
    places: Iterable[Place],
    make: Callable[[bytes, Place], T],
    task: str,
    progress: Progress,
    threads: int | None = None,
) -> dict[Place, T]:
    """What `make` makes of the packed image at each place; uses all cores, and holds one image for each.

    Raises:
        IntegrityError: a record is damaged, or its image can't be decoded.
    """
    wanted = sorted(set(places))  # in the order of the files
    sizes = {split: records.stored_bytes() for split, records in found.records.items()}
    progress.add(task, sum(int(sizes[place.split][place.number]) for place in wanted))

    def one(place: Place) -> T:
        made = make(found.records[place.split][place.number].image, place)
        progress.advance(task, int(sizes[place.split][place.number]))
        return made

    cv2.setNumThreads(1)  # the pool has a thread for each core
    with messages_kept(), ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), task) as pool:
        return dict(zip(wanted, pool.map(one, wanted), strict=True))


def square(image: bytes, place: Place, side: int) -> Pixels:
    """The middle of the picture, (side, side, 3) BGR; less if the picture is smaller: nothing is enlarged."""
    pixels = _decoded(image, place, side)
    height, width = pixels.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return shrink(pixels[top : top + edge, left : left + edge], (min(side, edge), min(side, edge)))


def cropped(image: bytes, place: Place, side: int) -> Thumbnail:
    """The middle of the picture as a JPEG, `side` pixels wide and high at most."""
    return _thumbnail(image, square(image, place, side))


def whole(image: bytes, place: Place) -> Thumbnail:
    """The whole picture as a JPEG, whose long side is at most LONG_SIDE pixels."""
    # The short side may be far shorter than the long one: it decides how much can be left out in decoding.
    facts = _inspect(image, place)
    scale = min(1.0, LONG_SIDE / max(facts))
    size = (max(1, round(facts[0] * scale)), max(1, round(facts[1] * scale)))
    return _thumbnail(image, shrink(_decoded(image, place, min(size)), size))


def _thumbnail(image: bytes, pixels: Pixels) -> Thumbnail:
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    facts = inspect(memoryview(image))
    return Thumbnail(jpeg.tobytes(), facts.width, facts.height, len(image))


def _inspect(image: bytes, place: Place) -> tuple[int, int]:
    try:
        facts = inspect(memoryview(image))
    except JpegError as error:
        raise _undecodable(place, str(error)) from error
    return facts.width, facts.height


def _decoded(image: bytes, place: Place, least: int) -> Pixels:
    """The pixels, BGR, of a picture whose short side keeps at least `least` pixels, if it has as many.

    JPEG decodes to a half, a quarter or an eighth in much less time.
    """
    short = min(_inspect(image, place))
    factor = next((factor for factor in REDUCED if math.ceil(short / factor) >= least), 1)
    flags = REDUCED.get(factor, cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), flags)
    if pixels is None:
        raise _undecodable(place, "OpenCV can't decode it")
    return cast(Pixels, pixels)


def _undecodable(place: Place, why: str) -> IntegrityError:
    return IntegrityError(f"split {place.split}: image {place.name}: {why}: run verify")
