"""The README's walk-through, line by line, and the checks of the rehearsal between its steps."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rehearsal.narrator import RehearsalError
from rehearsal.operator.readme import Command, walkthrough
from rehearsal.steps.walkthrough import README, REPLACED, TABLE, line_of
from tests.end_to_end.running import loops, needs_root, rehearse

COMMANDS = walkthrough(README.read_text())
PLACEHOLDER = re.compile(r"\b(?:[A-Z]+_IDS?|BUCKET)\b")


def test_every_line_of_the_shell_is_a_command_of_the_walkthrough() -> None:
    """Nothing that a reader would copy is outside of it, and nothing of it is lost."""
    blocks = re.findall(r"^```(?:sh|python)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    lines = [re.sub(r" +# .*", "", line) for block in blocks for line in block.splitlines()]
    assert [line for command in COMMANDS for line in command.text.splitlines()] == lines
    assert len(COMMANDS) > 15


def test_the_table_has_every_command_in_its_order() -> None:
    assert [line_of(command) for command in COMMANDS] == list(TABLE)


def test_a_new_command_needs_a_row() -> None:
    with pytest.raises(RehearsalError, match=r"does not know: 'make coffee'"):
        line_of(Command(3, "sh", "make coffee"))


def test_placeholders_are_filled_in_and_nothing_is_replaced_in_vain() -> None:
    texts = [command.text for command in COMMANDS]
    for pattern in REPLACED:
        assert any(re.search(pattern, text) for text in texts), pattern
    words = {word for text in texts for word in PLACEHOLDER.findall(text)}
    assert words == {word for word in words if any(re.fullmatch(pattern, word) for pattern in REPLACED)}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walkthrough")
    done = rehearse(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def checks(output: Path) -> dict[str, dict[str, Any]]:
    report = json.loads((output / "report.json").read_text())
    return {row["check"]: row for row in report["checks"]}


@needs_root
def test_every_command_was_run(output: Path) -> None:
    done = json.loads((output / "walkthrough.json").read_text())
    assert [row["command"] for row in done] == [command.text for command in COMMANDS]


@needs_root
def test_the_whole_road(output: Path, checks: dict[str, dict[str, Any]]) -> None:
    assert all(row["ok"] for row in checks.values())
    assert checks["train: labels in .rec"]["figure"].startswith("600 ")
    assert checks["validation: labels in .rec"]["figure"].startswith("200 ")
    assert sum("own volume, read-only" in check for check in checks) == 3
    assert (output / "contact-sheet.png").stat().st_size > 100_000
    assert (output / "preview.html").stat().st_size > 500_000
    assert checks["the owner is told that all is done"]["figure"] == "1 message(s): Data set sample: ready"
    assert checks["the prep instance stopped itself"]["figure"].endswith("stopped")
    assert checks["preflight: the deployment can begin"]["ok"]
    assert checks["status from a laptop, in the middle"]["figure"].startswith("running: download ")
    assert checks["status on the instance, in the middle"]["figure"].startswith("running: at work: ")
    assert checks["status from a laptop, at the end"]["figure"].startswith("done, instance stopped, ")
    assert checks["nothing else is left in 123456789012, us-east-1"]["ok"]
    assert checks["nothing else is left in 123456789012, eu-west-1"]["ok"]


@needs_root
def test_it_leaves_nothing_on_this_machine(output: Path) -> None:
    assert not (output / "cloud").exists()
    assert not [loop for loop in loops() if str(output) in loop]


@needs_root
def test_every_call_was_judged_and_the_forbidden_ones_refused(output: Path) -> None:
    calls = [json.loads(line) for line in (output / "logs" / "calls.jsonl").read_text().splitlines()]
    assert {"ec2:CreateSnapshot", "s3:PutObject", "ssm:PutParameter"} <= {call["call"] for call in calls}
    assert len({call["role"] for call in calls}) == 2
    refused = json.loads((output / "logs" / "forbidden.json").read_text())
    assert len([row for row in refused if row["role"] == "prep"]) >= 30
    assert len([row for row in refused if row["role"] == "training"]) >= 30
    assert not [row for row in refused if row["refused"] == "no"]
