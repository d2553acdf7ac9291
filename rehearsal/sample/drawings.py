"""Drawings of the sample's classes, each in the object's own coordinates (see canvas)."""

from typing import Final

import numpy as np

from rehearsal.sample.canvas import Canvas, Colour, oval, smooth

_BLACK: Final[Colour] = (22, 22, 24)
_WHITE: Final[Colour] = (236, 234, 228)


def _vary(rng: np.random.Generator, colour: Colour, amount: float = 18) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + rng.uniform(-amount, amount, 3), 0, 255)
    return float(red), float(green), float(blue)


def _bright(rng: np.random.Generator) -> Colour:
    palette: tuple[Colour, ...] = (
        (200, 40, 45), (35, 85, 180), (225, 170, 40), (40, 140, 85), (130, 60, 150), (225, 110, 40),
    )  # fmt: skip
    return _vary(rng, palette[int(rng.integers(len(palette)))], 15)


def goldfish(canvas: Canvas, rng: np.random.Generator) -> None:
    """Seen from the side; a forked tail, fins, scales."""
    orange = _vary(rng, (240, 130, 30), 22)
    pale = (min(255.0, orange[0] + 10), min(255.0, orange[1] + 65), orange[2] + 60)
    canvas.polygon(
        smooth(
            [(0.4, 0), (0.75, -0.45), (1.1, -0.5), (0.9, -0.05), (1.1, 0.48), (0.75, 0.42), (0.4, 0.1)], 2
        ),
        pale,
    )
    canvas.polygon(smooth([(-0.35, -0.25), (-0.1, -0.68), (0.35, -0.55), (0.4, -0.2)]), pale)
    canvas.polygon(smooth([(-0.1, 0.25), (0.05, 0.62), (0.3, 0.5), (0.25, 0.2)]), pale)
    canvas.polygon(
        smooth([(-0.95, 0.05), (-0.7, -0.3), (-0.1, -0.45), (0.5, -0.2), (0.62, 0.02), (0.45, 0.22),
                (-0.1, 0.42), (-0.7, 0.3)]), orange)  # fmt: skip
    body = canvas.coverage.copy()
    canvas.polygon_within([oval(-0.15, 0.3, 0.6, 0.2)], pale, body)
    for column in range(5):
        for row in range(-2, 3):
            arc = oval(-0.25 + column * 0.15, row * 0.12 + 0.06 * (column % 2), 0.07, 0.08, 0, -80, 80)
            canvas.stroke(arc, 0.012, (orange[0] * 0.8, orange[1] * 0.72, orange[2] * 0.7))
    canvas.polygon(smooth([(-0.3, 0.05), (0.02, 0.1), (0.08, 0.3), (-0.12, 0.28)], 2), pale)
    canvas.stroke(
        oval(-0.52, 0, 0.12, 0.28, 0, -70, 70), 0.02, (orange[0] * 0.75, orange[1] * 0.65, orange[2])
    )
    canvas.ellipse(-0.7, -0.08, 0.075, 0.075, _WHITE)
    canvas.ellipse(-0.71, -0.08, 0.045, 0.045, _BLACK)


def lemon(canvas: Canvas, rng: np.random.Generator) -> None:
    """A whole lemon and a cut half."""
    yellow = _vary(rng, (236, 204, 48), 14)
    dark = (yellow[0] * 0.88, yellow[1] * 0.84, yellow[2] * 0.6)
    canvas.polygon(
        smooth([(-0.98, -0.2), (-0.78, -0.36), (-0.4, -0.66), (0.1, -0.66), (0.42, -0.36), (0.62, -0.2),
                (0.42, -0.02), (0.1, 0.24), (-0.4, 0.24), (-0.78, -0.04)], 3), yellow)  # fmt: skip
    for _ in range(70):
        angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        canvas.ellipse(
            -0.18 + 0.52 * reach * np.cos(angle), -0.2 + 0.36 * reach * np.sin(angle), 0.012, 0.012, dark
        )
    x, y, radius = 0.5, 0.42, 0.42
    canvas.ellipse(x, y, radius, radius, yellow)
    canvas.ellipse(x, y, radius * 0.9, radius * 0.9, (245, 240, 205))
    turn = rng.uniform(0, 40)
    for segment in range(9):
        middle = np.radians(turn + segment * 40)
        along = np.array([np.cos(middle), np.sin(middle)])
        across = np.array([-along[1], along[0]])
        start, end = 0.08 * radius * along, 0.8 * radius * along
        wedge = [
            start,
            end + across * radius * 0.22,
            end + along * radius * 0.03,
            end - across * radius * 0.22,
        ]
        canvas.polygon(np.add(wedge, (x, y)), _vary(rng, (240, 218, 92), 8))


