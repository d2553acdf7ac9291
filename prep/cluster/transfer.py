"""Reading large pieces of objects over several connections."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

CONNECTIONS = 4
READ_BYTES = 16 << 20  # for each request
Read = Callable[[int, int], bytes]
"""Returns bytes of an object, given the offset and the size."""
ReadInto = Callable[[int, memoryview], None]
"""Fills a buffer with bytes of an object, given the offset."""


def read_parallel(read_into: ReadInto, offset: int, size: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """`size` bytes of an object from `offset` on."""
    data = np.empty(size, np.uint8)

    def fill(start: int) -> None:
        read_into(offset + start, data.data[start : start + READ_BYTES])

    with ThreadPoolExecutor(CONNECTIONS, "read") as pool:
        list(pool.map(fill, range(0, size, READ_BYTES)))
    return data


def read_blocks(read: Read, size: int) -> Iterator[bytes]:
    """The first `size` bytes of an object, block by block; a few blocks are in memory at once."""
    starts = range(0, size, READ_BYTES)
    with ThreadPoolExecutor(CONNECTIONS, "read") as pool:
        for number in range(0, len(starts), CONNECTIONS):
            some = starts[number : number + CONNECTIONS]
            yield from pool.map(lambda start: read(start, min(READ_BYTES, size - start)), some)
