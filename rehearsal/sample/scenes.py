"""The sample's classes: real ImageNet classes, each with a drawing that a person recognises."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from rehearsal.sample import backgrounds, drawings
from rehearsal.sample.canvas import Canvas


@dataclass(frozen=True)
class Scene:
    """A class (id and words are ImageNet's) and how to picture it.

    `shadow` (0 to 1) is how dark its shadow is on what lies behind; `tilt` the degrees it may be turned by.
    """

    name: str
    wnid: str
    words: str
    gloss: str
    draw: Callable[[Canvas, np.random.Generator], None]
    background: backgrounds.Background
    shadow: float = 0.45
    tilt: float = 12.0


# Wordnet ids and words as in ILSVRC2012's meta.mat, in an order of our own; the glosses are ours.
SCENES: Final[tuple[Scene, ...]] = (
    Scene(
        "goldfish",
        "n01443537",
        "goldfish, Carassius auratus",
        "small golden fish of ponds",
        drawings.goldfish,
        backgrounds.water,
        0.15,
    ),
    Scene(
        "lemon",
        "n07749582",
        "lemon",
        "yellow oval fruit with acid juice",
        drawings.lemon,
        backgrounds.wood,
        0.6,
        30,
    ),
    Scene(
        "zebra", "n02391049", "zebra", "striped African horse", drawings.zebra, backgrounds.savanna, 0.25, 4
    ),
    Scene(
        "lighthouse",
        "n02814860",
        "beacon, lighthouse, beacon light, pharos",
        "tower with a light for ships",
        drawings.lighthouse,
        backgrounds.coast,
        0.15,
        3,
    ),
    Scene(
        "analog clock",
        "n02708093",
        "analog clock",
        "clock with hands",
        drawings.clock,
        backgrounds.wall,
        0.5,
        8,
    ),
    Scene(
        "umbrella",
        "n04507155",
        "umbrella",
        "canopy carried against the rain",
        drawings.umbrella,
        backgrounds.street,
        0.3,
        20,
    ),
    Scene(
        "daisy",
        "n11939491",
        "daisy",
        "flower with white rays and a yellow disc",
        drawings.daisy,
        backgrounds.meadow,
        0.45,
        15,
    ),
    Scene(
        "traffic light",
        "n06874185",
        "traffic light, traffic signal, stoplight",
        "signal that directs traffic",
        drawings.traffic_light,
        backgrounds.sky,
        0.0,
        3,
    ),
    Scene(
        "ladybug",
        "n02165456",
        "ladybug, ladybeetle, lady beetle, ladybird, ladybird beetle",
        "small round spotted beetle",
        drawings.ladybug,
        backgrounds.leaf,
        0.55,
        180,
    ),
    Scene(
        "soccer ball",
        "n04254680",
        "soccer ball",
        "ball used in playing soccer",
        drawings.soccer_ball,
        backgrounds.pitch,
        0.5,
        180,
    ),
    Scene(
        "balloon",
        "n02782093",
        "balloon",
        "bag of hot air that carries a basket",
        drawings.balloon,
        backgrounds.sky,
        0.0,
        5,
    ),
    Scene(
        "pizza",
        "n07873807",
        "pizza, pizza pie",
        "flat bread with tomato and cheese",
        drawings.pizza,
        backgrounds.wood,
        0.6,
        180,
    ),
)
