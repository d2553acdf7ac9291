"""What a benchmark works on: archives with their description, and the same images in class folders.

Made once, under .cache/bench, and used again; or the user's own, by `--archives` and `--dataset`, or by
`--images`.
"""

import os
import random
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.report import REPOSITORY, BenchError
from bench.workloads import archives
from rehearsal.checks.truth import Truth, read_truth

CACHE = REPOSITORY / ".cache" / "bench"
SCRATCH = CACHE / "scratch"
SUFFIXES = {".jpeg", ".jpg", ".png"}  # what im2rec.py takes for an image, and no less


@dataclass(frozen=True)
class Given:
    """The data that the user named, if any: a folder of images, or archives and their description."""

    images: Path | None = None
    archives: Path | None = None
    dataset: Path | None = None

    def __post_init__(self) -> None:
        if (self.archives is None) != (self.dataset is None):
            raise BenchError("--archives and --dataset go together: give both, or neither")
        if self.images and self.archives:
            raise BenchError("--images and --archives are two sets of data: give one of them")


@dataclass(frozen=True)
class Workload:
    """A folder of archives, their description, and what to call them."""

    kind: str
    archives: Path
    description: Path

    @cached_property
    def _described(self) -> dict[str, Any]:
        return tomllib.loads(self.description.read_text())

    @cached_property
    def truth(self) -> Truth:
        """How every image is labelled; reads all archives."""
        return read_truth(self.description, self.archives)

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return list(self._described["splits"])

    @property
    def images(self) -> int:
        """Images of all splits."""
        return sum(int(split["images"]) for split in self._described["splits"].values())

    @property
    def archive_bytes(self) -> int:
        """Bytes of the archives that hold images."""
        files = {str(split["archive"]) for split in self._described["splits"].values()}
        return sum((self.archives / file).stat().st_size for file in files)

    @cached_property
    def image_bytes(self) -> int:
        """Bytes of the images in the archives; reads all archives."""
        return sum(len(data) for split in self.truth.splits for _, data in split.images())

    @property
    def text(self) -> str:
        """The workload in a line."""
        mean = self.archive_bytes / max(1, self.images)
        return (
            f"{self.kind}: {self.images:,} images in {self._described['classes']['count']:,} classes, "
            f"{self.archive_bytes / 1e9:.2f} GB of archives, {mean / 1000:.1f} KB an image"
        )

    def listing(self) -> list[tuple[int, str]]:
        """Every image as (label, `<split>/<class>/<file>`), shuffled, always the same way."""
        listed = [
            (label, f"{split.name}/{name}")
            for split in self.truth.splits
            for name, label in split.labels.items()
        ]
        random.Random(0).shuffle(listed)  # noqa: S311 - an order, not a secret
        return listed

    def folders(self) -> Path:
        """The images unpacked, `<split>/<class>/<file>`; made at the first call."""
        target = self.archives.parent / "images"
        if self.archives.parent.parent != CACHE:
            target = CACHE / "given" / "unpacked"
            shutil.rmtree(target, ignore_errors=True)

        def unpack(folder: Path) -> None:
            for split in self.truth.splits:
                for name, data in split.images():
                    path = folder / split.name / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)

        return made(target, unpack)


def made(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, filled by `make` if it isn't there; whole or not at all."""
    if not folder.is_dir():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        os.sync()  # what was made must not be flushed while something is timed
        partial.rename(folder)
    return folder


def scratch(name: str) -> Path:
    """An empty folder; what an earlier run left there is gone."""
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def workload(given: Given, name: str, make: Callable[[Path], object]) -> Workload:
    """The given data, or else what `make` writes into a folder: `archives` and `name`.toml.

    Raises:
        BenchError: what is given can't be used.
    """
    if given.archives and given.dataset:
        return _checked(Workload("given archives", given.archives.absolute(), given.dataset.absolute()))
    if given.images:
        folder = _pack_images(given.images)
        return Workload("a folder of images", folder / "archives", folder / "given.toml")
    folder = made(CACHE / name, make)
    return Workload(f"generated {name}", folder / "archives", folder / f"{name}.toml")


def _checked(given: Workload) -> Workload:
    try:
        _ = given.text  # needs the description and every archive of images
    except (OSError, ValueError, KeyError) as error:
        raise BenchError(f"{given.description}: can't be read with {given.archives}: {error}") from error
    return given


def _pack_images(images: Path) -> Path:
    """Archives of a folder of class folders, or of images; anew each time, as the folder may have changed."""
    by_class: dict[str, list[Path]] = {}
    for path in sorted(images.rglob("*")):
        if path.is_file() and path.suffix.lower() in SUFFIXES:
            wnid = path.parent.name if path.parent != images else "images"
            by_class.setdefault(wnid, []).append(path)
    if not by_class:
        raise BenchError(f"--images {images}: no .jpeg, .jpg or .png in it: give a folder that has some")
    shutil.rmtree(CACHE / "given", ignore_errors=True)
    folder = CACHE / "given"
    (folder / "archives").mkdir(parents=True)
    archives.write_nested(
        folder / "archives" / "given.tar",
        ((wnid, archives.tar_bytes(_members(paths))) for wnid, paths in sorted(by_class.items())),
    )
    count = sum(map(len, by_class.values()))
    archives.write_description(
        folder / "given.toml", folder / "archives", len(by_class), ("given.tar", count), None
    )
    return folder


def _members(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Two folders of one name are one class: the number keeps their files apart."""
    seen: set[str] = set()
    for number, path in enumerate(paths):
        name = path.name if path.name not in seen else f"{number}-{path.name}"
        seen.add(name)
        yield name, path.read_bytes()
