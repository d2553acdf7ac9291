"""A packed JPEG as training takes it: decoded to RGB, a random part of it resized to a square.

The part has 8 to 100 % of the area and an aspect ratio of 3:4 to 4:3, as ResNet-50 is trained
(https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomResizedCrop.html).
"""

import math
import random
from typing import cast

import cv2
import numpy as np
from turbojpeg import TJPF_RGB

from prep.images.prepare import UnreadableImageError
from prep.images.resize import Pixels
from prep.images.yuv import library

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
ATTEMPTS = 10  # then the whole picture is taken

Box = tuple[int, int, int, int]


def chance(seed: int) -> random.Random:
    """Random numbers for crops, always the same for a seed."""
    return random.Random(seed)  # noqa: S311 - crops, not secrets


def decode_rgb(data: bytes | memoryview) -> Pixels:
    """The pixels of a JPEG, (height, width, 3) RGB, uint8.

    Raises:
        UnreadableImageError: it can't be decoded.
    """
    turbo = library()
    if turbo is not None:
        try:
            return cast(Pixels, turbo.decode(data, pixel_format=TJPF_RGB))
        except (OSError, UserWarning):
            pass  # damaged: OpenCV decodes what is there
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise UnreadableImageError("can't be decoded")
    return cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels))


def random_box(width: int, height: int, rng: random.Random) -> Box:
    """Left, top, width and height of a random part of a picture."""
    low, high = math.log(ASPECT[0]), math.log(ASPECT[1])
    for _ in range(ATTEMPTS):
        area = width * height * rng.uniform(*AREA)
        aspect = math.exp(rng.uniform(low, high))
        across, down = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < across <= width and 0 < down <= height:
            return rng.randint(0, width - across), rng.randint(0, height - down), across, down
    return 0, 0, width, height


def random_crop(data: bytes | memoryview, into: Pixels, rng: random.Random) -> None:
    """Decode a JPEG and write a random part of it into `into`, (size, size, 3) RGB, uint8.

    Raises:
        UnreadableImageError: it can't be decoded.
    """
    pixels = decode_rgb(data)
    left, top, across, down = random_box(pixels.shape[1], pixels.shape[0], rng)
    size = (into.shape[1], into.shape[0])
    cv2.resize(pixels[top : top + down, left : left + across], size, dst=into)
