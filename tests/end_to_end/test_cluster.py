"""The road with a Ray cluster: the bytes of one machine, its own roles, and nothing that is left."""

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal.least_privilege import superfluous
from tests.end_to_end.documented import rows_differ
from tests.end_to_end.running import loops, needs_root, rehearse

pytestmark = needs_root
SECONDS = 1500.0  # five minutes on two idle cores


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    done = rehearse(folder, "--cluster", "2", seconds=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def checks(output: Path) -> dict[str, dict[str, Any]]:
    report = json.loads((output / "report.json").read_text())
    return {row["check"]: row for row in report["checks"]}


@pytest.mark.parametrize(
    "check",
    [
        "cluster: the head is killed while workers merge",
        "cluster: the bytes of one machine in every file",
        "cluster: workers launched by Ray's autoscaler, and at work",
        "cluster: heads and workers ended themselves",
        "cluster: nothing is left of its work in S3",
        "cluster: the owner is told that all is done",
        "cluster: restored on the prep instance, snapshot accepted",
        "Ray's token is in no command line",
        "Ray's token is in no template, log or user data",
        "forbidden calls of the head role",
        "forbidden calls of the worker role",
        "every call of an instance allowed by its own role",
        "destroy took what costs by the hour",
        "nothing else is left in 123456789012, us-east-1",
    ],
)
def test_what_a_cluster_adds(checks: dict[str, dict[str, Any]], check: str) -> None:
    assert checks[check]["ok"], checks[check]["figure"]


def test_every_file_was_compared_and_every_record_checked(checks: dict[str, dict[str, Any]]) -> None:
    figure = checks["cluster: the bytes of one machine in every file"]["figure"]
    assert figure.startswith("8 files")  # .rec, .idx and .lst of two splits, classes.tsv, MANIFEST.json
    assert checks["train: labels in .rec"]["figure"].startswith("600 ")
    assert checks["validation: labels in .rec"]["figure"].startswith("200 ")


def test_the_calls_of_four_roles_were_judged(output: Path) -> None:
    calls = [json.loads(line) for line in (output / "logs" / "calls.jsonl").read_text().splitlines()]
    assert len({call["role"] for call in calls}) == 4
    refused = json.loads((output / "logs" / "forbidden.json").read_text())
    for role in ("head", "worker"):
        assert len([row for row in refused if row["role"] == role]) >= 30
    assert not [row for row in refused if row["refused"] == "no"]


def test_no_permission_of_the_cluster_is_superfluous(output: Path) -> None:
    assert superfluous(output / "logs") == []


def test_the_document_has_the_rows_of_this_run(output: Path) -> None:
    assert rows_differ(output) == []


def test_it_leaves_nothing_on_this_machine(output: Path) -> None:
    assert not (output / "cloud").exists()
    assert not [loop for loop in loops() if str(output) in loop]
