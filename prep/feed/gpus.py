"""GPU types and how many images a second they train on; gpus.toml has the figures and their sources."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prep.errors import DescriptionError

FILE = Path(__file__).with_name("gpus.toml")


@dataclass(frozen=True)
class Gpu:
    """Images a second of ResNet-50 training, and where the figure is from."""

    name: str
    images_per_second: int
    source: str
    note: str


@cache
def load() -> Mapping[str, Gpu]:
    """The GPU types, by the word that --gpu takes."""
    return {word: Gpu(**facts) for word, facts in tomllib.loads(FILE.read_text(encoding="utf-8")).items()}


@dataclass(frozen=True)
class Wanted:
    """Images a second that are wanted, and for what."""

    images_per_second: float
    what: str


def parse(text: str) -> Wanted:
    """What NAME or NAME:COUNT wants.

    Raises:
        DescriptionError: there is no such GPU in the table, or the count is no number above 0.
    """
    word, _, count = text.partition(":")
    gpu = load().get(word.lower())
    if gpu is None:
        raise DescriptionError(
            f"--gpu {text}: {word!r} is not in the table: use one of {', '.join(load())}, or give --target"
        )
    if count and not (count.isdecimal() and int(count) > 0):
        raise DescriptionError(f"--gpu {text}: {count!r} is no number of GPUs: write {word}:8, for example")
    number = int(count or 1)
    return Wanted(float(gpu.images_per_second * number), f"{number} x {gpu.name}")
