"""Backgrounds of the sample's scenes: sky, water, wood, savanna, coast, wall, street, meadow, leaf, pitch."""

from collections.abc import Callable

import cv2
import numpy as np

from rehearsal.sample.canvas import Colour, Floats, as_floats, spread, texture

Background = Callable[[np.random.Generator, int, int], Floats]


def _ramp(height: int, width: int, top: Colour, bottom: Colour) -> Floats:
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    ramp = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share
    return as_floats(cv2.repeat(as_floats(ramp), 1, width)).reshape(height, width, 3)


def _paint(picture: Floats, pattern: Floats, colour: Colour) -> Floats:
    planes = cv2.merge([pattern * np.float32(part) for part in colour])
    return picture + as_floats(planes)


def _over(upper: Floats, lower: Floats, edge: Floats) -> Floats:
    """`lower` from the row `edge` (one for each column) on down, `upper` above, softly joined."""
    rows = np.arange(upper.shape[0], dtype=np.float32)[:, None]
    softness = max(1.0, upper.shape[0] / 150)
    share = np.clip((rows - edge[None, :]) / softness + 0.5, 0, 1)
    share = spread(as_floats(share))
    return as_floats(upper * (1 - share) + lower * share)


def _edge(rng: np.random.Generator, height: int, width: int, level: float, roughness: float) -> Floats:
    line = texture(rng, 2, width, 1.1, (1.0, 1.0))[0]
    return as_floats(height * (level + roughness * line))


def _blur(picture: Floats, share: float) -> Floats:
    """Out of focus: a blur of `share` of the picture's height."""
    height, width = picture.shape[:2]
    # At a quarter of the size: what is out of focus has no detail to lose, and the blur is the slowest step.
    small = cv2.resize(picture, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.5, height * share / 4))
    return as_floats(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)).reshape(picture.shape)