def zebra(canvas: Canvas, rng: np.random.Generator) -> None:
    """Standing, seen from the side."""
    white = _vary(rng, (228, 222, 210), 8)
    for x, bend in ((-0.5, 0.02), (-0.36, -0.04), (0.42, 0.05), (0.56, -0.02)):
        canvas.polygon(
            np.array([(x - 0.09, 0.1), (x + 0.09, 0.1), (x + 0.045 + bend, 0.88), (x - 0.045 + bend, 0.88)]),
            white,
        )
    canvas.polygon(
        smooth([(-0.72, -0.25), (-0.3, -0.32), (0.2, -0.28), (0.62, -0.36), (0.76, -0.1), (0.66, 0.2),
                (0.2, 0.28), (-0.3, 0.28), (-0.64, 0.22)]), white)  # fmt: skip
    canvas.polygon(
        smooth([(-0.7, 0.05), (-0.44, -0.3), (-0.7, -0.82), (-0.95, -0.76), (-0.86, -0.3)], 2), white
    )
    canvas.polygon(
        smooth(
            [(-0.74, -0.9), (-0.9, -0.94), (-1.2, -0.62), (-1.26, -0.46), (-1.14, -0.4), (-0.8, -0.58)], 2
        ),
        white,
    )
    canvas.polygon(np.array([(-0.76, -0.86), (-0.7, -1.06), (-0.82, -0.92)]), white)
    skin = canvas.coverage.copy()
    stripes = []
    for x in np.arange(-0.66, 0.8, 0.115) + rng.uniform(-0.02, 0.02):
        lean = 0.12 * x
        stripes.append(
            np.array([(x - 0.03 - lean, -0.42), (x + 0.035 - lean, -0.42), (x + 0.02, 0.02),
                      (x + 0.03 + lean, 0.34), (x + lean, 0.34), (x - 0.035, 0.02)]))  # fmt: skip
    for y in np.arange(0.34, 0.86, 0.09):
        stripes.append(np.array([(-0.7, y), (0.7, y), (0.7, y + 0.04), (-0.7, y + 0.04)]))
    for step in np.arange(0.0, 0.75, 0.095):
        stripes.append(
            np.array([(-1.0, -0.06 - step), (-0.4, -0.28 - step), (-0.4, -0.23 - step), (-1.0, 0.0 - step)])
        )
    for step in np.arange(0.0, 0.3, 0.08):
        x = -0.86 - step
        stripes.append(
            np.array([(x, -1.0 + step), (x + 0.035, -1.0 + step), (x + 0.06, -0.4), (x + 0.02, -0.4)])
        )
    canvas.polygon_within(stripes, _BLACK, skin)
    canvas.ellipse(-1.19, -0.46, 0.085, 0.07, _BLACK, 40)
    canvas.ellipse(-0.93, -0.74, 0.03, 0.03, _BLACK)
    canvas.stroke([(-0.72, -0.94), (-0.56, -0.62), (-0.42, -0.32)], 0.09, _BLACK)
    canvas.stroke([(0.72, -0.24), (0.86, 0.05), (0.82, 0.4)], 0.04, _BLACK)


