"""Processor time and memory of processes, those included that have ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bench.rigs.process_tree import TreeWatch, memory, title, tree

# A shell whose child is busy for a second with 50 MB, and ends long before the shell does.
CHILD = "import time\ndata = bytearray(50_000_000)\nwhile time.process_time() < 1.2: pass"
SHELL = f"{sys.executable} -c '{CHILD}'; sleep 30"


def test_a_tree_has_those_that_have_ended_too() -> None:
    with (
        subprocess.Popen(["/bin/sh", "-c", SHELL]) as shell,  # noqa: S603 - fixed arguments
        TreeWatch([shell.pid], lambda name: "bytearray" in name and "sleep" not in name) as watch,
    ):
        deadline = time.monotonic() + 20
        while not any(title(pid) == "sleep 30" for pid in tree(shell.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert shell.pid in tree(os.getpid())
        for pid in reversed(tree(shell.pid)):
            os.kill(pid, signal.SIGTERM)
    assert watch.seconds == pytest.approx(1.2, abs=0.25)
    assert len(watch.peaks) == 1
    assert [peak.resident > 50_000_000 for peak in watch.peaks.values()] == [True]


def test_nobody_watched_has_used_nothing() -> None:
    with TreeWatch([]) as watch:
        pass
    assert watch.seconds == 0
    assert watch.peaks == {}


def test_memory_of_this_process() -> None:
    now = memory(os.getpid())
    assert now
    assert 0 < now.share <= now.resident


def test_a_process_that_is_gone() -> None:
    done = subprocess.Popen(["/bin/true"])
    done.wait()
    assert title(done.pid) == ""
    assert memory(done.pid) is None
    assert tree(done.pid) == [done.pid]
