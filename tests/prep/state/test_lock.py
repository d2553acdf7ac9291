"""The lock: one process at a time, and anybody may look whether there is one."""

import threading
import time
from pathlib import Path

import pytest

from prep.errors import DescriptionError
from prep.state import lock
from prep.state.layout import Layout
from prep.state.lock import is_locked, locked


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "root", tmp_path / "packed")


def test_looking_makes_nothing(layout: Layout, tmp_path: Path) -> None:
    assert not is_locked(layout)
    assert list(tmp_path.iterdir()) == []
    with locked(layout):
        assert is_locked(layout)
        with (
            pytest.raises(DescriptionError, match="another prep process is using this folder"),
            locked(layout),
        ):
            pass
    assert not is_locked(layout)


def test_a_look_refuses_nobody(layout: Layout) -> None:
    """Who looks holds the lock for a moment; a process that begins then waits for that."""
    with locked(layout):
        pass
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_locked(layout)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with locked(layout):
                time.sleep(0.001)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_second_process_is_told_soon(layout: Layout) -> None:
    with locked(layout):
        begun = time.monotonic()
        with pytest.raises(DescriptionError), locked(layout):
            pass
        assert time.monotonic() - begun < 2 * lock.TRIES * lock.PAUSE + 1
