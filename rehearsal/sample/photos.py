"""A photograph of a scene: placed, lit, with a camera's noise and vignette."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from rehearsal.sample.canvas import Canvas, Floats, Light, Pixels, as_floats, composite, spread, texture
from rehearsal.sample.scenes import Scene

# Drawn no larger than this and enlarged: a camera's large pictures are soft at the level of the pixel too.
_LARGEST_DRAWN: Final = 800


@dataclass(frozen=True)
class Photo:
    """RGB pixels, and the object's box (left, top, right, bottom in pixels, right and bottom excluded)."""

    pixels: Pixels
    box: tuple[int, int, int, int]


def take(scene: Scene, rng: np.random.Generator, width: int, height: int, variety: int = 1) -> Photo:
    """A picture of `scene`, `width` by `height` pixels.

    `variety` above 1 turns the hues and writes the number: classes beyond the drawn ones stay distinct.
    """
    factor = max(1.0, max(width, height) / _LARGEST_DRAWN)
    drawn_width, drawn_height = max(1, round(width / factor)), max(1, round(height / factor))
    canvas = _place(scene, rng, drawn_width, drawn_height)
    scene.draw(canvas, rng)
    side = rng.choice((-1.0, 1.0))
    light = Light(side * 0.64, -0.77, scene.shadow)
    picture = composite(scene.background(rng, drawn_height, drawn_width), canvas, light, rng)
    if (drawn_width, drawn_height) != (width, height):
        picture = as_floats(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC))
    pixels = _expose(picture, rng)
    if variety > 1:
        pixels = _mark(pixels, variety)
    left, top, box_width, box_height = cv2.boundingRect(canvas.coverage)
    if not box_width or not box_height:
        left, top, box_width, box_height = 0, 0, drawn_width, drawn_height
    corners = (left * factor, top * factor, (left + box_width) * factor, (top + box_height) * factor)
    x0, y0, x1, y1 = (round(corner) for corner in corners)
    return Photo(pixels, (x0, y0, min(width, max(x1, x0 + 1)), min(height, max(y1, y0 + 1))))


def _place(scene: Scene, rng: np.random.Generator, width: int, height: int) -> Canvas:
    reach = min(width, height) / 2
    scale = max(0.5, reach * rng.uniform(0.62, 0.88))
    room_x, room_y = max(0.0, width / 2 - scale * 0.95), max(0.0, height / 2 - scale * 0.95)
    # Near the middle, as photographers do; so a centre crop shows it.
    centre = (width / 2 + rng.uniform(-1, 1) * room_x * 0.45, height / 2 + rng.uniform(-1, 1) * room_y * 0.7)
    return Canvas(height, width, centre, scale, rng.uniform(-scene.tilt, scene.tilt))


def _expose(picture: Floats, rng: np.random.Generator) -> Pixels:
    """White balance, exposure, vignette, a lens's slight blur, and noise."""
    height, width = picture.shape[:2]
    picture = as_floats(cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.5, 0.8)))
    gain = rng.uniform(0.8, 1.15) * rng.uniform(0.95, 1.05, 3)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    dimming = 1 - np.float32(rng.uniform(0.05, 0.18)) * (across**2 + down**2)
    picture *= as_floats(cv2.merge([dimming * np.float32(part) for part in gain]))
    picture += spread(texture(rng, height, width, 0.4) * np.float32(rng.uniform(2.0, 9.0)))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _mark(pixels: Pixels, variety: int) -> Pixels:
    height, width = pixels.shape[:2]
    colours = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    # The golden angle: any number of varieties, no two hues the same (OpenCV's hues run from 0 to 179).
    colours[..., 0] = (colours[..., 0].astype(np.int32) + round((variety - 1) * 68.75)) % 180
    turned = cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)
    size = min(height, width) / 160
    place = (round(width * 0.05), round(height * 0.95))
    for thickness, colour in ((5, (0, 0, 0)), (2, (255, 255, 255))):
        strength = max(1, round(thickness * size))
        cv2.putText(
            turned, str(variety), place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, strength, cv2.LINE_AA
        )
    return np.asarray(turned, dtype=np.uint8)
