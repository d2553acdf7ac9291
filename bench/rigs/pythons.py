"""The Pythons that have the readers to compare with: each needs packages that don't go with ours."""

import subprocess
import sys
from pathlib import Path

from bench.report import BenchError
from bench.rigs.process import run
from bench.workloads.workload import CACHE

DALI = "nvidia-dali-cuda120==2.4.0"  # runs on the CPU alone as well; about 1 GB with what it needs
SYSTEM = Path("/usr/bin/python3")  # Debian's has PyTorch as a package


def with_dali() -> Path:
    """A Python that has NVIDIA DALI, in an environment of its own; made at the first call.

    Raises:
        BenchError: it can't be installed.
    """
    folder = CACHE.parent / "dali"
    python = folder / "bin" / "python"
    if not _imports(python, "nvidia.dali"):
        log = CACHE / "dali.log"
        run([sys.executable, "-m", "venv", "--clear", folder], log)
        run([python, "-m", "pip", "install", "--quiet", DALI, "numpy"], log)
    return python


def with_torch() -> Path:
    """A Python that has PyTorch and torchvision.

    Raises:
        BenchError: there is none.
    """
    for python in (Path(sys.executable), SYSTEM):
        if _imports(python, "torch, torchvision"):
            return python
    raise BenchError("image folder: no PyTorch here: apt-get install python3-torch python3-torchvision")


def _imports(python: Path, modules: str) -> bool:
    command = [str(python), "-c", f"import {modules}"]
    return python.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
