"""A page cache that forgets, as that of a machine does whose data is many times its memory.

Large files keep in memory only what was read or written a moment ago; so what a stage reads back later it
reads from the disk, however small the data of a measurement is.
"""

import contextlib
import ctypes
import mmap
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 20  # bytes remembered or forgotten together
# Long enough for what is read ahead or read twice in a row, short enough for a tenth of a gigabyte.
SECONDS = 2.0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]


@contextlib.contextmanager
def forgetful(folders: Sequence[Path], seconds: float = SECONDS) -> Iterator[None]:
    """Within the block, forget pieces of files below some folders `seconds` to twice that after their use."""
    done = threading.Event()

    def work() -> None:
        before: dict[Path, NDArray[np.bool_]] = {}
        while not done.wait(seconds):
            now: dict[Path, NDArray[np.bool_]] = {}
            for path in [path for folder in folders for path in folder.rglob("*")]:
                with contextlib.suppress(OSError):  # it may be gone by now
                    if path.is_file() and path.stat().st_size >= PIECE:
                        now[path] = forget(path, before.get(path, np.empty(0, np.bool_)))
            before = now

    thread = threading.Thread(target=work, name="forgetful", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def forget(path: Path, old: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Forget the pieces of a file that are in memory and were so before, by `old`; returns which are left."""
    handle = os.open(path, os.O_RDONLY)
    try:
        here = in_memory(handle)
        again = here.copy()
        again[: len(old)] &= old[: len(here)]
        again[len(old) :] = False
        # Run by run: the kernel keeps a folio, which may be larger than a piece, unless all of it is to go.
        edges = np.flatnonzero(np.diff(again, prepend=False, append=False))
        for first, end in edges.reshape(-1, 2).tolist():
            os.posix_fadvise(handle, first * PIECE, (end - first) * PIECE, os.POSIX_FADV_DONTNEED)
        return here & ~again
    finally:
        os.close(handle)


def in_memory(handle: int) -> NDArray[np.bool_]:
    """For each piece of an open file, whether any of it is in the page cache."""
    size = os.fstat(handle).st_size
    if not size:
        return np.empty(0, np.bool_)
    with mmap.mmap(handle, size, prot=mmap.PROT_READ) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
        failed = _libc.mincore(view.ctypes.data, size, pages.ctypes.data)
        del view  # or the mapping can't be closed
    if failed:
        raise OSError(ctypes.get_errno(), f"mincore: {os.strerror(ctypes.get_errno())}")
    per_piece = PIECE // mmap.PAGESIZE
    return np.asarray(np.logical_or.reduceat(pages & 1, np.arange(0, len(pages), per_piece)), np.bool_)
