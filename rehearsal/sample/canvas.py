"""Drawing for the sample's scenes: soft shapes, 1/f textures, light and shadow.

Colours are RGB, 0 to 255. A canvas is drawn in the object's own coordinates, about -1 to 1 on each axis
with y down; the canvas places, turns and scales them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Colour = tuple[float, float, float]
Points = NDArray[np.float64]

_SUBPIXEL_BITS: Final = 4  # OpenCV's fixed-point coordinates: sixteenths of a pixel
_TILE: Final = 1024  # side of a texture in pixels: larger than most images, so that crops rarely repeat


@lru_cache(maxsize=16)
def texture_tile(steepness: float) -> Floats:
    """A square tile of noise with the amplitude spectrum 1/f^steepness; mean 0, variance 1, edges that meet.

    Photographs have a steepness of about 1 (Field 1987); 0 is white noise, 2 looks like clouds.
    """
    rng = np.random.default_rng(round(steepness * 1000))
    spectrum = cv2.dft(rng.standard_normal((_TILE, _TILE), np.float32), flags=cv2.DFT_COMPLEX_OUTPUT)
    distance = as_floats(np.fft.fftfreq(_TILE, 1.0))
    frequency = np.hypot(distance[:, None], distance[None, :])
    frequency[0, 0] = 1.0
    spectrum = spectrum / (frequency**steepness)[..., None]
    spectrum[0, 0] = 0.0
    tile = as_floats(cv2.idft(spectrum, flags=cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE))
    return as_floats(tile / tile.std())


def texture(
    rng: np.random.Generator,
    height: int,
    width: int,
    steepness: float,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Floats:
    """A random window of a texture, `stretch` times as coarse along x and y."""
    source_width = max(2, min(_TILE, round(width / stretch[0])))
    source_height = max(2, min(_TILE, round(height / stretch[1])))
    top, left = rng.integers(0, _TILE - source_height + 1), rng.integers(0, _TILE - source_width + 1)
    window = texture_tile(steepness)[top : top + source_height, left : left + source_width]
    if window.shape == (height, width):
        return window
    return as_floats(cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR))


def as_floats(array: Any) -> Floats:
    """OpenCV's stubs forget the element type; this gives it back."""
    return np.asarray(array, dtype=np.float32)


def spread(plane: Floats) -> Floats:
    """One plane as three channels: OpenCV and NumPy work much faster on whole arrays than by broadcasting."""
    return as_floats(cv2.merge((plane, plane, plane))).reshape(*plane.shape, 3)


def smooth(points: Sequence[tuple[float, float]], rounds: int = 3) -> Points:
    """A closed polygon with its corners cut `rounds` times (Chaikin): an outline drawn by hand."""
    outline = np.asarray(points, dtype=np.float64)
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], axis=1)
        outline = outline.reshape(-1, 2)
    return outline


def oval(
    x: float, y: float, rx: float, ry: float, degrees: float = 0.0, start: float = 0, end: float = 360
) -> Points:
    """The outline of an ellipse, or of a part of it, turned by `degrees`."""
    angle = np.radians(np.linspace(start, end, 49))
    turn = np.radians(degrees)
    along, across = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack(
        [x + along * np.cos(turn) - across * np.sin(turn), y + along * np.sin(turn) + across * np.cos(turn)],
        axis=1,
    )


class Canvas:
    """A transparent layer on which an object is drawn; its colours are premultiplied by its coverage."""

    def __init__(
        self, height: int, width: int, centre: tuple[float, float], scale: float, degrees: float
    ) -> None:
        """`centre` and `scale` (pixels for a unit) place the object, `degrees` turn it."""
        self.layer: Pixels = np.zeros((height, width, 3), np.uint8)
        self.coverage: Pixels = np.zeros((height, width), np.uint8)
        self.scale = scale
        turn = np.radians(degrees)
        self._turn = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        self._centre = np.asarray(centre)

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a polygon."""
        fixed = self._fixed(points)
        cv2.fillPoly(self.layer, [fixed], colour, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.fillPoly(self.coverage, [fixed], (255,), cv2.LINE_AA, _SUBPIXEL_BITS)

    def polygon_within(self, outlines: Iterable[Points], colour: Colour, within: Pixels) -> None:
        """Fill polygons, but only where `within` (a copy of the coverage) is."""
        area: Pixels = np.zeros_like(self.coverage)
        for points in outlines:
            cv2.fillPoly(area, [self._fixed(points)], (255,), cv2.LINE_AA, _SUBPIXEL_BITS)
        left, top, width, height = cv2.boundingRect(area)
        if not width or not height:
            return
        box = (slice(top, top + height), slice(left, left + width))
        share = spread(np.minimum(area[box], within[box]).astype(np.float32) / 255)
        painted = self.layer[box] * (1 - share) + np.asarray(colour, np.float32) * share
        self.layer[box] = painted.astype(np.uint8)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, degrees: float = 0.0) -> None:
        """Fill an ellipse."""
        self.polygon(oval(x, y, rx, ry, degrees), colour)

    def stroke(self, points: Sequence[tuple[float, float]] | Points, width: float, colour: Colour) -> None:
        """Draw a line through the points, `width` units thick."""
        fixed = self._fixed(np.asarray(points, dtype=np.float64))
        pixels = max(1, round(width * self.scale))
        cv2.polylines(self.layer, [fixed], False, colour, pixels, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.polylines(self.coverage, [fixed], False, (255,), pixels, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        placed = points @ self._turn.T + self._centre
        return np.asarray(np.rint(placed * (1 << _SUBPIXEL_BITS)), dtype=np.int32)


@dataclass(frozen=True)
class Light:
    """Where the light comes from (a unit vector, y down) and how deep its shadow is (0 to 1)."""

    x: float
    y: float
    shadow: float


def composite(background: Floats, canvas: Canvas, light: Light, rng: np.random.Generator) -> Floats:
    """The object, rounded by the light and with a skin of its own, over a background that it shades."""
    height, width = canvas.coverage.shape
    small = (max(1, width // 4), max(1, height // 4))
    thumb = as_floats(cv2.resize(canvas.coverage, small, interpolation=cv2.INTER_AREA)) / 255
    relief = as_floats(cv2.GaussianBlur(thumb, (0, 0), max(0.8, canvas.scale * 0.05)))
    slope_x = as_floats(cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3))
    slope_y = as_floats(cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3))
    # The slope at an edge falls as the blur grows; multiplying by it keeps the relief alike at any size.
    shade = -(slope_x * light.x + slope_y * light.y) * (canvas.scale * 0.05)
    shade = as_floats(cv2.resize(0.38 * np.tanh(shade / 0.38), (width, height)))
    shade = 1 + shade + 0.07 * texture(rng, height, width, 1.1)
    if light.shadow:
        fallen = as_floats(cv2.GaussianBlur(thumb, (0, 0), max(0.8, canvas.scale * 0.04)))
        shift = as_floats([[1, 0, -light.x * canvas.scale * 0.05], [0, 1, canvas.scale * 0.05]])
        fallen = as_floats(cv2.warpAffine(fallen, shift, small))
        fallen = as_floats(cv2.resize(fallen, (width, height)))
        background = background * spread(1 - light.shadow * fallen)
    bare = spread(1 - canvas.coverage.astype(np.float32) / 255)
    return background * bare + canvas.layer * spread(shade)
