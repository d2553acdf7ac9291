"""What a run has used: seconds by part and by what they were spent waiting for, bytes by direction.

A run that is interrupted goes on in another process: what each process has used is added up in a file.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prep.errors import PrepError
from prep.progress import DATASET_VOLUME, WORK_VOLUME, Progress
from prep.state.files import write_json
from prep.state.layout import Layout

BOTH_VOLUMES = "volume"  # where the work volume and the dataset volume are one
SECTOR = 512  # the kernel's unit in /sys/dev/block/*/stat, whatever the device's own


class Usage:
    """Counts what this process uses, on top of what earlier ones have used for the same run."""

    def __init__(self, layout: Layout, progress: Progress) -> None:
        self._path = layout.usage
        self._progress = progress
        self._volumes = {WORK_VOLUME: layout.root, DATASET_VOLUME: layout.packed}
        if _device(layout.root) == _device(layout.packed):
            self._volumes = {BOTH_VOLUMES: layout.root}
        self._before = {name: volume_bytes(folder) for name, folder in self._volumes.items()}
        self._used = self._read()

    def _read(self) -> dict[str, Any]:
        used = so_far(self._path)
        return used | {"processes": used["processes"] + 1}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block as a part of the run, also if it fails."""
        begun = time.monotonic()
        self._progress.take_waits()
        self._progress.begin(name)
        try:
            yield
        finally:
            part = self._used["parts"].setdefault(name, {"seconds": 0.0, "waited": {}})
            part["seconds"] = round(part["seconds"] + time.monotonic() - begun, 1)
            _add(part["waited"], {what: round(s, 1) for what, s in self._progress.take_waits().items()})
            self._count_bytes()
            with suppress(OSError, PrepError):  # such as a full disk, of which the block's own error tells
                write_json(self._path, self._used)

    def _count_bytes(self) -> None:
        moved: dict[str, float] = dict(self._progress.take_moved())
        for name, folder in self._volumes.items():
            now, before = volume_bytes(folder), self._before[name]
            self._before[name] = now
            if now and before:
                moved |= {f"{name} read": now[0] - before[0], f"{name} written": now[1] - before[1]}
        _add(self._used["bytes"], moved)

    def counts(self) -> dict[str, Any]:
        """What has been used.

        {"processes": n, "parts": {part: {"seconds": s, "waited": {what: s}}}, "bytes": {what: n}}
        """
        return dict(self._used)

    def close(self) -> None:
        """The run is done: the next one begins from zero."""
        self._path.unlink(missing_ok=True)


def so_far(path: Path) -> dict[str, Any]:
    """What the processes of an unfinished run have used; see `counts` for the form."""
    try:
        used = json.loads(path.read_text())
        return {"processes": int(used["processes"]), "parts": used["parts"], "bytes": used["bytes"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"processes": 0, "parts": {}, "bytes": {}}


def _add(totals: dict[str, float], more: Mapping[str, float]) -> None:
    for name, amount in more.items():
        totals[name] = round(totals.get(name, 0) + amount, 1)


def volume_bytes(folder: Path) -> tuple[int, int] | None:
    """Bytes read from and written to the block device under a folder since it was attached.

    None where there is no single device, as on tmpfs or overlayfs. The fields are those of
    https://docs.kernel.org/block/stat.html.
    """
    device = _device(folder)
    try:
        text = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text()
    except OSError:
        return None
    fields = [int(field) for field in text.split()]
    return fields[2] * SECTOR, fields[6] * SECTOR


def _device(folder: Path) -> int:
    """The device of a folder, or of where it will be made."""
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_dev
