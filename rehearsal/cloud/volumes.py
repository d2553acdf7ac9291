"""The bytes of volumes and snapshots: sparse files, on loop devices while they are attached."""

# ruff: noqa: S603 (fixed commands, found on the PATH)

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

from rehearsal.instance.loop import GIB, loop_device


class Volumes:
    """Files under one folder: volumes/vol-….img and snapshots/snap-….img."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._attached: dict[str, tuple[str, int]] = {}  # volume id → loop device, its open descriptor
        self._lock = threading.Lock()
        for name in ("volumes", "snapshots"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def volume(self, volume_id: str) -> Path:
        return self._folder / "volumes" / f"{volume_id}.img"

    def snapshot(self, snapshot_id: str) -> Path:
        return self._folder / "snapshots" / f"{snapshot_id}.img"

    def create(self, volume_id: str, size_gib: int, snapshot_id: str | None) -> None:
        """A new volume, blank or from a snapshot."""
        path = self.volume(volume_id)
        source = self.snapshot(snapshot_id) if snapshot_id else None
        if source and source.exists():
            copy_sparse(source, path)
        with path.open("ab"):
            os.truncate(path, size_gib * GIB)

    def copy(self, source_id: str, volume_id: str) -> None:
        """The bytes of one volume into another, which may be larger."""
        if self.volume(source_id).exists():
            size = self.volume(volume_id).stat().st_size
            copy_sparse(self.volume(source_id), self.volume(volume_id))
            os.truncate(self.volume(volume_id), size)

    def take_snapshot(self, snapshot_id: str, volume_id: str) -> None:
        """The volume as it is now. What its file system has not written out yet is not in it, as on AWS."""
        if self.volume(volume_id).exists():
            copy_sparse(self.volume(volume_id), self.snapshot(snapshot_id))

    def copy_snapshot(self, source: str, target: str) -> None:
        if self.snapshot(source).exists():
            copy_sparse(self.snapshot(source), self.snapshot(target))

    def delete(self, volume_id: str) -> None:
        self.volume(volume_id).unlink(missing_ok=True)

    def delete_snapshot(self, snapshot_id: str) -> None:
        self.snapshot(snapshot_id).unlink(missing_ok=True)

    def attach(self, volume_id: str) -> str:
        """Puts the volume on a loop device and gives its path."""
        with self._lock:
            if volume_id not in self._attached:
                self._attached[volume_id] = loop_device(self.volume(volume_id))
            return self._attached[volume_id][0]

    def detach(self, volume_id: str) -> None:
        """Frees the loop device once nothing has it mounted any more."""
        with self._lock:
            device, descriptor = self._attached.pop(volume_id, ("", -1))
        if descriptor < 0:
            return
        os.close(descriptor)
        backing = Path("/sys/block") / Path(device).name / "loop" / "backing_file"
        # The file system of an instance that has just ended is written out and unmounted in the background.
        deadline = time.monotonic() + 20
        while _backs(backing, self.volume(volume_id)) and time.monotonic() < deadline:
            time.sleep(0.02)

    def close(self) -> None:
        for volume_id in list(self._attached):
            self.detach(volume_id)


def _backs(backing: Path, image: Path) -> bool:
    try:
        return backing.read_text().strip() == str(image.resolve())
    except OSError:
        return False


def copy_sparse(source: Path, target: Path) -> None:
    """Shares the blocks where the file system can, else copies the data and leaves the holes."""
    partial = target.with_suffix(".partial")
    copy = ["cp", "--reflink=auto", "--sparse=always", str(source), str(partial)]
    subprocess.run(copy, check=True)
    partial.rename(target)


def check_space(folder: Path, workers: int = 0) -> None:
    """Raises OSError when the folder's file system is nearly full: writes to a volume would then hang.

    workers: of a cluster, each of which installs 1 GiB of packages; for a while there are twice as many.
    """
    needed = 4 + 2 * workers
    if shutil.disk_usage(folder).free < needed * GIB:
        raise OSError(f"{folder}: less than {needed} GiB free, which the rehearsal's volumes need")
