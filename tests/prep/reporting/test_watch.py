"""The watch: a line when something changed, its end by itself, Ctrl-C."""

import io
from dataclasses import replace

import click
import pytest
from rich.console import Console

from prep.reporting.document import FAILED, Document
from prep.reporting.view import Report
from prep.reporting.watch import watch
from tests.prep.reporting.documents import ALL_DONE, AT_WORK, PACK
from tests.prep.reporting.test_view import report

FURTHER = replace(AT_WORK, tasks=(replace(PACK, done=PACK.done * 2),))
BROKEN = replace(AT_WORK, state=FAILED, error="pack: no room: grow the volume", exit_code=3)


class Looks:
    """Looks one after the other; Ctrl-C when there are no more. Counts the seconds between them."""

    def __init__(self, *documents: Document) -> None:
        self.left = list(documents)
        self.seconds = 0.0

    def __call__(self) -> Report:
        if not self.left:
            raise KeyboardInterrupt
        return report(self.left.pop(0))

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_line_when_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    looks = Looks(AT_WORK, replace(AT_WORK, sequence=9, updated="later"), FURTHER, ALL_DONE, AT_WORK)
    assert watch(looks, Console(file=io.StringIO()), 5, looks.pause) == 0
    lines = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line.startswith("pets: ")] == [
        "pets: running: at work: archives, download 27%, pack 26%",
        "pets: running: at work: archives, pack 53%",
        "pets: done: all is done; the instance is still running, and costs money",
    ]
    assert (looks.seconds, len(looks.left)) == (15, 1)


def test_it_ends_with_what_is_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    looks = Looks(AT_WORK, BROKEN)
    assert watch(looks, Console(file=io.StringIO()), 5, looks.pause) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "next: sudo systemctl start dataset-prep.service"


@pytest.mark.parametrize("terminal", [True, False])
def test_ctrl_c_is_quiet(terminal: bool, capsys: pytest.CaptureFixture[str]) -> None:
    looks, out = Looks(AT_WORK), io.StringIO()
    with pytest.raises(click.exceptions.Exit) as ended:
        watch(looks, Console(file=out, force_terminal=terminal, width=80), 5, looks.pause)
    assert ended.value.exit_code == 130
    assert "nterrupted" not in out.getvalue() + "".join(capsys.readouterr())


def test_a_screen_drawn_again(capsys: pytest.CaptureFixture[str]) -> None:
    looks, out = Looks(AT_WORK, FURTHER, ALL_DONE), io.StringIO()
    assert watch(looks, Console(file=out, force_terminal=True, width=80), 5, looks.pause) == 0
    text = out.getvalue()
    assert text.count("pets: ") >= 3
    assert "\x1b[1A" in text  # back up, to draw over the screen before
    assert "launch training instances:" in text
    assert capsys.readouterr().out == ""
