"""Digests that are kept, sent and continued are those of hashlib."""

import ctypes
import hashlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from prep.errors import PrepError
from prep.state import midstate

ALGORITHMS = ["sha256", "md5"]
REPOSITORY = Path(__file__).parents[3]


def expected(algorithm: str, data: bytes | memoryview) -> str:
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


def pieces_of(data: bytes, seed: int) -> list[bytes | memoryview]:
    """The data in pieces, cut anywhere: many shorter than a block of 64 bytes, some empty."""
    rng = random.Random(seed)  # noqa: S311 - a test
    pieces: list[bytes | memoryview] = []
    start = 0
    while start < len(data):
        size = rng.choice([0, 1, rng.randrange(64), 63, 64, 65, rng.randrange(5000)])
        piece = data[start : start + size]
        pieces.append(memoryview(piece) if rng.random() < 0.5 else piece)
        start += size
    return pieces


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", range(20))
def test_any_cut_gives_the_digest_of_the_whole(algorithm: str, seed: int) -> None:
    """After each piece, and with some pieces absorbed together, some in calls of their own."""
    rng = random.Random(seed)  # noqa: S311 - a test
    data = rng.randbytes(rng.randrange(200_000))
    state = midstate.begin(algorithm)
    absorbed = b""
    left = pieces_of(data, seed)
    while left:
        together = rng.randrange(4)
        some, left = left[:together], left[together:]
        state = midstate.absorb(algorithm, state, *some)
        absorbed += b"".join(some)
        assert midstate.digest_of(algorithm, state) == expected(algorithm, absorbed)
    assert absorbed == data


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_number_of_pending_bytes(algorithm: str) -> None:
    data = bytes(range(200))
    for first in range(130):
        state = midstate.absorb(algorithm, midstate.begin(algorithm), data[:first])
        state = midstate.absorb(algorithm, state, data[first:])
        assert midstate.digest_of(algorithm, state) == expected(algorithm, data)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_absorbed(algorithm: str) -> None:
    state = midstate.begin(algorithm)
    assert midstate.absorb(algorithm, state) == state
    assert midstate.absorb(algorithm, state, b"", memoryview(b"")) == state
    assert midstate.digest_of(algorithm, state) == expected(algorithm, b"")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_state_stays_as_it_was(algorithm: str) -> None:
    """So that a task which Ray runs again gives the same, and two can go on from one state."""
    state = midstate.absorb(algorithm, midstate.begin(algorithm), b"x" * 100)
    kept = bytes(bytearray(state))
    assert midstate.digest_of(algorithm, state) == midstate.digest_of(algorithm, state)
    one, other = (midstate.absorb(algorithm, state, piece) for piece in (b"one", b"other"))
    assert state == kept
    assert midstate.digest_of(algorithm, one) == expected(algorithm, b"x" * 100 + b"one")
    assert midstate.digest_of(algorithm, other) == expected(algorithm, b"x" * 100 + b"other")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_views_of_numbers_and_of_read_only_memory(algorithm: str) -> None:
    numbers = np.arange(1000, dtype=np.uint32)
    numbers.flags.writeable = False
    state = midstate.absorb(algorithm, midstate.begin(algorithm), numbers.data, numbers.data[3:7])
    assert midstate.digest_of(algorithm, state) == expected(
        algorithm, numbers.tobytes() + numbers[3:7].tobytes()
    )


HAND_OVER = """
import sys
from prep.state import midstate
algorithm, state, piece = sys.argv[1], bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
print(midstate.absorb(algorithm, state, piece).hex())
"""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_processes_hand_a_state_on(algorithm: str) -> None:
    data = bytes(range(256)) * 3
    state = midstate.begin(algorithm)
    for start, end in ((0, 100), (100, 101), (101, len(data))):
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-c", HAND_OVER, algorithm, state.hex(), data[start:end].hex()],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        state = bytes.fromhex(done.stdout)
    assert midstate.digest_of(algorithm, state) == expected(algorithm, data)


def test_a_piece_of_more_than_4_gib() -> None:
    """Its size does not fit into 32 bits. The digest was computed by hashlib."""
    zeros = np.zeros(2**32 + 65, np.uint8)  # takes no memory as long as nobody writes to it
    state = midstate.absorb("sha256", midstate.begin("sha256"), zeros.data)
    assert (
        midstate.digest_of("sha256", state)
        == "9ea0597e74b9cb058f2d853f86b3c3b1bb43cf71f6b4113ada747653470bb24c"
    )


def test_other_threads_run_meanwhile() -> None:
    data = np.zeros(256 << 20, np.uint8).data
    state = midstate.begin("md5")
    times: list[float] = []

    def absorb() -> None:
        times.append(time.perf_counter())
        midstate.absorb("md5", state, data)  # about 0.3 s
        times.append(time.perf_counter())

    thread = threading.Thread(target=absorb)
    longest, last = 0.0, time.perf_counter()
    thread.start()
    while thread.is_alive():
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    began, ended = times
    assert longest < (ended - began) / 2  # all of it, if Python's lock were held


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_no_state_is_refused(algorithm: str) -> None:
    """OpenSSL trusts the number of pending bytes: it would write beyond the end of the struct."""
    state = midstate.absorb(algorithm, midstate.begin(algorithm), b"x" * 70)
    other = midstate.begin("md5" if algorithm == "sha256" else "sha256")
    pending = len(state) - (8 if algorithm == "sha256" else 4)
    assert state[pending] == 6
    damaged = bytearray(state)
    damaged[pending + 1] = 1
    wrong = [b"", state[:-1], state + b"\0", other, state.replace(b"1", b"2", 1), bytes(damaged)]
    if algorithm == "sha256":
        wrong.append(state[:-4] + b"\xff\0\0\0")  # the size of the digest
    for one in wrong:
        with pytest.raises(ValueError, match=algorithm):
            midstate.absorb(algorithm, one, b"y" * 100)
        with pytest.raises(ValueError, match=algorithm):
            midstate.digest_of(algorithm, one)


def test_other_algorithms_are_refused() -> None:
    with pytest.raises(ValueError, match="'sha1' is not one of sha256, md5"):
        midstate.begin("sha1")


@pytest.fixture
def nothing_found_yet() -> Iterator[None]:
    midstate._functions.cache_clear()
    yield
    midstate._functions.cache_clear()


@pytest.mark.usefixtures("nothing_found_yet")
@pytest.mark.parametrize("names", [[], ["libnosuch.so.3"], ["libc.so.6"]], ids=["none", "not there", "other"])
def test_without_libcrypto_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setattr(midstate, "_names", lambda: names)
    with pytest.raises(PrepError, match=r"sha256.*SHA256_Update.*install .*openssl-libs.*libssl3") as caught:
        midstate.begin("sha256")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("nothing_found_yet")
def test_each_way_to_libcrypto(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of Python itself, and the one that the system has by that name."""
    ways = 0
    for name in midstate._names():
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        midstate._functions.cache_clear()
        monkeypatch.setattr(midstate, "_names", lambda name=name: ["libnosuch.so.3", name])
        for algorithm in ALGORITHMS:
            state = midstate.absorb(algorithm, midstate.begin(algorithm), b"abc")
            assert midstate.digest_of(algorithm, state) == expected(algorithm, b"abc")
        ways += 1
    assert ways
