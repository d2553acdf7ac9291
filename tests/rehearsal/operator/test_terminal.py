"""The operator's terminal: one shell for all commands, with a keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.narrator import RehearsalError
from rehearsal.operator.terminal import Terminal


def silent(_: str) -> None:
    pass


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal({"PATH": "/usr/bin:/bin"}, tmp_path, tmp_path / "log")
    yield made
    made.close()


def test_variables_stay(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.run("a=1; cd /", "", 10, silent) == (0, [])
    assert terminal.run('echo "$a" "$PWD"', "", 10, silent) == (0, ["1 /"])
    assert (tmp_path / "log").read_text() == "1 /\n"


def test_exit_status_of_a_pipe_that_breaks(terminal: Terminal) -> None:
    assert terminal.run("(exit 3) | cat", "", 10, silent) == (3, [])


def test_it_has_a_keyboard(terminal: Terminal) -> None:
    status, said = terminal.run("read -rsp 'key: ' k; [[ -t 0 ]] && echo; echo ${#k}", "secret\n", 10, silent)
    assert (status, said) == (0, ["key: ", "6"])


def test_what_is_not_read_is_not_for_the_next_command(terminal: Terminal) -> None:
    terminal.run("read -r a", "one\ntwo\n", 10, silent)
    terminal.run("read -r a", "three\n", 10, silent)
    assert terminal.run('echo "$a"', "", 10, silent) == (0, ["three"])


def test_a_command_that_takes_too_long(terminal: Terminal) -> None:
    with pytest.raises(RehearsalError, match="'sleep 60' took longer than 1 s"):
        terminal.run("sleep 60", "", 1, silent)


def test_a_command_that_ends_the_shell(terminal: Terminal) -> None:
    with pytest.raises(RehearsalError, match="'exit 4' ended the shell"):
        terminal.run("exit 4", "", 10, silent)
