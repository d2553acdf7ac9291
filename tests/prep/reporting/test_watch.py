"""The watch: a line when something changed, its end by itself, Ctrl-C."""

import io
import re
from dataclasses import replace

import click
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from rich.console import Console

from prep.aws.errors import aws_errors
from prep.errors import AwsError
from prep.reporting.document import FAILED, Document
from prep.reporting.view import Report
from prep.reporting.watch import watch
from tests.prep.reporting.documents import ALL_DONE, AT_WORK, PACK
from tests.prep.reporting.test_view import report

FURTHER = replace(AT_WORK, tasks=(replace(PACK, done=PACK.done * 2),))
BROKEN = replace(AT_WORK, state=FAILED, error="pack: no room: grow the volume", exit_code=3)


class Looks:
    """Looks, or botocore's errors, one after the other, then Ctrl-C. Counts the seconds between them."""

    def __init__(self, *documents: Document | Exception) -> None:
        self.left = list(documents)
        self.seconds = 0.0

    def __call__(self) -> Report:
        if not self.left:
            raise KeyboardInterrupt
        found = self.left.pop(0)
        if isinstance(found, Exception):
            with aws_errors("read s3://pets/status.json"):
                raise found
        return report(found)

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


GONE = EndpointConnectionError(endpoint_url="https://s3.example")
LATE = ReadTimeoutError(endpoint_url="https://s3.example")
BUSY = ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")
REFUSED = ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")


def test_an_outage_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    looks = Looks(AT_WORK, GONE, LATE, BUSY, AT_WORK, ALL_DONE)
    assert watch(looks, Console(file=io.StringIO()), 5, looks.pause) == 0
    out, err = capsys.readouterr()
    lines = [line.partition(" ")[2] for line in out.splitlines()]
    assert re.fullmatch(r"pets: no answer from AWS since \d\d:\d\d:\d\d; asking again", lines[1])
    assert [line.startswith("pets: running") for line in lines[:3]] == [True, False, True]
    assert lines[3].startswith("pets: done")
    assert err == ""


def test_an_outage_is_part_of_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    looks, out = Looks(AT_WORK, GONE), io.StringIO()
    with pytest.raises(click.exceptions.Exit):
        watch(looks, Console(file=out, force_terminal=True, width=80), 5, looks.pause)
    last = out.getvalue().rpartition("no answer from AWS since ")[2]
    assert "asking again. Before that:" in last
    assert "at work: archives" in last
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("looks", [Looks(AT_WORK, REFUSED), Looks(GONE)])
def test_what_ends_it(looks: Looks) -> None:
    """A refusal, and a network that has not been there at all."""
    with pytest.raises(AwsError, match=r"^read s3://pets"):
        watch(looks, Console(file=io.StringIO()), 5, looks.pause)


def test_a_screen_drawn_again(capsys: pytest.CaptureFixture[str]) -> None:
    looks, out = Looks(AT_WORK, FURTHER, ALL_DONE), io.StringIO()
    assert watch(looks, Console(file=out, force_terminal=True, width=60), 5, looks.pause) == 0
    text = out.getvalue()
    assert text.count("pets: ") >= 3
    assert "\x1b[1A" in text  # back up, to draw over the screen before
    assert "launch training instances:" in text
    command = "python -m prep.owner destroy --stack prep --dataset pets --region us-east-1"
    assert f"\n  {command}\n" in text  # whole, though the terminal has fewer columns
    assert text.count(command) == 1
    assert capsys.readouterr().out == ""
