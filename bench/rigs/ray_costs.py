"""`python -m bench.rigs.ray_costs --address A --tasks N …`: tasks on Ray that do nothing.

With --bytes, each leaves so many bytes in Ray's object store. With --links, a chain of so many links follows,
each of which gets what the one before has returned. Prints one line of JSON: {"tasks": …, "links": …}, both
in seconds.
"""

import json
import time
from functools import cache
from typing import Any

import click
import numpy as np

from prep.cluster.engine import Engine, absorb, connected
from prep.progress import Progress
from prep.state import midstate


@cache
def _bytes(size: int) -> Any:
    return np.full(size, 1, np.uint8)


def nothing(size: int) -> Any:
    """So many bytes."""
    return _bytes(size)


def _chain(engine: Engine, links: int) -> None:
    state: Any = midstate.begin("sha256")
    piece = engine.share(np.zeros(1, np.uint8))
    for _ in range(links):
        state = engine.submit(absorb, "sha256", state, piece, cores=0)
    if links:
        engine.value(state)


@click.command()
@click.option("--address", required=True)
@click.option("--tasks", type=int, default=0)
@click.option("--bytes", "size", type=int, default=1)
@click.option("--links", type=int, default=0)
def main(address: str, tasks: int, size: int, links: int) -> None:
    """Run them."""
    with connected(address, Progress(False)) as engine:
        engine.value(engine.submit(nothing, 1))
        begun = time.perf_counter()
        for _ in engine.run(nothing, ((size,) for _ in range(tasks))):
            pass
        done = time.perf_counter()
        _chain(engine, links)
        print(json.dumps({"tasks": done - begun, "links": time.perf_counter() - done}))


if __name__ == "__main__":
    from bench.rigs import ray_costs  # so that workers find the task by the name of its module

    ray_costs.main()
