"""`status` in the folders of a run: of a run before, only what is still true."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from prep.reporting.document import FAILED, Document
from prep.state.layout import Layout
from prep.state.lock import locked
from tests.prep.commands import call
from tests.prep.reporting.documents import AT_WORK


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "root", tmp_path / "packed")


def status(layout: Layout, *more: str) -> str:
    return call("status", "--root", str(layout.root), "--packed", str(layout.packed), *more).stdout


def left(layout: Layout, document: Document, seconds: float) -> None:
    """What a run has left so long ago."""
    layout.journals.mkdir(parents=True)
    layout.status.write_bytes(document.to_json())
    os.utime(layout.status, (time.time() - seconds,) * 2)


@pytest.mark.parametrize("document", [AT_WORK, replace(AT_WORK, state=FAILED, error="no room", exit_code=6)])
def test_another_command_is_at_work(layout: Layout, document: Document) -> None:
    left(layout, document, 778)
    with locked(layout):
        text = status(layout)
    head, *lines = text.splitlines()
    assert head == "ilsvrc2012: running"
    assert not [line for line in lines if line.startswith(("download", "pack", "waited"))]
    assert "stages    not begun: download, organize, pack, verify" in text


def test_a_run_is_at_work(layout: Layout) -> None:
    left(layout, AT_WORK, 5)
    with locked(layout):
        text = status(layout)
    assert text.startswith("ilsvrc2012: running  (5 s ago)\ndownload  ")
    assert "stages    at work: download, pack\n" in text
