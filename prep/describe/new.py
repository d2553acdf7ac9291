"""Carries out a plan: writes the archives that are needed, and the description of the data set."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prep.datasets import description
from prep.datasets.classes import read_devkit
from prep.datasets.description import Archive, Split
from prep.describe import convert
from prep.describe.plan import Plan, PlannedSplit
from prep.errors import DescriptionError
from prep.progress import Progress
from prep.state.files import disk_errors, write_whole

LAYOUTS = {
    "nested": "a tar of one tar for each class, <class>.tar",
    "folders": "a tar of <class>/<image>",
    "flat": "a tar of images, whose classes the devkit has",
}


@dataclass(frozen=True)
class Wanted:
    """What the user wants to have written, and where. `url` is the base URL of the archives, or ""."""

    output: Path
    name: str
    title: str
    url: str
    to: Path | None
    devkit: Path | None


@dataclass(frozen=True)
class Written:
    """A description that was written, and the folder with its archives."""

    file: Path
    folder: Path
    classes: int
    splits: tuple[Split, ...]
    converted: tuple[str, ...]


def check_targets(plan: Plan, wanted: Wanted) -> None:
    """Refuse what would fail at the end, perhaps after hours of reading.

    Raises:
        DescriptionError: a name or an address is not allowed, or a file that would be written is there
            already, or can't be written.
    """
    splits = [_unread(split, wanted) for split in plan.splits]
    archives = [split.archive for split in splits]
    _, mistakes = description.parse(text_of(wanted, archives, splits, 1, None).encode())
    if mistakes:
        raise DescriptionError(f"the description would be wrong: {mistakes[0]}")
    targets = [wanted.output]
    if wanted.to is not None:
        linked = [split.parts[0].survey.path for split in plan.splits if not split.why_convert]
        linked += [wanted.devkit] if wanted.devkit else []
        targets += [wanted.to / _file(split, wanted) for split in plan.splits if split.why_convert]
        targets += [place for path in linked if not convert.is_there(place := wanted.to / path.name, path)]
    for target in targets:
        if os.path.lexists(target):
            raise DescriptionError(f"{target}: is there already: move it away, or give another name")
        folder = next(parent for parent in target.absolute().parents if parent.exists())
        if not os.access(folder, os.W_OK):
            raise DescriptionError(f"{target}: can't be written there: check {folder} and its owner")


def _unread(split: PlannedSplit, wanted: Wanted) -> Split:
    """The split as it will be described, but for the size and MD5 of its archive."""
    file = _file(split, wanted)
    return Split(split.name, Archive(file, _url(file, wanted), "0" * 32, 1), "folders", "path", 1)


def carry_out(plan: Plan, wanted: Wanted, progress: Progress) -> Written:
    """Write the archives that are needed, and then the description.

    All archives get their final names at the end, so that an interruption leaves nothing that looks whole.

    Raises:
        DescriptionError: a file is there already, or the archives are in several folders.
        IntegrityError: an input is damaged.
        SpaceError: the disk is full.
    """
    folder = wanted.to or _folder_of(plan, wanted)
    archives: list[Archive] = []
    splits: list[Split] = []
    made: list[convert.Made] = []
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for split in plan.splits:
            archive = _archive(split, wanted, folder, made, progress)
            archives.append(archive)
            splits.append(Split(split.name, archive, split.layout, split.labels, split.images))
        devkit = None
        if wanted.devkit is not None:
            path = convert.place(wanted.devkit, folder)
            digest = convert.digest_of(path, progress)
            devkit = Archive(path.name, _url(path.name, wanted), digest, path.stat().st_size)
            archives.append(devkit)
        for one in made:
            one.path.with_name(one.path.name + convert.PARTIAL).replace(one.path)
    classes = frozenset[str]().union(*(split.classes for split in plan.splits))
    count = len(read_devkit(wanted.devkit).words) if wanted.devkit else len(classes)
    write_whole(wanted.output, text_of(wanted, archives, splits, count, devkit).encode())
    return Written(wanted.output, folder, count, tuple(splits), tuple(one.path.name for one in made))


def _archive(
    split: PlannedSplit, wanted: Wanted, folder: Path, made: list[convert.Made], progress: Progress
) -> Archive:
    """The archive of a split, which is written if need be."""
    file, survey = _file(split, wanted), split.parts[0].survey
    if split.why_convert:
        made.append(convert.convert(split, folder / file, progress))
        return Archive(file, _url(file, wanted), made[-1].md5, made[-1].bytes)
    convert.place(survey.path, folder)
    return Archive(file, _url(file, wanted), survey.md5, survey.bytes)


def _folder_of(plan: Plan, wanted: Wanted) -> Path:
    """The one folder in which all archives are."""
    paths = [split.parts[0].survey.path for split in plan.splits] + ([wanted.devkit] if wanted.devkit else [])
    folders = {path.absolute().parent for path in paths}
    if len(folders) > 1:
        raise DescriptionError(
            f"the archives are in {len(folders)} folders, and `run --source` takes one: move them into one, "
            "or give --to DIR, where they are linked"
        )
    return folders.pop()


def _file(split: PlannedSplit, wanted: Wanted) -> str:
    """The name of the archive of a split."""
    return f"{wanted.name}-{split.name}.tar" if split.why_convert else split.parts[0].survey.path.name


def _url(file: str, wanted: Wanted) -> str:
    return f"{wanted.url.rstrip('/')}/{file}" if wanted.url else ""


def text_of(
    wanted: Wanted, archives: Sequence[Archive], splits: Sequence[Split], classes: int, devkit: Archive | None
) -> str:
    """The description as TOML."""
    lines = [
        f"# {wanted.title}, as `python -m prep dataset new` found it in its archives.",
        ""
        if wanted.url
        else "# The archives have no url: give their folder, bucket or base URL with --source.",
        "",
        f"name = {_text(wanted.name)}",
        f"title = {_text(wanted.title)}",
    ]
    for archive in archives:
        lines += ["", "[[archives]]", f"file = {_text(archive.file)}"]
        lines += [f"url = {_text(archive.url)}"] if archive.url else []
        lines += [f"bytes = {archive.bytes}", f"md5 = {_text(archive.md5)}"]
    lines += ["", "[classes]", f"count = {classes}"]
    lines += [f"devkit = {_text(devkit.file)}"] if devkit else []
    for split in splits:
        lines += [
            "",
            f"[splits.{split.name}]",
            f"archive = {_text(split.archive.file)}",
            f"layout = {_text(split.layout)}  # {LAYOUTS[split.layout]}",
            f"labels = {_text(split.labels)}",
            f"images = {split.images}",
        ]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _text(value: str) -> str:
    """A text of TOML: its basic strings escape as those of JSON do."""
    return json.dumps(value, ensure_ascii=False)
