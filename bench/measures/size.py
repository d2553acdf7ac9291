"""Size: as many images as ImageNet has, though tiny ones, through pack and verify.

What is looked for is what grows with the number: memory, as the kernel's high-water mark while the stages
run, and the time for an image, from what they tell their progress display.
"""

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import BenchError, Figure, Result, Table
from bench.rigs import ours
from bench.rigs.ours import Place
from bench.rigs.process import peak_memory
from bench.workloads import tiny
from bench.workloads.workload import Given, Workload, scratch, workload

GIB = 1 << 30
MEMORY_GIB, DRIFT = 1.0, 0.10
TENTH, ENOUGH = 0.1, 10  # a tenth wants so many observations to be measured

Seen = Sequence[tuple[float, float, float]]
"""Progress: seconds, seconds of processor time, bytes done; in order."""


@dataclass(frozen=True)
class Watched:
    """One stage: seconds by the clock, most bytes of memory, and how far it was when."""

    stage: str
    seconds: float
    memory: int
    seen: Seen


def measure(given: Given, scale: float) -> Result:
    """Pack and verify, once each."""
    data = _workload(given, scale)
    place = ours.beside(scratch("size"), data.archives, data.description)
    stages = [_watch(place, "pack", "pack"), _watch(place, "verify", f"verify {data.splits[0]}")]
    packed = ours.packed_images(place)
    if packed != data.images:
        raise BenchError(f"size: {packed} of {data.images} images are packed")
    peak = max(stage.memory for stage in stages) / GIB
    figures = [
        Figure("memory at its peak, pack and verify", peak, "GiB", MEMORY_GIB, "most"),
        *map(_drift_figure, stages),
    ]
    rows = tuple(
        (s.stage, f"{s.seconds:.1f}", f"{packed / s.seconds:.0f}", f"{s.memory / GIB:.2f}") for s in stages
    )
    table = Table("Stages", ("stage", "seconds", "images/s", "peak GiB"), rows)
    return Result("size", data.text, tuple(figures), tables=(table,))


def _watch(place: Place, stage: str, task: str) -> Watched:
    """Run a stage; `task` is what it calls its largest piece of work."""
    record = place.log.with_name(f"{stage}.json")
    memory = [0]

    def look(pid: int) -> None:
        memory[0] = max(memory[0], peak_memory(pid))

    seconds = ours.prep(place, stage, watch=look, record=record).seconds
    return Watched(stage, seconds, memory[0], _seen(record, task))


def _seen(record: Path, task: str) -> Seen:
    told = json.loads(record.read_text())
    if task not in told:
        raise BenchError(
            f"size: prep's progress has no {task!r}, but {', '.join(told)}: correct bench/measures/size.py"
        )
    return [(seconds, busy, done) for seconds, busy, done in told[task]]


def _workload(given: Given, scale: float) -> Workload:
    name = "tiny" if scale == 1 else f"tiny-{scale:g}".replace(".", "-")  # no dots in a data set's name
    return workload(given, name, lambda folder: tiny.write(folder, name, scale))


def _drift_figure(stage: Watched) -> Figure:
    name = f"{stage.stage}: time for an image, last tenth to first"
    by_clock = last_to_first_tenth([(seconds, done) for seconds, _, done in stage.seen])
    busy = last_to_first_tenth([(seconds, done) for _, seconds, done in stage.seen])
    if by_clock is None or busy is None:
        return Figure(name, None, "", DRIFT, "most", "too short to be measured: use a larger --scale")
    note = f"{by_clock:.3f} by the clock, {busy:.3f} in processor time"
    return Figure(name, abs(by_clock - 1), "away from 1", DRIFT, "most", note)


def last_to_first_tenth(done: Sequence[tuple[float, float]]) -> float | None:
    """Time for the same amount at the end to that at the beginning, from (seconds, amount) seen in order.

    The first thing seen is the beginning, so that start-up does not count. None where there are not ten
    observations within a tenth.
    """
    if not done:
        return None
    amounts = [amount for _, amount in done]
    span = amounts[-1] - amounts[0]
    head = done[: bisect.bisect_right(amounts, amounts[0] + TENTH * span)]
    tail = done[bisect.bisect_left(amounts, amounts[-1] - TENTH * span) :]
    if min(len(head), len(tail)) < ENOUGH:
        return None
    first, last = ((part[-1][0] - part[0][0]) / (part[-1][1] - part[0][1]) for part in (head, tail))
    return last / first
