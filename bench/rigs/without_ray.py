"""`python -m bench.rigs.without_ray …`: `pack --on ray` with all its tasks in one process, in order.

The driver and the tasks are the real ones; only Ray is left out. So what Ray costs is the difference to a run
with it. Prints one line of JSON: {"seconds", "processor", "tasks": {name: {"calls", "processor", "seconds",
"memory"}}}: processor seconds and seconds of all calls, and the most bytes that one of them has added.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bench.rigs.process import peak_memory
from prep.cluster.engine import Chain, Engine
from prep.cluster.pack import Order, pack
from prep.cluster.place import Place
from prep.datasets import description
from prep.progress import Progress
from prep.records.dealing import PackSettings


class AtOnce(Engine):
    """An engine that runs a task when it is submitted. References are the results themselves."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, float]] = {}

    def share(self, value: object) -> Any:
        """The value."""
        return value

    def cores(self) -> float:
        """One."""
        return 1.0

    def submit(self, task: Callable[..., Any], *arguments: object, **_: Any) -> Any:
        """Run the task, and note its time."""
        before = _begin_peak()
        processor, seconds = time.process_time(), time.perf_counter()
        result = task(*arguments)
        noted = self.tasks.setdefault(
            task.__name__, {"calls": 0, "processor": 0.0, "seconds": 0.0, "memory": 0}
        )
        noted["calls"] += 1
        noted["processor"] += time.process_time() - processor
        noted["seconds"] += time.perf_counter() - seconds
        noted["memory"] = max(noted["memory"], peak_memory(os.getpid()) - before)
        return result

    def value(self, reference: Any) -> Any:
        """The result."""
        return reference

    def is_ready(self, _reference: Any) -> bool:
        """Always."""
        return True

    def run(
        self,
        task: Callable[..., Any],
        calls: Iterable[tuple[Any, ...]],
        *,
        passing_on: Callable[[int, Any], Chain | None] | None = None,
        memory: Callable[[int], int] = lambda _: 0,  # noqa: ARG002 - one task runs at a time
        piece: Callable[[int], int] = lambda _: 0,  # noqa: ARG002 - likewise
    ) -> Iterator[tuple[int, Any]]:
        """Run the calls in order."""
        for number, arguments in enumerate(calls):
            result = self.submit(task, *arguments)
            if passing_on:
                result, second = result
                if chain := passing_on(number, second):
                    chain.move_on()
            yield number, result


def _begin_peak() -> int:
    """Let the kernel's peak of this process begin now; returns its memory in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory(os.getpid())


@click.command()
@click.option("--dataset", required=True)
@click.option("--source", required=True)
@click.option("--packed", required=True)
@click.option("--resize", type=int, default=PackSettings.resize)
@click.option("--quality", type=int, default=PackSettings.quality)
def main(dataset: str, source: str, packed: str, resize: int, quality: int) -> None:
    """Pack once."""
    engine = AtOnce()

    @contextmanager
    def connect() -> Iterator[Engine]:
        yield engine

    settings = PackSettings(resize, quality)
    described = description.load(str(Path(dataset)))
    order = Order(described, Place.parse(source), Place.parse(packed), settings)
    processor, seconds = time.process_time(), time.perf_counter()
    pack(order, connect, Progress(False))
    told = {"seconds": time.perf_counter() - seconds, "processor": time.process_time() - processor}
    print(json.dumps(told | {"tasks": engine.tasks}))


if __name__ == "__main__":
    main()
