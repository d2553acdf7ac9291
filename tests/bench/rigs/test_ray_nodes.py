"""The Ray cluster on this machine: its nodes can be killed, and nothing of it is left, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.report import REPOSITORY
from bench.rigs.ray_nodes import Nodes, ray_nodes, session

HOLDING = """
import sys
from bench.rigs.ray_nodes import ray_nodes
with ray_nodes(0, {}) as nodes:
    print(nodes.leader, flush=True)
    sys.stdin.read()
"""
SOON = 30.0  # seconds


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_nodes(2, {"NOTED": "by the nodes"}) as running:
        yield running


def raylets(nodes: Nodes) -> set[int]:
    return {
        pid for pid, title in session(nodes.leader).items() if "/raylet/raylet" in title.partition(" ")[0]
    }


def test_the_nodes_have_the_environment(nodes: Nodes) -> None:
    assert len(raylets(nodes)) == 3  # with the head's
    for pid in raylets(nodes):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert b"NOTED=by the nodes" in environment
        assert b"RAY_USAGE_STATS_ENABLED=0" in environment


def test_only_this_machine_is_listened_on_for_others(nodes: Nodes) -> None:
    assert nodes.address.startswith("127.0.0.")
    assert not nodes.address.startswith("127.0.0.1:")  # Ray would take the machine's own address instead


def test_a_node_that_is_killed_is_gone(nodes: Nodes) -> None:
    before = raylets(nodes)
    nodes.kill_node(1)
    assert nodes.numbers() == [2]
    assert len(raylets(nodes)) == 2
    assert nodes.add() == 3
    assert nodes.numbers() == [2, 3]
    assert len(raylets(nodes) - before) == 1


def test_no_worker_without_work(nodes: Nodes) -> None:
    assert nodes.kill_worker(1) is None


def test_nothing_is_left_when_its_user_is_killed() -> None:
    holder = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", HOLDING],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        leader = int(holder.stdout.readline())
        assert len(session(leader)) > 3
        (folder,) = {
            line.partition(b"=")[2].decode()
            for line in Path(f"/proc/{leader}/environ").read_bytes().split(b"\0")
            if line.startswith(b"RAY_TMPDIR=")
        }
        assert Path(folder).is_dir()
        os.kill(holder.pid, signal.SIGKILL)
    deadline = time.monotonic() + SOON
    while session(leader) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert session(leader) == {}
    assert not Path(folder).exists()
