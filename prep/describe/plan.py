"""Decides what the splits and classes of surveyed inputs are; what can't be decided is for the user."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.filesize import decimal

from prep.datasets.description import Labels, Layout
from prep.describe.inputs import Kind
from prep.describe.survey import Folder, Survey

# Folders, and words of file names, that say which split the images are of.
SPLIT_WORDS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Wishes:
    """What the user has decided.

    `splits` are names of splits by input. `class_folder` is which folder above an image is its class, 1 for
    the nearest; 0 lets `decide` find out. `without` are splits to leave out. `devkit` labels flat archives.
    With `converts`, inputs may be written again as plain tar archives.
    """

    splits: Mapping[Path, str] = field(default_factory=dict)
    class_folder: int = 0
    without: frozenset[str] = frozenset()
    devkit: Path | None = None
    converts: bool = False


@dataclass
class Part:
    """What one input gives to a split: images by folder below that of the split, and inner tars."""

    survey: Survey
    placing: "Placing"
    folders: Counter[Folder] = field(default_factory=Counter)
    inner: Counter[Folder] = field(default_factory=Counter)


@dataclass
class PlannedSplit:
    """A split. `class_folder` counts from the image; it is 0 in a flat or nested archive."""

    name: str
    parts: list[Part]
    layout: Layout = "folders"
    labels: Labels = "path"
    class_folder: int = 0
    images: int = 0
    classes: frozenset[str] = frozenset()
    why_convert: str = ""


@dataclass
class Plan:
    """The splits, what is worth knowing, and what must be decided first."""

    splits: list[PlannedSplit]
    notes: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def ask(self, problem: str, remedy: str) -> None:
        """Note what could not be decided, and the option that decides it."""
        self.open.append(f"{problem}: {remedy}")


def decide(surveys: Sequence[Survey], wishes: Wishes) -> Plan:
    """Make a plan. It can be carried out if nothing in it is open."""
    plan = Plan([])
    parts: dict[str, list[Part]] = {}
    for survey in surveys:
        if not survey.images:
            plan.ask(f"{survey.path.name}: holds no images", "leave it out, or give where they are")
        for name, part in _parts(survey, wishes, len(surveys), plan).items():
            parts.setdefault(name, []).append(part)
    for name in sorted(wishes.without - parts.keys()):
        plan.ask(f"--without {name}: there is no such split", f"choose from {', '.join(parts)}")
    for name, found in parts.items():
        if name in wishes.without:
            images = sum(part.folders.total() + part.inner.total() for part in found)
            plan.notes.append(f"{name}: left out, {images:,} images")
        else:
            plan.splits.append(_split(name, found, wishes, plan))
    if not plan.splits and not plan.open:
        plan.ask("no split is left", "leave out fewer with --without")
    _compare_classes(plan)
    converted = [split for split in plan.splits if split.why_convert]
    if converted and not wishes.converts:
        sizes = {part.survey.path: part.survey.bytes for split in converted for part in split.parts}
        reasons = "; ".join(dict.fromkeys(split.why_convert for split in converted))
        plan.ask(
            f"{reasons}, but a split needs a plain tar archive of its own",
            f"give --to DIR, where the images are written as such: about {decimal(sum(sizes.values()))}",
        )
    return plan


@dataclass(frozen=True)
class Placing:
    """Says of which split the images of an input are: what the user said, their folders, its file name."""

    given: str | None
    by_name: str | None

    @staticmethod
    def of(path: Path, wishes: Wishes) -> "Placing":
        """The placing of an input."""
        words = re.split(r"[^a-z]+", path.name.lower())
        by_name = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None)
        return Placing(wishes.splits.get(path), by_name)

    def __call__(self, folder: Folder) -> tuple[str | None, Folder]:
        """The split of images in a folder, if anything says it, and their folder below that of the split."""
        if self.given:
            return self.given, folder
        for place, name in enumerate(folder):
            if split := SPLIT_WORDS.get(name.lower()):
                return split, folder[place + 1 :]
        return self.by_name, folder


def _parts(survey: Survey, wishes: Wishes, inputs: int, plan: Plan) -> dict[str, Part]:
    """The parts of an input, by split."""
    placing = Placing.of(survey.path, wishes)
    found: dict[str, Part] = {}
    unnamed = 0
    for folder, images in survey.folders.items():
        name, inside = placing(folder)
        unnamed += images if name is None else 0
        found.setdefault(name or "train", Part(survey, placing)).folders[inside] += images
    for path, images in survey.inner.items():
        name, inside = placing(path[:-1])
        unnamed += images if name is None else 0
        found.setdefault(name or "train", Part(survey, placing)).inner[(*inside, path[-1])] += images
    if unnamed and (inputs > 1 or unnamed < survey.images):
        plan.ask(
            f"{survey.path.name}: the split of {unnamed:,} images is not clear from its name or folders",
            f"give --split train={survey.path}, or the name of another split",
        )
    elif unnamed:
        plan.notes.append(f"{survey.path.name}: taken as split train; --split NAME=FILE gives another name")
    return found


def _split(name: str, parts: list[Part], wishes: Wishes, plan: Plan) -> PlannedSplit:
    split = PlannedSplit(name, parts)
    folders = sum((part.folders for part in parts), Counter[Folder]())
    inner = sum((part.inner for part in parts), Counter[Folder]())
    split.images = folders.total() + inner.total()
    if folders and inner:
        plan.ask(f"{name}: holds images and inner tar archives of images", "give them as separate splits")
    elif inner or not folders:
        split.layout = "nested"
        split.classes = frozenset(path[-1].removesuffix(".tar") for path, images in inner.items() if images)
        if split.classes <= SPLIT_WORDS.keys():
            plan.ask(f"{name}: its inner tar archives are named like splits", "unpack it, and give these")
    else:
        _set_class_folder(split, folders, wishes, plan)
    split.why_convert = _why_convert(split)
    if split.why_convert and split.layout == "nested":
        split.layout = "folders"
    if not split.why_convert and (repeated := parts[0].survey.repeated):
        plan.ask(
            f"{name}: two images are named {repeated}, by the nearest folder and the file",
            "rename one in the archive; or, if the folder above is the class, give --class-folder 2",
        )
    return split


def _set_class_folder(split: PlannedSplit, folders: Counter[Folder], wishes: Wishes, plan: Plan) -> None:
    """Find which folder above an image is its class: the nearest whose name is not that of all images."""
    inside = list(folders)
    depth = min(map(len, inside))
    level = wishes.class_folder or next(
        (level for level in range(1, depth + 1) if len({folder[-level] for folder in inside}) > 1), 0
    )
    flat = sum(images for folder, images in folders.items() if len(folder) < (level or 1))
    if flat and wishes.devkit and flat == split.images:
        split.layout, split.labels = "flat", "devkit"
    elif flat:
        plan.ask(
            f"{split.name}: {flat:,} of {split.images:,} images lie in no class folder",
            f"give --devkit FILE with their classes, or leave the split out: --without {split.name}",
        )
    elif not level:
        only = inside[0][-1]
        plan.ask(
            f"{split.name}: all images lie in one folder, {only!r}, which would be the only class",
            "give --class-folder 1 if that is right, 2 for the folder above it",
        )
    else:
        split.class_folder = level
        split.classes = frozenset(folder[-level] for folder in inside)
        places = {folder[: len(folder) - level + 1] for folder in inside}
        if twice := len(places) - len(split.classes):
            plan.notes.append(f"{split.name}: class folders with the name of another, taken as one: {twice}")


def _why_convert(split: PlannedSplit) -> str:
    """Why the input can't be the archive of the split as it is, or "" if it can."""
    if len(split.parts) > 1:
        return f"split {split.name} is in {len(split.parts)} files"
    part = split.parts[0]
    survey = part.survey
    if survey.kind is not Kind.TAR:
        return f"{survey.path.name} is a {survey.kind}"
    if survey.path.suffix != ".tar":
        return f"the name of {survey.path.name} does not end in .tar"
    if split.images != survey.images:
        return f"{survey.path.name} holds other splits as well"
    if survey.others:
        return f"{survey.path.name} holds files that are no images ({survey.others:,})"
    if split.class_folder > 1:
        return f"the images of {survey.path.name} do not lie in the folders of their classes"
    return ""


def _compare_classes(plan: Plan) -> None:
    """Note classes that not all splits have."""
    with_classes = [split for split in plan.splits if split.classes]
    everything = frozenset().union(*(split.classes for split in with_classes))
    for split in with_classes:
        if lacking := sorted(everything - split.classes):
            some = ", ".join(lacking[:3]) + (", …" if len(lacking) > 3 else "")
            plan.notes.append(f"{split.name}: classes without images: {len(lacking)} ({some})")
