"""The crop that training takes: RGB, inside the picture, the same for the same random numbers."""

import cv2
import numpy as np
import pytest

from prep.images import crop
from prep.images.crop import chance, decode_rgb, random_box, random_crop
from prep.images.prepare import UnreadableImageError


def encoded(pixels: np.ndarray) -> bytes:  # type: ignore[type-arg]
    """A JPEG of RGB or grey pixels."""
    bgr = pixels if pixels.ndim == 2 else pixels[:, :, ::-1]
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return jpeg.tobytes()


RED = encoded(np.full((60, 90, 3), (200, 20, 30), np.uint8))


@pytest.mark.parametrize("library", [True, False])
def test_it_is_rgb(monkeypatch: pytest.MonkeyPatch, library: bool) -> None:
    if not library:
        monkeypatch.setattr(crop, "library", lambda: None)
    into = np.zeros((32, 32, 3), np.uint8)
    random_crop(RED, into, chance(1))
    assert np.abs(into.astype(int) - (200, 20, 30)).max() < 6
    assert decode_rgb(encoded(np.full((8, 9), 77, np.uint8))).shape == (8, 9, 3)


def test_boxes_are_inside_and_of_many_sizes() -> None:
    rng = chance(2)
    boxes = [random_box(500, 375, rng) for _ in range(500)]
    assert all(
        left >= 0 and top >= 0 and left + across <= 500 and top + down <= 375
        for left, top, across, down in boxes
    )
    areas = [across * down / (500 * 375) for _, _, across, down in boxes]
    assert min(areas) == pytest.approx(0.08, abs=0.03)
    assert max(areas) > 0.9
    assert random_box(1, 1000, rng) == (0, 0, 1, 1000)  # no part has the aspect ratio


def test_the_same_numbers_give_the_same_crop() -> None:
    noise = encoded(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8))
    crops = []
    for seed in (5, 5, 6):
        into = np.empty((16, 16, 3), np.uint8)
        random_crop(noise, into, chance(seed))
        crops.append(into)
    assert (crops[0] == crops[1]).all()
    assert (crops[0] != crops[2]).any()


def test_a_damaged_picture_is_decoded_as_far_as_it_goes() -> None:
    noise = bytearray(encoded(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)))
    noise[len(noise) // 2 : len(noise) // 2 + 40] = bytes(40)
    assert decode_rgb(bytes(noise)).shape == (80, 80, 3)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UnreadableImageError, match="can't be decoded"):
        decode_rgb(b"no picture")
