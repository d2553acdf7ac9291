"""The page cache that forgets: what is old leaves it, what is new stays."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from bench.rigs.page_cache import PIECE, forget, forgetful, in_memory


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Four pieces and a bit, on the disk and in memory."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(os.urandom(4 * PIECE + 100))
        file.flush()
        os.fsync(file.fileno())
    path.read_bytes()
    if not all(cached(path)):
        pytest.skip("this file system's page cache does not hold what was just read")
    return path


def cached(path: Path) -> list[bool]:
    handle = os.open(path, os.O_RDONLY)
    try:
        return [bool(one) for one in in_memory(handle)]
    finally:
        os.close(handle)


def test_only_what_was_there_before_is_forgotten(file: Path) -> None:
    new = np.zeros(5, np.bool_)
    assert forget(file, new).all()
    assert all(cached(file))
    assert not forget(file, ~new).any()
    assert not any(cached(file))


def test_in_the_end_all_of_it_is_forgotten(file: Path) -> None:
    with forgetful([file.parent], seconds=0.05):
        for _ in range(100):  # five seconds: a hundred times what it takes
            if not any(cached(file)):
                break
            time.sleep(0.05)
    assert not any(cached(file))


def test_an_empty_file_has_nothing_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert cached(tmp_path / "file") == []
