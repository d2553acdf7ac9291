"""The head of the user data: whatever a value holds, the shell sees it as that value and nothing more."""

import subprocess
from pathlib import Path

import pytest

from stacks import boot

HOSTILE = [
    *("", "two words", "it's", "$(touch owned)", "`touch owned`", "a\nb; touch owned"),
    *("*", "\\", '"', "-n", "é"),
]


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """User data whose own part prints one variable, with an end that can be seen."""
    monkeypatch.setattr(boot, "USERDATA", tmp_path)
    (tmp_path / "volume.sh").write_text("")
    (tmp_path / "print.sh").write_text("printf '%s|' \"${VALUE}\"\n")
    return tmp_path


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_a_word(scripts: Path, value: str) -> None:
    text = boot.render("print.sh", {"VALUE": value}).render()
    done = subprocess.run(  # noqa: S603
        ["bash", "-c", text],  # noqa: S607
        cwd=scripts,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{value}|", "")
    assert not (scripts / "owned").exists()


def test_only_what_runs_is_kept(scripts: Path) -> None:
    (scripts / "print.sh").write_text(
        "# a comment\n\nif true; then\n  # another\n  cat <<'END'\n# text\n\n  more\nEND\nfi\n"
    )
    text = boot.render("print.sh", {}).render()
    assert text.endswith("\nif true; then\ncat <<'END'\n# text\n\n  more\nEND\nfi\n")
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)  # noqa: S603, S607
    assert done.stdout == "# text\n\n  more\n"


def test_user_data_that_ec2_would_refuse(scripts: Path) -> None:
    assert scripts
    boot.render("print.sh", {"VALUE": "x" * 16000})
    with pytest.raises(ValueError, match="more than EC2's 16384"):
        boot.render("print.sh", {"VALUE": "x" * 16384})


@pytest.mark.parametrize("name", ["lower", "A B", "A=1;B", "1A", "", "A\nB"])
def test_a_name_is_a_name(scripts: Path, name: str) -> None:
    assert scripts
    with pytest.raises(ValueError, match="is not a valid name for an exported variable"):
        boot.render("print.sh", {name: "x"})
