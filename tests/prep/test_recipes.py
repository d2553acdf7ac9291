"""The recipes of docs/training.md, run as they are: each image once an epoch, alone and by two ranks.

Each class has one image, all of one colour that belongs to its label. So a label tells which image it is, and
the colour of any part of the image tells whether it belongs to the label. A long comment in each file makes
two shards of them, of 1 MiB each.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from tests.prep import pictures
from tests.prep.commands import REPOSITORY
from tests.prep.commands import run as prep
from tests.prep.small_sets import pack, write_folders

PAGE = REPOSITORY / "docs" / "training.md"
RECIPE = re.compile(r"([^\n]*)\n.*?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
RUNNER = REPOSITORY / "tests" / "prep" / "recipes.py"
READERS = REPOSITORY / ".cache" / "readers"
IMAGES, BATCH, EPOCHS = 48, 8, 2
EXPORT = re.compile(r"^prep (export .*)$", re.MULTILINE)
DATA = re.compile(r"(?<!\w)(/(?:data|shards|images)\b)")
SHARDS = "train-{000000..000001}.tar"  # each has half of the images
COMMENT = bytes(43_200)
# What is smaller here than on the page.
SMALLER = {
    r"range\(90\)": f"range({EPOCHS})",
    r"\b256\b": str(BATCH),
    r"train-\{.*\}\.tar": SHARDS,
    r"block=64": "block=2",
    r"(num_workers|num_threads|preprocess_threads|processes)=8": r"\1=2",
}
LONGEST = 180.0  # seconds; PyTorch and DALI take some to be imported
NEAR = 4.0  # of 255: JPEG rounds
SPAWN = {"num_workers=2": 'num_workers=1, multiprocessing_context="spawn"', f"range({EPOCHS})": "range(1)"}

Seen = list[tuple[int, list[float]]]
"""The label and the mean colour of every image that `step` got."""


def colour(label: int) -> tuple[int, int, int]:
    """No two channels and no two labels are alike."""
    return 20 + 4 * label, 230 - 4 * label, (50 + 90 * label) % 256


def recipes() -> dict[str, str]:
    """The recipes by their headings."""
    sections = PAGE.read_text().split("\n## ")
    return {found[1]: found[2] for section in sections if (found := RECIPE.match(section))}


def python(recipe: str) -> str:
    """The Python that runs a recipe: `make test` installs PyTorch and DALI in an environment of their own."""
    if recipe not in ("PyTorch", "NVIDIA DALI"):
        return sys.executable
    if not (READERS / "installed").exists():
        pytest.skip("PyTorch and DALI are not there: `make .cache/readers/installed` says why")
    return str(READERS / "bin" / "python")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed files and what is exported from them, in the folders that the page names."""
    folder = tmp_path_factory.mktemp("recipes")
    images = {
        f"n{label:04}": {
            f"n{label:04}_1.JPEG": pictures.save(
                Image.new("RGB", (60, 50), colour(label)), "JPEG", comment=COMMENT
            )
        }
        for label in range(IMAGES)
    }
    pack(write_folders(folder / "set", {"train": images, "validation": images}), folder)
    (folder / "packed").rename(folder / "data")
    for command in EXPORT.findall(PAGE.read_text()):
        done = prep(*(DATA.sub(rf"{folder}\1", word) for word in shlex.split(command)), "--shard-mib", "1")
        assert done.returncode == 0, done.stderr
        assert "folders" in command or f" in {folder}/shards/{SHARDS}\n" in done.stdout
    assert len(list((folder / "images" / "validation").iterdir())) == IMAGES
    return folder


def start(
    recipe: str, data: Path, folder: Path, rank: int, world: int, changes: Mapping[str, str]
) -> "subprocess.Popen[str]":
    code = DATA.sub(rf"{data}\1", recipes()[recipe])
    for pattern, smaller in SMALLER.items():
        code = re.sub(pattern, smaller, code)
    for there, instead in changes.items():
        assert there in code
        code = code.replace(there, instead)
    script = folder / f"recipe{rank}.py"
    script.write_text(code)
    env = os.environ | {"RANK": str(rank), "WORLD_SIZE": str(world), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(  # noqa: S603 - our own program
        [python(recipe), str(RUNNER), str(script)],
        env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(
    recipe: str, data: Path, folder: Path, world: int, changes: Mapping[str, str] | None = None
) -> list[Seen]:
    """What every rank saw; all of them run at the same time."""
    running = [start(recipe, data, folder, rank, world, changes or {}) for rank in range(world)]
    seen = []
    for process in running:
        out, err = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, err
        batches = [json.loads(line) for line in out.splitlines() if line.startswith("[[")]
        seen.append([(label, mean) for batch in batches for label, mean in batch])
    return seen


def check(ranks: list[Seen], epochs: int = EPOCHS) -> None:
    """Each epoch shows each image once, in another order, and with the right label."""
    share = IMAGES // len(ranks)
    assert [len(seen) for seen in ranks] == [share * epochs] * len(ranks)
    orders = []
    for epoch in range(epochs):
        shown = [image for seen in ranks for image in seen[epoch * share : (epoch + 1) * share]]
        orders.append([label for label, _ in shown])
        assert sorted(orders[-1]) == list(range(IMAGES)) != orders[-1]
        for label, mean in shown:
            assert mean == pytest.approx(colour(label), abs=NEAR), label
    assert len(set(map(tuple, orders))) == epochs


RANKED = [
    "Batches: decoded and cropped by several processes",
    "PyTorch",
    "NVIDIA DALI",
    "MXNet",
    "WebDataset and image folders",
]
RECIPES = ["Records: Python, without a framework", *RANKED]


def test_the_page_has_these_recipes() -> None:
    assert list(recipes()) == RECIPES


@pytest.mark.parametrize("recipe", RECIPES)
def test_alone(recipe: str, data: Path, tmp_path: Path) -> None:
    check(run(recipe, data, tmp_path, 1))


@pytest.mark.parametrize("recipe", RANKED)
def test_two_ranks(recipe: str, data: Path, tmp_path: Path) -> None:
    check(run(recipe, data, tmp_path, 2))


def test_pytorch_with_spawned_workers(data: Path, tmp_path: Path) -> None:
    check(run("PyTorch", data, tmp_path, 1, SPAWN), epochs=1)