def lighthouse(canvas: Canvas, rng: np.random.Generator) -> None:
    """A banded tower on rocks, its lamp lit."""
    band = _vary(rng, (190, 45, 40) if rng.random() < 0.7 else (45, 70, 130), 12)
    rock = _vary(rng, (105, 98, 90), 12)
    canvas.polygon(
        smooth([(-0.8, 1.1), (-0.55, 0.75), (-0.2, 0.7), (0.3, 0.66), (0.6, 0.82), (0.85, 1.1)], 2), rock
    )
    canvas.polygon(np.array([(-0.3, 0.78), (0.3, 0.78), (0.18, -0.56), (-0.18, -0.56)]), _WHITE)
    tower = canvas.coverage.copy()
    for index in range(3):
        top = -0.36 + index * 0.4
        width = 0.22 + index * 0.035
        canvas.polygon_within(
            [np.array([(-width, top), (width, top), (width + 0.02, top + 0.2), (-width - 0.02, top + 0.2)])],
            band,
            tower,
        )
    canvas.polygon(np.array([(-0.28, -0.56), (0.28, -0.56), (0.25, -0.64), (-0.25, -0.64)]), _BLACK)
    canvas.polygon(np.array([(-0.15, -0.64), (0.15, -0.64), (0.15, -0.86), (-0.15, -0.86)]), (255, 236, 150))
    for x in (-0.15, -0.05, 0.05, 0.15):
        canvas.stroke([(x, -0.64), (x, -0.86)], 0.02, _BLACK)
    canvas.polygon(smooth([(-0.2, -0.85), (-0.14, -1.0), (0, -1.08), (0.14, -1.0), (0.2, -0.85)], 1), band)
    canvas.stroke([(0, -1.05), (0, -1.2)], 0.02, _BLACK)
    for y in (-0.1, 0.3):
        canvas.ellipse(0.02, y, 0.035, 0.06, _BLACK)
    canvas.polygon(np.array([(-0.07, 0.76), (0.07, 0.76), (0.07, 0.58), (-0.07, 0.58)]), (70, 50, 35))


def clock(canvas: Canvas, rng: np.random.Generator) -> None:
    """A wall clock at some hour."""
    canvas.ellipse(0, 0, 0.95, 0.95, _bright(rng) if rng.random() < 0.6 else (48, 44, 42))
    canvas.ellipse(0, 0, 0.83, 0.83, _vary(rng, (240, 236, 224), 10))
    for minute in range(60):
        angle = minute * np.pi / 30
        inner, width = (0.62, 0.05) if minute % 15 == 0 else (0.68, 0.03) if minute % 5 == 0 else (0.75, 0.01)
        canvas.stroke(
            [(inner * np.cos(angle), inner * np.sin(angle)), (0.78 * np.cos(angle), 0.78 * np.sin(angle))],
            width,
            _BLACK,
        )
    time = rng.uniform(0, 12)
    for turns, reach, width in ((time / 12, 0.42, 0.075), (time % 1, 0.66, 0.05)):
        angle = turns * 2 * np.pi - np.pi / 2
        tip = (reach * np.cos(angle), reach * np.sin(angle))
        canvas.stroke([(-0.18 * tip[0], -0.18 * tip[1]), tip], width, _BLACK)
    second = rng.uniform(0, 2 * np.pi)
    canvas.stroke([(0, 0), (0.7 * np.cos(second), 0.7 * np.sin(second))], 0.015, (190, 30, 30))
    canvas.ellipse(0, 0, 0.06, 0.06, (190, 30, 30))


def umbrella(canvas: Canvas, rng: np.random.Generator) -> None:
    """Open, in two colours, with a crook."""
    first = _bright(rng)
    second = first if rng.random() < 0.3 else _WHITE if rng.random() < 0.5 else _bright(rng)
    canvas.stroke([(0, -0.6), (0, 0.78)], 0.05, (90, 84, 80))
    canvas.stroke(oval(0.12, 0.78, 0.12, 0.14, 0, 0, 180), 0.06, (110, 70, 40))
    canvas.polygon(oval(0, 0.02, 0.98, 0.78, 0, 180, 360), first)
    dome = canvas.coverage.copy()
    edges = np.linspace(-0.98, 0.98, 7)
    for index in range(6):
        left, right = edges[index], edges[index + 1]
        side = oval(0, 0.02, abs(right), 0.78, 0, *((270, 360) if right > 0 else (270, 180)))
        other = oval(0, 0.02, abs(left), 0.78, 0, *((360, 270) if left > 0 else (180, 270)))
        colour = first if index % 2 else second
        tone = 1 - 0.07 * abs(index - 2)
        canvas.polygon_within(
            [np.concatenate([side, other])], (colour[0] * tone, colour[1] * tone, colour[2] * tone), dome
        )
        canvas.ellipse(
            (left + right) / 2, 0.03, (right - left) / 2, 0.075, (first[0] * 0.35, first[1] * 0.35, 40)
        )
    canvas.stroke([(0, 0), (0, 0.78)], 0.045, (90, 84, 80))
    canvas.stroke([(0, -0.74), (0, -0.88)], 0.04, _BLACK)


