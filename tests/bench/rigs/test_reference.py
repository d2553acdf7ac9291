"""The reference that fidelity is measured against, by cases whose answer is known."""

import cv2
import numpy as np
import pytest

from bench.rigs.reference import area_average, encoder_planes, psnr, rgb_of


def picture(height: int, width: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_whole_blocks_are_averaged() -> None:
    pixels = picture(12, 20)
    expected = pixels.reshape(3, 4, 5, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(area_average(pixels, 5, 3), expected, rtol=1e-5)


def test_parts_of_pixels_count_by_their_area() -> None:
    line = np.array([[[10], [20], [60]]], np.uint8)
    # Two parts of a pixel and a half each.
    np.testing.assert_allclose(area_average(line, 2, 1)[0, :, 0], [(10 + 10) / 1.5, (10 + 60) / 1.5])


def test_it_agrees_with_opencv_within_its_rounding() -> None:
    pixels = picture(375, 500)
    ours = area_average(pixels, 341, 256)
    assert np.abs(ours - cv2.resize(pixels, (341, 256), interpolation=cv2.INTER_AREA)).max() < 1


def test_the_mean_is_kept() -> None:
    pixels = picture(97, 131)
    assert area_average(pixels, 17, 11).mean() == pytest.approx(pixels.mean(), rel=1e-5)


def test_planes_of_a_plain_colour_come_back() -> None:
    pixels = np.full((5, 7, 3), (200, 40, 90), np.uint8)
    luma, blue, red = encoder_planes(pixels)
    assert luma.shape == (5, 7)
    assert blue.shape == red.shape == (3, 4)
    rounded = [plane.round().astype(np.uint8) for plane in (luma, blue, red)]
    assert np.abs(rgb_of(rounded) - pixels).max() < 2


def test_psnr_of_a_known_error() -> None:
    flat = np.zeros((8, 8), np.float32)
    assert psnr([flat + 1], [flat]) == pytest.approx(48.13, abs=0.01)
    assert psnr([flat], [flat]) == 99
    # Over all samples: a small plane that is off weighs as little as it is large.
    assert psnr([flat, flat[:4, :4] + 1], [flat, flat[:4, :4]]) == pytest.approx(48.13 + 6.99, abs=0.01)
