"""A Ray cluster on this machine: nodes with one core each, any of which can be killed.

The nodes are real: each has a raylet, an object store, an agent and workers, and a loopback address of its
own. They are children of a process, `python -m bench.rigs.ray_nodes FOLDER`, that takes commands on its
standard input and ends them all when that ends. So nothing is left when whoever uses it is killed.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.report import REPOSITORY, BenchError

STORE_BYTES = 80 << 20  # the smallest that Ray takes is 75 MiB
STOP_SECONDS = 20.0
TASKS = ("ray::deal", "ray::merge")
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # other processes' memory is none of its business
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
# A node that is gone is noticed within seconds instead of half a minute.
SYSTEM = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 4,
}


class Nodes:
    """The cluster. `address` is that of its head, which runs no tasks; all processes are in one session.

    `leader` is the process that leads the session.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.leader = process.pid
        self.address: str = self._answer()["address"]

    def add(self) -> int:
        """Start a node with one core; returns its number, counted from 1."""
        return int(self._ask("add")["node"])

    def kill_node(self, number: int) -> None:
        """Kill all processes of a node at once, as when its machine is lost."""
        self._ask(f"kill {number}")

    def numbers(self) -> list[int]:
        """The numbers of the nodes that are there."""
        return [int(number) for number in self._ask("numbers")["nodes"]]

    def kill_worker(self, seed: int) -> str | None:
        """Kill a worker that deals or merges; returns the title of its process, or None if there is none."""
        found = sorted((pid, title) for pid, title in session(self.leader).items() if title.startswith(TASKS))
        if not found:
            return None
        pid, title = random.Random(seed).choice(found)  # noqa: S311 - a choice, no secret
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return title
        return None

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101 - for mypy: it is a pipe
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - likewise
        line = self._process.stdout.readline()
        if not line:
            raise BenchError("the Ray cluster has ended: its standard error says why")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def ray_nodes(count: int, environment: Mapping[str, str]) -> Iterator[Nodes]:
    """Run a cluster of `count` nodes for the length of a `with` block.

    `environment` is that of all its processes, tasks included, beside the variables of this process.

    Raises:
        BenchError: it does not start.
    """
    # Ray's sockets lie below: the path of one has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    (folder / "ray").mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREP_", "RAY_"))}
    own = SETTINGS | {"RAY_TMPDIR": str(folder), "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(  # noqa: S603 - this module
        [sys.executable, "-m", "bench.rigs.ray_nodes", str(folder)],
        cwd=REPOSITORY,
        env=inherited | dict(environment) | own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt at the terminal is not for the nodes
    )
    try:
        nodes = Nodes(process)
        for _ in range(count):
            nodes.add()
        yield nodes
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - for mypy
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    deadline = time.monotonic() + STOP_SECONDS
    while left := session(process.pid):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise BenchError(f"the Ray cluster: processes {sorted(left)} do not end: end them")
        process.poll()
        time.sleep(0.05)
    process.wait()
    process.stdout.close()


def session(leader: int) -> dict[int, str]:
    """The processes of a session that have not ended, and their titles."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            state, _, _, sid = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            title = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        except OSError:  # it has just ended
            continue
        if int(sid) == leader and state not in "ZX":
            found[int(entry.name)] = title.decode(errors="replace")
    return found


def _children(parent: int) -> list[int]:
    """The processes that a process has started itself."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []


class _Cluster:
    """The nodes, in the process of their own."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": SYSTEM}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=self._placed(0) | head)
        self._nodes: dict[int, Any] = {}
        self._started = 0

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    @staticmethod
    def _placed(number: int) -> dict[str, Any]:
        return {"node_ip_address": f"127.0.0.{number + 2}", "object_store_memory": STORE_BYTES}

    def do(self, command: str) -> dict[str, Any]:
        """Do what a line says."""
        match command.split():
            case ["add"]:
                self._started += 1
                self._nodes[self._started] = self._cluster.add_node(num_cpus=1, **self._placed(self._started))
                return {"node": self._started}
            case ["kill", number]:
                self._kill(int(number))
                return {}
            case ["numbers"]:
                return {"nodes": [*self._nodes]}
        raise ValueError(f"{command}: must be add, kill or numbers")

    def _kill(self, number: int) -> None:
        node = self._nodes.pop(number)
        pids = {
            each.process.pid for processes in node.all_processes.values() for each in processes
        }  # its raylet; the workers are that one's children
        for pid in [*pids, *(child for parent in pids for child in _children(parent))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)

    def end(self) -> None:
        """End all."""
        self._cluster.shutdown()


def main(folder: Path) -> None:
    """Start the head, and do what standard input says until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints
    try:
        cluster = _Cluster()
        try:
            print(json.dumps({"address": cluster.address}), file=answers, flush=True)
            for line in sys.stdin:
                print(json.dumps(cluster.do(line)), file=answers, flush=True)
        finally:
            cluster.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