def daisy(canvas: Canvas, rng: np.random.Generator) -> None:
    """White petals around a yellow disc, on a stem."""
    canvas.stroke([(0, 0.1), (0.06, 0.7), (-0.02, 1.6)], 0.07, (78, 122, 50))
    count = int(rng.integers(15, 22))
    for ring, reach in ((0, 0.9), (1, 0.78)):
        for petal in range(count):
            angle = (petal + 0.5 * ring) * 360 / count + rng.uniform(-3, 3)
            along = np.radians(angle)
            middle = reach * 0.56
            tone = 205 + 22 * ring + rng.uniform(-8, 8)
            canvas.ellipse(
                middle * np.cos(along),
                middle * np.sin(along),
                reach * 0.42,
                0.085,
                (tone, tone, tone - 6),
                angle,
            )
    yellow = _vary(rng, (228, 176, 36), 12)
    canvas.ellipse(0, 0, 0.27, 0.26, yellow)
    for _ in range(60):
        angle, reach = rng.uniform(0, 2 * np.pi), 0.24 * np.sqrt(rng.uniform(0, 1))
        tone = rng.uniform(0.75, 1.08)
        canvas.ellipse(
            reach * np.cos(angle), reach * np.sin(angle), 0.02, 0.02, (yellow[0] * tone, yellow[1] * tone, 30)
        )


def traffic_light(canvas: Canvas, rng: np.random.Generator) -> None:
    """Three lamps in a housing on a pole, one of them lit."""
    housing = _vary(rng, (46, 48, 46) if rng.random() < 0.7 else (196, 160, 40), 8)
    canvas.stroke([(0, 0.7), (0, 2.2)], 0.14, (98, 100, 102))
    canvas.polygon(
        smooth(
            [
                (-0.4, -1.02),
                (0, -1.03),
                (0.4, -1.02),
                (0.42, 0),
                (0.4, 0.98),
                (0, 0.99),
                (-0.4, 0.98),
                (-0.42, 0),
            ],
            1,
        ),
        housing,
    )
    lit = int(rng.integers(3))
    lamps: tuple[Colour, ...] = ((255, 56, 44), (255, 196, 48), (64, 240, 140))
    for index, (red, green, blue) in enumerate(lamps):
        y = -0.66 + index * 0.64
        canvas.ellipse(0, y, 0.29, 0.29, _BLACK)
        if index == lit:
            canvas.ellipse(0, y, 0.26, 0.26, (red, green, blue))
            canvas.ellipse(0, y, 0.15, 0.15, (255, min(255, green + 80), min(255, blue + 80)))
        else:
            canvas.ellipse(0, y, 0.26, 0.26, (red * 0.26 + 8, green * 0.26 + 8, blue * 0.26 + 8))
        canvas.stroke(oval(0, y - 0.01, 0.3, 0.3, 0, 195, 345), 0.07, (30, 31, 30))


def ladybug(canvas: Canvas, rng: np.random.Generator) -> None:
    """From above: red wing cases with black spots."""
    for side in (-1, 1):
        for x, reach in ((-0.42, -0.2), (0.0, 0.0), (0.4, 0.2)):
            canvas.stroke(
                [(x, side * 0.4), (x + reach, side * 0.82), (x + reach - 0.1, side * 0.98)], 0.06, _BLACK
            )
        canvas.stroke([(-0.85, side * 0.14), (-1.1, side * 0.34)], 0.035, _BLACK)
    canvas.ellipse(-0.72, 0, 0.26, 0.32, _BLACK)
    for side in (-1, 1):
        canvas.ellipse(-0.8, side * 0.2, 0.08, 0.07, _WHITE)
    canvas.ellipse(0.08, 0, 0.8, 0.66, _vary(rng, (205, 38, 26), 18))
    canvas.stroke([(-0.7, 0), (0.88, 0)], 0.025, _BLACK)
    canvas.ellipse(-0.55, 0, 0.1, 0.1, _BLACK)
    size = rng.uniform(0.1, 0.15)
    for side in (-1, 1):
        for x, y in ((-0.28, 0.34), (0.1, 0.22), (0.26, 0.5), (0.58, 0.26))[: int(rng.integers(3, 5))]:
            canvas.ellipse(x, side * y, size, size, _BLACK)


