"""Progress for a log: a line now and then, with what is done, the rate and the time left."""

import re
import sys
import time

import pytest

from prep import progress
from prep.progress import Progress
from tests.prep.commands import REPOSITORY, environment
from tests.prep.terminals import COLOUR, lines, on_terminal

TASKS = """
import time
from prep.progress import Progress
with Progress() as shown:
    shown.add("ILSVRC2012_img_train.tar", 147_897_477_120, 40_000_000_000)
    shown.add("someone's very long archive [of many] images.tar", 999_900_000_000, 999_000_000)
    shown.add("pack", 1023, 3)
    shown.add("verify", None)
    for _ in range(4):
        time.sleep(0.1)
        shown.advance("ILSVRC2012_img_train.tar", 250_000_000)
        shown.advance("someone's very long archive [of many] images.tar", 100_000)
        shown.advance("pack", 100)
        shown.advance("verify", 5)
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day, to be set."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_half_minute(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as shown:
        shown.add("pack", 1_000_000, 100_000)
        for _ in range(59):
            clock[0] += 1.0
            shown.advance("pack", 1000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pack: 130.0 kB of 1.0 MB (13 %)")
    assert err.count("\n") == 1


def test_a_line_tells_of_all_tasks(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """However many there are; first of the one with most to do, not of those that are done."""
    with Progress() as shown:
        for name, done in (("pack", 900), ("organize", 100), ("inventory", 1000), ("backup", 500)):
            shown.add(name, 1000, done)
        for name in ("pack", "organize", "backup"):
            clock[0] += 1
            shown.advance(name, 10)
            clock[0] += 1
            shown.advance(name, 10)
        clock[0] += 30
        for _ in range(2):
            shown.advance("pack", 10)
    said = capsys.readouterr().err
    rate = r"(, [\d.]+ \w+/s, [\w ]+ left)?"  # rich has a clock of its own
    assert re.fullmatch(rf"organize: 120 bytes of 1.0 kB \(12 %\){rate}; backup 52 %, pack 93 %\n", said), (
        said
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bars_fit_the_terminal(width: int) -> None:
    """Each task keeps one line, with all its numbers; only a name becomes shorter."""
    shown = on_terminal([sys.executable, "-c", TASKS], width, environment({"COLUMNS": None}), str(REPOSITORY))
    found = lines(shown)
    assert max(map(len, found)) <= width
    begins = re.compile("ILSVRC2012_img_tra|someone's very|pack |verify ")
    assert [line for line in found if not begins.match(line)] == []  # nothing was folded into another line
    train = [line for line in found if line.startswith("ILSVRC2012_img_tra")]
    assert re.search(r"28% +41\.0/147\.9 GB +[\d.]+ GB/s +\d:\d\d:\d\d$", train[-1])
    assert ("\u2501" in train[-1]) == (width >= 80)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color(no_color: str) -> None:
    env = environment({"COLUMNS": None, "NO_COLOR": no_color, "TERM": "xterm-256color"})
    shown = on_terminal([sys.executable, "-c", TASKS], 80, env, str(REPOSITORY))
    assert bool(COLOUR.search(shown)) != bool(no_color)


def test_unknown_total(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as shown:
        shown.add("a", None)
        clock[0] += 60
        shown.advance("a", 5)
    assert capsys.readouterr().err.startswith("a: 5 bytes")


def test_silent(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(shown=False) as shown:
        shown.add("a", 10)
        clock[0] += 100
        shown.advance("a", 5)
    assert capsys.readouterr() == ("", "")


def test_notes_are_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are no markup, and long lines are not folded."""
    text = "error in [splits.train] " + "x" * 200
    with Progress() as shown:
        shown.note(text)
    assert capsys.readouterr().err == text + "\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3600, "1 h 00 min"), (90_061, "25 h 01 min")],
)
def testduration(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("as it is: é, 鍵, [red]", "as it is: é, 鍵, [red]"),
        (
            "Validation failed:\r\n  Invalid name\n",
            "Validation failed: Invalid name",
        ),
        ("\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?"),
        ("a\tb\rc\x9bd\u2028e\u202ef", "a?b?c?d?e?f"),
    ],
)
def test_one_line(text: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing that a server or a file says makes a second line, or controls the terminal."""
    assert progress.one_line(text) == line
    with Progress() as shown:
        shown.note(text)
    assert capsys.readouterr().err == line + "\n"


def test_brackets_in_a_name(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a bar they would be markup; what is no right markup would end the program."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress() as shown:
        shown.add("[/a] [link=x].tar", 100, 1)
        shown.note("[/b]")
    err = capsys.readouterr().err
    assert "[/a] [link=x].tar" in err
    assert "[/b]" in err


def test_what_has_been_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(shown=False) as shown:
        changes: list[str] = []
        shown.on_change = lambda: changes.append("changed")
        shown.begin("archives")
        shown.add("a", 100, 5)
        shown.add("b", None)
        shown.advance("a", 10)
        shown.waited("link", 2.5)
        shown.finish("download")
        shown.finish("download")
        shown.repeated("a: HTTP 503:\n trying again")
        shown.repeated("GetObject: SlowDown: trying again")
        seen = shown.seen()
        assert (seen.part, seen.finished, seen.waits) == ("archives", ["download"], {"link": 2.5})
        assert seen.tasks == {"a": (15, 100), "b": (0, None)}
        assert (seen.repeats, seen.last_repeat) == (2, "GetObject: SlowDown: trying again")
        assert changes == ["changed", "changed"]
        shown.add("a", 50, 1)  # a bar that begins anew
        assert shown.seen().tasks["a"] == (1, 50)
        assert shown.take_waits() == {"link": 2.5}  # looking takes nothing away
    assert capsys.readouterr().err.splitlines()[0] == "a: HTTP 503: trying again"
