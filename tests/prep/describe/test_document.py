"""docs/other-data-sets.md: its commands are run, in order, and say what the document says that they say."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from prep.cli import cli
from prep.command_line import leaves
from prep.describe.plan import SPLIT_WORDS
from rehearsal.__main__ import main as rehearsal
from tests.prep.commands import REPOSITORY, environment
from tests.prep.describe.inputs import images, write

TEXT = (REPOSITORY / "docs" / "other-data-sets.md").read_text()
BLOCKS = re.findall(r"^```(sh|text|python)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def do(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(  # noqa: S603 - our own program, in the words of the document
        arguments, cwd=folder, env=environment({"PYTHONPATH": str(REPOSITORY)}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_worked_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = images("pets/train/cat", "pets/train/dog", each=6) | images(
        "pets/val/cat", "pets/val/dog", each=4
    )
    write(tmp_path / "pets.zip", files | {"pets/README.txt": b"hello"})
    monkeypatch.chdir(tmp_path)
    said, kinds = "", [kind for kind, _ in BLOCKS]
    assert kinds == ["sh", "text", "sh", "sh", "sh", "python"]
    for kind, block in BLOCKS:
        if kind == "text":
            assert said == block
        elif kind == "python":
            said = do([sys.executable, "-c", block], tmp_path)
        elif block.startswith("make rehearse"):  # takes a minute; the rehearsal is tested elsewhere
            (given,) = re.findall(r'ARGS="(.*)"', block)
            rehearsal.make_context("rehearsal", shlex.split(given))
        else:
            said = do([sys.executable, *shlex.split(block)[1:]], tmp_path)
    batches = said.splitlines()
    assert len(batches) == 3
    assert all(re.fullmatch(r"\(4, 3, 224, 224\) \[[01]\. [01]\. [01]\. [01]\.\]", line) for line in batches)


def test_what_is_said_of_splits_and_options() -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| split |"))
    said = row.split("called ")[1].split(";")[0]
    assert set(re.findall(r"\w+", said)) - {"or"} == set(SPLIT_WORDS)
    options = {option for each in dict(leaves(cli))["dataset new"].params for option in each.opts}
    table = TEXT.partition("## What")[2].partition("## The")[0]
    assert set(re.findall(r"--[a-z][a-z-]+", table)) - {"--source"} <= options
