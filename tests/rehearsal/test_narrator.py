"""What the rehearsal tells: lines of instances' logs and words of data sets are part of it."""

import io
from pathlib import Path

import pytest

from rehearsal.__main__ import report
from rehearsal.narrator import Narrator, RehearsalError

HOSTILE = "\x1b[2Jred\r\x07 \u202eback"
SHOWN = "?[2Jred?? ?back"


def test_nothing_controls_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    narrator = Narrator(stream)
    with narrator.step("Read"):
        narrator.note(HOSTILE)
    narrator.check(HOSTILE, False, HOSTILE)
    assert report(narrator, RehearsalError(HOSTILE, [HOSTILE]), tmp_path) == 1
    out, err = capsys.readouterr()
    assert SHOWN in stream.getvalue()
    assert out.count(SHOWN) == 2
    assert err.count(SHOWN) == 2
    assert not set("\x1b\r\x07\u202e") & set(stream.getvalue() + out + err)
