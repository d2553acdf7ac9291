"""What a person sees: 80 columns, no control characters, a line for a log."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from prep.reporting import view
from prep.reporting.costs import cost_of
from prep.reporting.document import DONE, Document, Mishap, Task
from prep.reporting.verdict import Instance, Place, from_outside
from prep.reporting.view import Report
from tests.prep.reporting.documents import AT_WORK

UP = Instance(AT_WORK.instance, "running", "ok", 7200.0)


def report(document: Document, instance: Instance = UP, age: float = 12) -> Report:
    words = from_outside(document, age, instance, Place("pets", region="us-east-1"))
    cost = cost_of(document, age, instance.up_seconds)
    return Report("pets", words, document, age, cost, document.stages, instance, "us-east-1")


def shown(what: Report, width: int = 80, terminal: bool = False) -> str:
    out = io.StringIO()
    view.show(Console(file=out, width=width, force_terminal=terminal, highlight=False), what)
    return out.getvalue()


def screened(what: Report, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(view.screen(what, width))
    return out.getvalue()


def test_at_work() -> None:
    text = shown(report(replace(AT_WORK, retries=3, last_retry=Mishap("11:00", "HTTP 503: trying again"))))
    assert text.startswith("pets: running  (12 s ago)\n")
    (bar,) = re.findall(r"^download .*$", text, re.MULTILINE)
    assert re.fullmatch(r"download +━+╸ +27% +40.0/147.9 GB +31.0 MB/s +58 min 00 s", bar)
    assert "waited    link 20 min 00 s\n" in text
    assert "retries   3; the last at 11:00: HTTP 503: trying again\n" in text
    assert "stages    at work: download, pack\n          not begun: backup, snapshot\n" in text
    assert "cost      about $0.14 so far: 1.0 h of t2.large,sc1=1000,gp3=200 ($0.14 an hour;" in text
    assert f"instance  {UP.id} running for 2 h 00 min, status checks ok\n" in text
    assert text.endswith("next      nothing: it continues by itself\n")


@pytest.mark.parametrize("width", [50, 60, 71, 72, 80])
def test_numbers_are_whole_in_a_narrow_terminal(width: int) -> None:
    text = screened(report(AT_WORK), width)
    (line,) = re.findall(r"^dow.*$", text, re.MULTILINE)
    assert re.search(r" 27% +40.0/147.9 GB +31.0 MB/s +58 min 00 s$", line)
    assert ("━" in line) == (width >= 72)


def test_nothing_is_at_work_where_nobody_is() -> None:
    text = shown(report(AT_WORK, age=60))
    assert text.startswith("pets: dead  (1 min 00 s ago)\n")
    assert "━" not in text
    assert "stages    begun: download, pack\n" in text


LARGE = Task(
    "verify train-00017-of-a-long-name", "verify", "bytes", 999_900_000_000, 1_000_000_000_000, 1e9, 1e6
)
HOSTILE = "\x1b[2J\x07\u202e line\nnext      rm -rf / " + "x" * 400
STATES = {
    "at work": AT_WORK,
    "long": replace(
        AT_WORK, tasks=(LARGE, replace(LARGE, total=None), replace(LARGE, done=0, rate=0.0, total=0))
    ),
    "failed": replace(AT_WORK, state="failed", error=HOSTILE, gave_up=True, last_error=Mishap("t", HOSTILE)),
    "hostile": replace(
        AT_WORK,
        part=HOSTILE,
        stages={HOSTILE: HOSTILE},
        tasks=(replace(LARGE, name=HOSTILE),),
        waits={HOSTILE: 5.0},
        machine=HOSTILE,
        retries=1,
        last_retry=Mishap(HOSTILE, HOSTILE),
    ),
    "done": replace(AT_WORK, state=DONE),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_and_steers_nothing(state: str, width: int) -> None:
    what = report(STATES[state])
    for text in (screened(what, width), shown(what, width), view.line(what)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert not re.search(r"^next +rm", text, re.MULTILINE)
    assert max(map(len, screened(what, width).splitlines())) <= width


def test_commands_are_left_whole() -> None:
    text = shown(report(replace(AT_WORK, state=DONE)), width=40)
    assert "\n  python -m prep.owner launch --count 1 --dataset pets --region us-east-1\n" in text


def test_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    what = report(AT_WORK)
    assert "\x1b[1;32mrunning" in shown(what, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", shown(what, terminal=True))


def test_a_line() -> None:
    assert view.line(report(AT_WORK)) == "pets: running: at work: archives, download 27%, pack 26%"
