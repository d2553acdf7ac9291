"""What single things cost on this machine: a digest, a ranged GET, a task of Ray's, a link of a chain."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.rigs.engines import Meter, Store
from bench.rigs.process import run
from bench.rigs.ray_head import RayHead, ray_head
from bench.workloads.workload import scratch
from prep.state import midstate

MIB = 1 << 20
PIECE = 128 * MIB  # bytes, as a range
PIECES = 8
GETS = 2000
SLICES = (4 << 10, 512 << 10)  # bytes: what differs is the bytes, what they share is the request
TASKS, LINKS = 1000, 300
LARGE, LARGE_TASKS = 64 * MIB, (20, 80)  # the first ones fill the object store, which costs more


@dataclass(frozen=True)
class RayCosts:
    """Processor seconds of a task, and of a byte that it returns; seconds between two links of a chain."""

    task: float
    copied: float
    link: float


def digest_rate(algorithm: str) -> float:
    """Bytes a second of a digest, "sha256" or "md5", as a chain computes it."""
    piece = np.random.default_rng(0).integers(0, 256, PIECE, np.uint8)
    state = midstate.begin(algorithm)
    begun = time.process_time()
    for _ in range(PIECES):
        state = midstate.absorb(algorithm, state, piece.data)
    return PIECE * PIECES / (time.process_time() - begun)


def get_costs(there: Store) -> tuple[float, float]:
    """Processor seconds of a ranged GET, and of a byte of its answer, as a merge reads its slices."""
    with there.bucket() as bucket:
        there.client.put_object(Bucket=bucket, Key="object", Body=bytes(64 * MIB))
        small, large = (_gets(there, bucket, size) for size in SLICES)
    byte = max(0.0, large - small) / (SLICES[1] - SLICES[0])
    return small - byte * SLICES[0], byte


def _gets(there: Store, bucket: str, size: int) -> float:
    """Processor seconds of a GET of so many bytes, of this process."""
    words = [sys.executable, "-m", "bench.rigs.gets", bucket, "object", str(size), str(GETS)]
    ran = run(words, scratch("gets") / "gets.log", environment=there.server.environment())
    return float(json.loads(ran.output)["processor"]) / GETS


def ray_costs(there: Store) -> RayCosts:
    """What Ray itself takes, all its processes, on a cluster of two CPUs."""
    with ray_head(2, there.server.environment()) as head:
        base, _ = _on(there, head)
        small, _ = _on(there, head, "--tasks", str(TASKS))
        few, many = (_on(there, head, "--tasks", str(n), "--bytes", str(LARGE))[0] for n in LARGE_TASKS)
        _, chained = _on(there, head, "--links", str(LINKS))
    task = max(0.0, small - base) / TASKS
    more = LARGE_TASKS[1] - LARGE_TASKS[0]
    copied = max(0.0, many - few - more * task) / (more * LARGE)
    return RayCosts(task, copied, chained["links"] / LINKS)


def _on(there: Store, head: RayHead, *options: str) -> tuple[float, Mapping[str, float]]:
    """Processor seconds of a run of bench.rigs.ray_costs and all of Ray, and what it prints."""
    words = [sys.executable, "-m", "bench.rigs.ray_costs", "--address", head.address, *options]
    with Meter(there, head.pids) as meter:
        ran = run(words, scratch("costs") / "costs.log", environment=dict(head.environment))
    return meter.ours, json.loads(ran.output)
