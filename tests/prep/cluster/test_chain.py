"""The digest of a file whose pieces come in any order, on a real cluster."""

import hashlib

import pytest

from prep.cluster.engine import calls_ahead
from tests.prep.cluster.chains import pieces_of
from tests.prep.cluster.stand import Stand

MODULE = "tests.prep.cluster.chains"


def digest(algorithm: str, seed: int, count: int) -> str:
    return hashlib.new(algorithm, b"".join(pieces_of(seed, count)), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize("seed", range(4))
def test_any_order_gives_the_digest(stand: Stand, algorithm: str, seed: int) -> None:
    found = stand.resident.call(f"{MODULE}:in_any_order", algorithm, seed, 12)
    assert found["digest"] == digest(algorithm, seed, 12)
    assert found["left"] == 0
    passed = [through for through, _ in found["noted"]]
    assert passed == sorted(set(passed))  # each step is noted once, in order
    assert passed[-1] == 12
    assert max(found["behind"]) <= 12


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_noted_state_goes_on_elsewhere(stand: Stand, algorithm: str) -> None:
    found = stand.resident.call(f"{MODULE}:in_any_order", algorithm, 5, 12)
    for through, state in (found["noted"][0], found["noted"][-1]):
        continued = stand.resident.call(f"{MODULE}:resumed", algorithm, 5, 12, through, state)
        assert continued == digest(algorithm, 5, 12)


def test_a_missing_piece_holds_up_those_after_it(stand: Stand) -> None:
    found = stand.resident.call(f"{MODULE}:with_a_gap")
    assert found == {"through": 1, "behind": 2, "digest": digest("sha256", 1, 4)}


def test_no_piece_at_all(stand: Stand) -> None:
    assert stand.resident.call(f"{MODULE}:in_any_order", "sha256", 0, 0)["digest"] == digest("sha256", 0, 0)


@pytest.mark.parametrize(("cores", "store", "piece", "ahead"), [
    (2, 1 << 30, 0, 64), (2, 1 << 30, 1 << 20, 64), (2, 1 << 30, 128 << 20, 4), (2, 1 << 30, 4 << 30, 2),
    (512, 600 << 30, 0, 1551), (512, 600 << 30, 1 << 30, 300), (0, 0, 1 << 20, 2),
])  # fmt: skip
def test_what_waits_for_a_chain_fits_into_half_of_the_store(
    cores: float, store: float, piece: int, ahead: int
) -> None:
    assert calls_ahead(cores, store, piece) == ahead
