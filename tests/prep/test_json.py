"""docs/command-line.md names exactly the fields of each JSON document, as the commands print them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from prep.cli import cli
from prep.command_line import leaves
from tests.prep import pictures
from tests.prep.commands import REPOSITORY, folders, run
from tests.prep.small_sets import write_folders

TEXT = (REPOSITORY / "docs" / "command-line.md").read_text()
STAGES = ("download", "organize", "pack", "verify")
TINY = {"train": {name: {"1.jpg": pictures.jpeg(20, 20, 1)} for name in ("ant", "bee")}}


def fields(section: str) -> set[str]:
    """The names in the first column of a section's table."""
    _, _, after = TEXT.partition(f"### {section}\n")
    rows = [line for line in after.partition("\n### ")[0].splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def inner_fields(section: str, field: str) -> set[str]:
    """The names in the second column, of a field that is a list."""
    _, _, after = TEXT.partition(f"### {section}\n")
    row = next(line for line in after.splitlines() if line.startswith(f"| `{field}`"))
    return set(re.findall(r"`(\w+)`", row.split("|")[2]))


def printed(*arguments: str, code: int = 0) -> Any:
    done = run(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options for a data set that `run` has prepared."""
    folder = tmp_path_factory.mktemp("json")
    toml = write_folders(folder / "set", TINY)
    options = ["--dataset", str(toml), *folders(folder)]
    receipts = printed("run", *options, "--source", str(toml.parent / "archives"))
    stages = [receipt["stage"] for receipt in receipts]
    assert set(STAGES) <= set(stages)
    assert stages[-1] == "run"
    assert all(set(receipt) == fields("A receipt") for receipt in receipts)
    return options


@pytest.mark.parametrize("stage", STAGES)
def test_receipts(ready: list[str], stage: str) -> None:
    receipt = printed(stage, *ready)
    assert receipt["stage"] == stage
    assert set(receipt) == fields("A receipt")
    assert {key for facts in receipt["outputs"].values() for key in facts} <= inner_fields(
        "A receipt", "outputs"
    )


def test_notice(ready: list[str]) -> None:
    assert set(printed("notify", *ready)) == fields("A notice")


def test_dataset(ready: list[str], tmp_path: Path) -> None:
    archive = Path(ready[1]).parent / "archives" / "train.tar"
    toml = tmp_path / "again.toml"
    document = printed("dataset", "new", str(archive), "--output", str(toml))
    assert set(document) == fields("dataset new")
    assert {key for split in document["splits"] for key in split} == inner_fields("dataset new", "splits")
    toml.write_text(toml.read_text().replace("count = 2", "count = 0"))
    document = printed("dataset", "check", str(toml), code=2)
    assert set(document) == fields("dataset check")
    assert set(document["mistakes"][0]) == inner_fields("dataset check", "mistakes")


def test_every_command_with_json_is_in_the_table() -> None:
    table = TEXT.partition("## JSON\n")[2].partition("\n### ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z ]+)`", row)}
    with_json = {
        name for name, command in leaves(cli) if any("--json" in each.opts for each in command.params)
    }
    assert with_json <= named
    assert with_json == set(dict(leaves(cli))), "a command whose result a script can't read"
