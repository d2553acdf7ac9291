"""What the archives say: classes, labels and images, read with `tarfile` and scipy and nothing of `prep`."""

import io
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import numpy as np
from scipy.io import loadmat  # type: ignore[import-untyped, unused-ignore]

_IMAGES: Final = {".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Class:
    """A class: its id (WordNet id or folder) and, where a devkit has them, its words."""

    id: str
    words: str | None


@dataclass(frozen=True)
class Split:
    """A split: its archive, how many images are promised, and each image's label by `<class>/<file>`."""

    name: str
    archive: Path
    layout: str
    promised: int
    labels: dict[str, int]
    class_of: dict[str, str]  # for a flat archive: file name → class

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Every image as `<class>/<file>` and its bytes, in the archive's order."""
        for folder, file, stream in _members(self.archive, self.layout):
            yield f"{folder or self.class_of[file]}/{file}", stream.read()


@dataclass(frozen=True)
class Truth:
    """The data set as its archives have it; a class's place in `classes` is its label."""

    name: str
    promised_classes: int
    classes: list[Class]
    splits: list[Split]


def read_truth(description: Path, archives: Path) -> Truth:
    """Read a data set's description and, from its archives, every image's name and label."""
    data = tomllib.loads(description.read_text())
    kit = data["classes"].get("devkit")
    numbers, words, truth = _devkit(archives / kit) if kit else ({}, {}, [])
    class_of = {}
    for split, entry in data["splits"].items():
        if entry["labels"] == "devkit":
            files = sorted(file for _, file, _ in _members(archives / entry["archive"], entry["layout"]))
            class_of[split] = {file: numbers[number] for file, number in zip(files, truth, strict=True)}
    found: dict[str, list[tuple[str, str]]] = {}
    for split, entry in data["splits"].items():
        by_file = class_of.get(split, {})
        found[split] = [
            (folder or by_file[file], file)
            for folder, file, _ in _members(archives / entry["archive"], entry["layout"])
        ]
    ids = sorted(set(words) or {folder for pairs in found.values() for folder, _ in pairs})
    rank = {identity: place for place, identity in enumerate(ids)}
    splits = [
        Split(
            split,
            archives / entry["archive"],
            entry["layout"],
            entry["images"],
            {f"{folder}/{file}": rank[folder] for folder, file in found[split]},
            class_of.get(split, {}),
        )
        for split, entry in data["splits"].items()
    ]
    classes = [Class(identity, words.get(identity)) for identity in ids]
    return Truth(data["name"], data["classes"]["count"], classes, splits)


def _devkit(path: Path) -> tuple[dict[int, str], dict[str, str], list[int]]:
    """Class by devkit number, words by class, and the ground truth."""
    numbers: dict[int, str] = {}
    words: dict[str, str] = {}
    truth: list[int] = []
    with tarfile.open(path) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is None:
                continue
            if member.name.endswith("/meta.mat"):
                synsets: Any = loadmat(io.BytesIO(stream.read()), squeeze_me=True)["synsets"]
                for synset in np.atleast_1d(synsets):
                    if int(synset["num_children"]) == 0:
                        numbers[int(synset["ILSVRC2012_ID"])] = str(synset["WNID"])
                        words[str(synset["WNID"])] = str(synset["words"])
            elif member.name.endswith("/ILSVRC2012_validation_ground_truth.txt"):
                truth = [int(line) for line in stream.read().split()]
    return numbers, words, truth


def _members(archive: Path, layout: str) -> Iterator[tuple[str | None, str, IO[bytes]]]:
    """Each image's folder (None in a flat archive), file name, and its bytes to be read before the next."""
    with tarfile.open(archive) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is None:
                continue
            path = PurePosixPath(member.name)
            if layout == "nested" and path.suffix == ".tar":
                with tarfile.open(fileobj=stream) as inner:
                    for entry in inner:
                        image = inner.extractfile(entry)
                        name = PurePosixPath(entry.name).name
                        if image is not None and PurePosixPath(name).suffix.lower() in _IMAGES:
                            yield path.stem, name, image
            elif layout in ("flat", "folders") and path.suffix.lower() in _IMAGES:
                yield (path.parent.name if layout == "folders" else None), path.name, stream
