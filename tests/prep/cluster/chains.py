"""Chains of digests on a cluster, for test_chain: the driver that stays connected calls these functions."""

import random
from typing import Any

import numpy as np

from prep.cluster.engine import Chain, Engine


def pieces_of(seed: int, count: int) -> list[bytes]:
    """Pieces of a file; some are empty, some too large to be sent along with a task."""
    chance = random.Random(seed)  # noqa: S311 - a test
    return [chance.randbytes(chance.choice([0, 1, 63, 64, 1000, 300_000])) for _ in range(count)]


def _shared(engine: Engine, piece: bytes) -> Any:
    return engine.share(np.frombuffer(piece, np.uint8))


def in_any_order(engine: Engine, algorithm: str, seed: int, count: int) -> dict[str, Any]:
    """The digest of pieces given in a seeded order, what was noted of it, and how far it was behind."""
    pieces, noted = pieces_of(seed, count), []
    chain = Chain(engine, algorithm, on_move=lambda each: noted.append([each.through, each.state.hex()]))
    order = list(range(count))
    random.Random(seed).shuffle(order)  # noqa: S311 - a test
    behind = []
    for number in order:
        chain.give(number, _shared(engine, pieces[number]))
        behind.append(chain.behind)
        chain.move_on()
    return {"digest": chain.finish(count), "noted": noted, "behind": behind, "left": chain.behind}


def resumed(engine: Engine, algorithm: str, seed: int, count: int, through: int, state: str) -> str:
    """The digest, continued from what was noted; the pieces before are not given again."""
    pieces = pieces_of(seed, count)
    chain = Chain(engine, algorithm, through, bytes.fromhex(state))
    for number in reversed(range(through, count)):
        chain.give(number, _shared(engine, pieces[number]))
    return chain.finish(count)


def with_a_gap(engine: Engine) -> dict[str, Any]:
    """A piece that is not there yet holds up those after it, and nothing else."""
    pieces = pieces_of(1, 4)
    chain = Chain(engine, "sha256")
    for number in (0, 2, 3):
        chain.give(number, _shared(engine, pieces[number]))
    while chain.next is not None:
        chain.move_on()
    before = {"through": chain.through, "behind": chain.behind}
    chain.give(1, _shared(engine, pieces[1]))
    return before | {"digest": chain.finish(4)}
