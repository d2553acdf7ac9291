"""A Ray cluster on this machine, for the length of a `with` block: the real `ray start`, once a node."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.report import BenchError
from bench.rigs.process import kill
from prep.cluster.engine import SETTINGS

# Loopback, an address for each node; Ray puts another address of the machine in the place of 127.0.0.1.
IPS = ("127.0.0.2", "127.0.0.3")
READY_SECONDS, STOP_SECONDS, LOOK_SECONDS = 60.0, 40.0, 0.02
STARTED = re.compile(r"(Ray runtime started)")
ADDRESS = re.compile(r"ray start --address='([^']+)'")  # what a head says about further nodes
OBJECT_STORE = 1 << 30  # bytes
IDLE = "RAY_idle_worker_killing_time_threshold_ms"  # userdata/cluster.sh gives it to Ray's nodes too
SERVANTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class RayHead:
    """A running cluster.

    Attributes:
        address: where clients connect.
        pids: the first process of each node.
        seconds: how long the head took to start.
        environment: what clients need in theirs.
    """

    address: str
    pids: tuple[int, ...]
    seconds: float
    environment: Mapping[str, str]


def is_worker(title: str) -> bool:
    """Whether a process with that title runs tasks."""
    return title.startswith("ray::") and not title.startswith(SERVANTS)


@contextlib.contextmanager
def ray_head(
    cpus: int,
    environment: Mapping[str, str],
    cores: set[int] | None = None,
    nodes: int = 1,
    object_store: int = OBJECT_STORE,
) -> Iterator[RayHead]:
    """Start a cluster whose nodes run `cpus` tasks at a time each; at its end, end all that it has started.

    `environment` is that of the workers; `cores` are those that the whole cluster may use, or None for all.

    Raises:
        BenchError: it does not start.
    """
    folder = Path(f"/tmp/r{secrets.token_hex(3)}")  # noqa: S108 - sockets want a path of less than 107 bytes
    folder.mkdir(mode=0o700)
    clients = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PREP_", "RAY_"))}
    settings |= dict(environment) | clients | {IDLE: SETTINGS[IDLE]}
    common = [f"--num-cpus={cpus}", f"--temp-dir={folder}", f"--object-store-memory={object_store}"]
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        pids, seconds, address = [], [], ""
        for number, ip in enumerate(IPS[:nodes]):
            role = [f"--address={address}"] if number else HEAD
            log = folder / f"start-{number}.log"
            words = [*pinned(cores), *START, *role, *common, f"--node-ip-address={ip}", "--block"]
            begun = time.perf_counter()
            node = _start(words, settings, log)
            stack.callback(_stop, node)
            told = _wait(node, log, STARTED if number else ADDRESS)
            seconds.append(time.perf_counter() - begun)
            pids.append(node.pid)
            address = address or told
        yield RayHead(address, tuple(pids), seconds[0], clients)


START = (sys.executable, str(Path(sys.executable).with_name("ray")), "start", "--disable-usage-stats")
HEAD = ["--head", "--port=0", "--include-dashboard=false", "--include-log-monitor=false"]


def pinned(cores: set[int] | None) -> list[str]:
    """The beginning of a command that keeps it to some cores."""
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(cores)))] if cores else []


def _start(words: list[str], environment: Mapping[str, str], log: Path) -> Process:
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - fixed arguments
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def _wait(node: Process, log: Path, told: re.Pattern[str]) -> str:
    """Until a node is there and has told something; returns the first group of that."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and node.poll() is None:
        if found := told.search(log.read_text(errors="replace")):
            return found.group(1)
        time.sleep(LOOK_SECONDS)
    lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    raise BenchError(f"ray start: no node within {READY_SECONDS:.0f} s: {lines[-1].strip()}")


def _stop(node: Process) -> None:
    """SIGTERM: Ray ends its own processes then. What is left of its group is killed."""
    node.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        node.wait(STOP_SECONDS)
    kill(node)
