"""The peer: im2rec.py as shipped in the mxnet wheel, run as its users run it."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report import BenchError
from bench.rigs.process import LIMIT_SECONDS, Ran, run

WORKERS = (1, 2, 4, 16)


def script() -> Path:
    """im2rec.py of the installed mxnet.

    Raises:
        BenchError: there is none.
    """
    spec = importlib.util.find_spec("mxnet")
    path = Path(spec.origin).parent / "tools" / "im2rec.py" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise BenchError("im2rec.py: mxnet's wheel is not installed: pip install -r requirements.txt")
    return path


def write_list(path: Path, images: Sequence[tuple[int, str]]) -> None:
    """A list in im2rec.py's form of (label, path below the folder of images)."""
    path.write_text("".join(f"{index}\t{label:f}\t{name}\n" for index, (label, name) in enumerate(images)))


def im2rec(
    prefix: Path,
    images: Path,
    resize: int,
    quality: int,
    workers: int,
    log: Path,
    limit: float = LIMIT_SECONDS,
) -> Ran:
    """Pack what `prefix`.lst lists into `prefix`.rec.

    Raises:
        BenchError: it failed.
    """
    options = ["--resize", str(resize), "--quality", str(quality), "--num-thread", str(workers)]
    # Its users' mxnet warns of old NumPy names at every start.
    quiet = {"PYTHONWARNINGS": "ignore"}
    return run([sys.executable, script(), prefix, images, *options], log, environment=quiet, limit=limit)


def packed(prefix: Path) -> int:
    """How many images it really packed: it leaves out what it can't read, and doesn't say so at the end."""
    with prefix.with_suffix(".idx").open("rb") as lines:
        return sum(1 for _ in lines)


def counted(workers: int) -> str:
    """A number of workers in words."""
    return f"{workers} worker{'' if workers == 1 else 's'}"
