"""journalctl of an instance: the logs of the units that are asked for."""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import subprocess
from pathlib import Path

import pytest

from rehearsal.instance.guest import boot

SCRIPT = Path(boot.__file__).parent / "commands" / "journalctl"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--unit", "a.service"], "of a\n"),
        (["--boot", "--unit=a.service", "--unit=b.service"], "of a\nof b\n"),
        (["-u", "b"], "of b\n"),
        ([], "of all\n"),
    ],
)
def test_logs_of_units(tmp_path: Path, words: list[str], expected: str) -> None:
    for name, text in (("a.service.log", "of a"), ("b.service.log", "of b"), ("messages", "of all")):
        (tmp_path / name).write_text(text + "\n")
    script = SCRIPT.read_text().replace("/var/log", str(tmp_path))
    done = subprocess.run(
        ["sh", "-c", script, "journalctl", *words], capture_output=True, text=True, check=True
    )
    assert done.stdout == expected
