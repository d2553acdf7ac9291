"""The last words of a run: the command that they name works as it is printed."""

import re
import shlex
from pathlib import Path

from prep.state.layout import Layout
from tests.prep.commands import call, run
from tests.prep.small_sets import TINY, write_folders


def test_what_is_next_names_the_folders(tmp_path: Path) -> None:
    """Also folders with a space; `status` names the same."""
    home = tmp_path / "my  set"
    toml = write_folders(home, TINY)
    given = ["--dataset", str(toml), "--root", str(home / "root"), "--packed", str(home / "packed")]
    done = run("run", *given, "--source", str(home / "archives"))
    assert done.returncode == 0, done.stderr
    command = ["python", "-m", "prep", "backup", *given, "--bucket", "BUCKET"]
    (printed,) = re.findall(r"^next +(python -m prep backup .*?)   \(or ", done.stdout, re.MULTILINE)
    assert shlex.split(printed) == command
    shown = call("status", *given).stdout.splitlines()[-1].strip()
    assert shown == printed


def test_the_usual_folders_need_no_name() -> None:
    assert Layout(Path("/data"), Path("/dataset")).options == ""
    assert Layout(Path("/data"), Path("/fast/a b")).options == "--packed '/fast/a b'"