def sky(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Blue with clouds."""
    blue = rng.uniform(0.8, 1.1)
    picture = _ramp(height, width, (60 * blue, 120 * blue, 200 * blue), (165, 200, 228))
    cover = np.clip(texture(rng, height, width, 1.9, (1.3, 0.9)) * 0.6 - rng.uniform(-0.1, 0.5), 0, 1)
    return picture * spread(as_floats(1 - cover)) + spread(as_floats(240 * cover))


def water(rng: np.random.Generator, height: int, width: int) -> Floats:
    """An aquarium: light from above, plants out of focus, gravel."""
    green = rng.uniform(0.8, 1.2)
    picture = _ramp(height, width, (40, 140 * green, 160), (8, 60 * green, 85))
    plants = np.clip(texture(rng, height, width, 1.1, (0.7, 4.0)) - 0.6, 0, 2)
    picture = _blur(_paint(picture, plants, (5, 35, -25)), 0.008)
    gravel = _paint(
        _ramp(height, width, (130, 115, 90), (95, 80, 60)), texture(rng, height, width, 0.4), (26, 24, 20)
    )
    picture = _over(picture, gravel, _edge(rng, height, width, rng.uniform(0.85, 0.95), 0.012))
    return _paint(picture, texture(rng, height, width, 1.5, (2.5, 0.8)), (4, 8, 8))


def wood(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A table top: grain along the boards, and the joints between them."""
    tone = rng.uniform(0.55, 1.05)
    picture = _ramp(height, width, (150 * tone, 108 * tone, 70 * tone), (190 * tone, 140 * tone, 92 * tone))
    picture = _paint(picture, texture(rng, height, width, 1.1, (9.0, 0.6)), (17, 14, 10))
    picture = _paint(picture, texture(rng, height, width, 0.8, (4.0, 1.0)), (6, 5, 4))
    board = max(8, round(height * rng.uniform(0.22, 0.4)))
    joints = np.arange(int(rng.integers(0, board)), height, board)
    picture[joints] *= 0.55
    return picture


def savanna(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Dry grass under a pale sky, bushes at the horizon."""
    air = _ramp(height, width, (150, 185, 215), (215, 215, 200))
    bush = _paint(
        _ramp(height, width, (95, 105, 60), (80, 85, 50)), texture(rng, height, width, 0.8), (22, 22, 14)
    )
    grass = _ramp(height, width, (190, 165, 100), (150, 122, 66))
    grass = _paint(grass, texture(rng, height, width, 0.8, (0.8, 2.5)), (26, 23, 14))
    level = rng.uniform(0.3, 0.5)
    picture = _over(air, bush, _edge(rng, height, width, level - 0.09, 0.03))
    return _over(_blur(picture, 0.006), grass, _edge(rng, height, width, level, 0.006))


def coast(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Sky, sea with waves, a grassy headland."""
    level = rng.uniform(0.55, 0.68)
    sea = _ramp(height, width, (95, 140, 165), (25, 70, 105))
    sea = _paint(sea, texture(rng, height, width, 1.1, (4.0, 0.7)), (14, 15, 14))
    land = _paint(
        _ramp(height, width, (120, 130, 70), (70, 82, 42)), texture(rng, height, width, 0.8), (24, 24, 16)
    )
    picture = _over(sky(rng, height, width), sea, np.full(width, height * level, np.float32))
    return _over(picture, land, _edge(rng, height, width, level + 0.17, 0.03))


def wall(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Plaster in a pale colour, lit from one side."""
    tone = rng.uniform(0.75, 1.0)
    red, green, blue = (float(part) for part in rng.uniform(165, 225, 3) * tone)
    picture = _ramp(height, width, (red, green, blue), (red * 0.8, green * 0.8, blue * 0.8))
    picture *= np.linspace(1.08, 0.85, width, dtype=np.float32)[None, :, None]
    return _paint(picture, texture(rng, height, width, 0.8), (7, 7, 7))


def street(rng: np.random.Generator, height: int, width: int) -> Floats:
    """House fronts out of focus and a wet pavement."""
    picture = _ramp(height, width, (150, 155, 162), (120, 122, 128))
    left = 0
    while left < width:
        right = left + max(4, int(width * rng.uniform(0.1, 0.3)))
        top = int(height * rng.uniform(0.0, 0.3))
        tone = rng.uniform(60, 150)
        picture[top:, left:right] = (tone * 1.05, tone, tone * 0.92)
        step = max(4, round(height * 0.09))
        for row in range(top + step // 2, height, step):
            picture[row : row + step // 2, left + 2 : right : max(3, step // 2)] *= 0.6
        left = right
    ground = _ramp(height, width, (105, 108, 112), (60, 62, 66))
    ground = _paint(ground, texture(rng, height, width, 1.1, (2.0, 1.0)), (15, 15, 16))
    picture = _blur(picture, 0.014)
    return _over(picture, ground, np.full(width, height * rng.uniform(0.72, 0.85), np.float32))


def meadow(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Grass close by: blades in front, depth out of focus behind."""
    tone = rng.uniform(0.8, 1.2)
    picture = _ramp(height, width, (72 * tone, 118 * tone, 48), (38 * tone, 78 * tone, 26))
    picture = _blur(_paint(picture, texture(rng, height, width, 1.1, (0.9, 1.5)), (26, 30, 14)), 0.012)
    return _paint(picture, texture(rng, height, width, 0.8, (0.7, 3.0)), (14, 18, 8))


def leaf(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A leaf from near: a midrib and its veins."""
    tone = rng.uniform(0.8, 1.2)
    picture = _ramp(height, width, (88 * tone, 146 * tone, 50), (60 * tone, 112 * tone, 38))
    picture = _paint(picture, texture(rng, height, width, 1.1), (9, 12, 6))
    slope = rng.uniform(-0.5, 0.5)
    veins = np.zeros((height, width), np.float32)
    middle = height * rng.uniform(0.35, 0.65)
    thickness = max(1, height // 90)
    cv2.line(
        veins,
        (0, int(middle - slope * width / 2)),
        (width, int(middle + slope * width / 2)),
        (1.0,),
        thickness * 2,
    )
    for x in range(-width // 2, width, max(10, width // 9)):
        y = middle + slope * (x - width / 2)
        for side in (-1, 1):
            cv2.line(
                veins, (x, int(y)), (int(x + height * 0.8), int(y + side * height * 0.8)), (0.6,), thickness
            )
    return _paint(picture, as_floats(cv2.GaussianBlur(veins, (0, 0), thickness)), (60, 62, 46))


def pitch(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A lawn mown in stripes, trees behind."""
    tone = rng.uniform(0.85, 1.15)
    lawn = _ramp(height, width, (86 * tone, 136 * tone, 62), (60 * tone, 112 * tone, 38))
    stripes = np.sign(
        np.sin(np.linspace(0, rng.uniform(10, 25), width, dtype=np.float32) + rng.uniform(0, 6))
    )
    lawn *= (1 + 0.06 * stripes)[None, :, None]
    lawn = _paint(lawn, texture(rng, height, width, 0.8, (0.8, 1.4)), (17, 21, 11))
    trees = _paint(
        _ramp(height, width, (40, 70, 36), (60, 86, 44)), texture(rng, height, width, 1.1), (20, 24, 14)
    )
    return _over(_blur(trees, 0.012), lawn, _edge(rng, height, width, rng.uniform(0.15, 0.35), 0.004))