def soccer_ball(canvas: Canvas, rng: np.random.Generator) -> None:
    """Black pentagons on white, with seams."""
    canvas.ellipse(0, 0, 0.92, 0.92, _vary(rng, (232, 232, 228), 8))
    ball = canvas.coverage.copy()
    turn = rng.uniform(0, 2 * np.pi)
    corners = turn + np.arange(5) * 2 * np.pi / 5
    canvas.polygon_within([0.3 * np.stack([np.cos(corners), np.sin(corners)], axis=1)], _BLACK, ball)
    for corner in corners:
        out = np.array([np.cos(corner), np.sin(corner)])
        side = np.array([-out[1], out[0]])
        canvas.stroke(np.array([0.3 * out, 0.54 * out]), 0.022, (110, 110, 110))
        for hand in (-1, 1):
            joint = 0.54 * out + hand * side * 0.0
            canvas.stroke(np.array([joint, 0.64 * out + hand * side * 0.26]), 0.022, (110, 110, 110))
        between = np.array([np.cos(corner + np.pi / 5), np.sin(corner + np.pi / 5)])
        flank = np.array([-between[1], between[0]])
        patch = [0.62 * between, 0.76 * between + 0.25 * flank, 1.0 * between + 0.2 * flank,
                 1.0 * between - 0.2 * flank, 0.76 * between - 0.25 * flank]  # fmt: skip
        canvas.polygon_within([np.asarray(patch)], _BLACK, ball)


def balloon(canvas: Canvas, rng: np.random.Generator) -> None:
    """A hot-air balloon in gores, with its basket."""
    first, second = _bright(rng), _bright(rng) if rng.random() < 0.6 else (238.0, 214.0, 90.0)
    for x in (-0.14, 0.14):
        canvas.stroke([(x * 1.6, 0.42), (x, 0.82)], 0.015, _BLACK)
    outline = smooth([(-0.12, 0.58), (-0.62, 0.16), (-0.78, -0.4), (-0.42, -0.98), (0.42, -0.98),
                      (0.78, -0.4), (0.62, 0.16), (0.12, 0.58)])  # fmt: skip
    canvas.polygon(outline, first)
    envelope = canvas.coverage.copy()
    for index in range(0, 8, 2):
        left, right = np.sin(np.radians((index - 4) * 22.5)), np.sin(np.radians((index - 3) * 22.5))
        gore = np.concatenate([outline * (left, 1), (outline * (right, 1))[::-1]])
        half = np.abs(outline[:, 0]).max()
        rows = np.linspace(-1.05, 0.62, 24)
        swell = np.sqrt(np.clip(1 - ((rows + 0.35) / 0.98) ** 2, 0, 1))
        gore = np.concatenate(
            [
                np.stack([left * half * swell, rows], axis=1),
                np.stack([right * half * swell, rows], axis=1)[::-1],
            ]
        )
        canvas.polygon_within([gore], second, envelope)
    canvas.polygon(np.array([(-0.15, 0.8), (0.15, 0.8), (0.12, 1.04), (-0.12, 1.04)]), (120, 80, 44))


def pizza(canvas: Canvas, rng: np.random.Generator) -> None:
    """From above: crust, cheese, salami and basil."""
    canvas.ellipse(0, 0, 0.98, 0.98, _vary(rng, (205, 156, 92), 12))
    canvas.ellipse(0, 0, 0.86, 0.86, _vary(rng, (190, 66, 34), 10))
    canvas.ellipse(0, 0, 0.8, 0.79, _vary(rng, (236, 192, 96), 10))
    for _ in range(26):
        angle, reach = rng.uniform(0, 2 * np.pi), 0.72 * np.sqrt(rng.uniform(0, 1))
        tone = _vary(rng, (246, 222, 150), 14) if rng.random() < 0.6 else (206, 110, 50)
        canvas.ellipse(reach * np.cos(angle), reach * np.sin(angle), 0.1, 0.06, tone, rng.uniform(0, 180))
    for index in range(9):
        angle, reach = index * 2.4 + rng.uniform(-0.2, 0.2), 0.62 * np.sqrt((index + 0.6) / 9)
        x, y = reach * np.cos(angle), reach * np.sin(angle)
        canvas.ellipse(x, y, 0.145, 0.14, (140, 30, 24))
        canvas.ellipse(x, y, 0.12, 0.115, _vary(rng, (186, 50, 36), 8))
    for _ in range(7):
        angle, reach = rng.uniform(0, 2 * np.pi), 0.66 * np.sqrt(rng.uniform(0, 1))
        canvas.ellipse(
            reach * np.cos(angle), reach * np.sin(angle), 0.09, 0.04, (52, 100, 40), rng.uniform(0, 180)
        )
