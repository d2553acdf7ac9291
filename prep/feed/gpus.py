"""GPU types and how many images a second they train on; gpus.toml has the figures and their sources."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prep.errors import DescriptionError

FILE = Path(__file__).with_name("gpus.toml")


@dataclass(frozen=True)
class Wanted:
    """Images a second that are wanted, and for what."""

    images_per_second: float
    what: str


@dataclass(frozen=True)
class Gpu:
    """Images a second of ResNet-50 training on one GPU, and where the figure is from.

    eight: on eight GPUs of a machine, if the source has it: less than eight times as much.
    """

    name: str
    images_per_second: int
    source: str
    note: str
    eight: int | None = None

    def times(self, number: int) -> Wanted:
        """What so many of them on a machine want."""
        what = f"{number} x {self.name}"
        if number == 8 and self.eight is not None:
            return Wanted(float(self.eight), f"{what}, as measured on 8")
        scaled = f", {number} times the figure of one" if number > 1 else ""
        return Wanted(float(self.images_per_second * number), what + scaled)


@cache
def load() -> Mapping[str, Gpu]:
    """The GPU types, by the word that --gpu takes."""
    return {word: Gpu(**facts) for word, facts in tomllib.loads(FILE.read_text(encoding="utf-8")).items()}


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
    return gpu.times(int(count or 1))
