"""The long road, and from its record the proof of least privilege."""

import json
from pathlib import Path

import pytest

from rehearsal.least_privilege import ELSEWHERE, needs, roles, superfluous
from tests.end_to_end.documented import rows_differ
from tests.end_to_end.running import needs_root, rehearse

pytestmark = needs_root
SECONDS = 1200.0  # six minutes on two busy cores


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    done = rehearse(folder, "--full", seconds=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize(
    "check",
    [
        "a changed archive: the upload of the old one is aborted",
        "a killed instance is called dead",
        "stop and start: download",
        "stop and start: organize and pack, in the pass over the archives",
        "stop and start: merge and verify",
        "stop and start: backup",
        "stop and start: snapshot, which is complete but not published",
        "replacement of the instance",
        "deployed from snapshots: nothing fetched twice",
        "an instance that can't mount leaves nothing",
        "a warm zone: the volume is copied",
        "nothing else is left in 123456789012, us-east-1",
        "nothing else is left in 123456789012, eu-west-1",
        "nothing else is left in 210987654321, us-east-1",
    ],
)
def test_what_the_long_road_adds(output: Path, check: str) -> None:
    rows = {row["check"]: row for row in json.loads((output / "report.json").read_text())["checks"]}
    assert rows[check]["ok"], rows[check]["figure"]


def test_no_permission_is_superfluous(output: Path) -> None:
    assert superfluous(output / "logs") == []


def test_what_is_said_to_be_called_elsewhere_is_called_by_nobody_here(output: Path) -> None:
    found = roles(output / "logs")
    called = {check.action for role in found for _, checks in role.calls for check in checks}
    assert not called & set(ELSEWHERE)
    granted = {action for _, action, _, _ in needs(output / "logs")}
    assert set(ELSEWHERE) <= granted


def test_the_document_has_the_rows_of_this_run(output: Path) -> None:
    assert rows_differ(output) == []
