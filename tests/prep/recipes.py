"""Runs a recipe of docs/training.md with a training step that notes what it gets.

    PYTHON tests/prep/recipes.py RECIPE.py

Prints a line for each call of `step`: a JSON list of [label, [red, green, blue]], the mean colours. The
Python is the one that has the reader, so this imports only NumPy.
"""

import builtins
import json
import runpy
import sys
from typing import Any

import numpy as np


def step(images: Any, labels: Any) -> None:
    """Note the labels and the mean colours of a batch, or of one image."""
    pixels, numbers = (
        np.asarray(given.asnumpy() if hasattr(given, "asnumpy") else given) for given in (images, labels)
    )
    pixels = pixels.reshape(-1, *pixels.shape[-3:])
    if pixels.shape[1] == 3:
        pixels = np.moveaxis(pixels, 1, -1)
    colours = pixels.mean(axis=(1, 2), dtype=np.float64).round(1).tolist()
    print(json.dumps(list(zip(numbers.reshape(-1).astype(int).tolist(), colours, strict=True))), flush=True)


if __name__ == "__main__":
    builtins.step = step  # type: ignore[attr-defined]
    runpy.run_path(sys.argv[1], run_name="__main__")
