"""Data set descriptions: TOML files that say which archives a data set has and what they contain."""

import hashlib
import re
import shlex
import tomllib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, cast, get_args

from prep import contract
from prep.datasets.tables import Mistake, Mistakes, Table
from prep.errors import DescriptionError
from prep.state.names import UNFIT, is_plain

Layout = Literal["nested", "flat", "folders"]
Labels = Literal["path", "devkit"]

SHIPPED = Path(__file__).parent
LONGEST_TITLE = 200  # characters: EC2 takes 255 in the description of a snapshot
NOT_SPLITS = {"archives", "bounding_boxes"}  # ROOT has these folders beside those of the splits


@dataclass(frozen=True)
class Archive:
    """A file on the site of the data set.

    `bytes` is None if the site does not publish its exact size. `url` is "" if there is no site: then the
    file comes from the folder, bucket or base URL of --source.
    """

    file: str
    url: str
    md5: str
    bytes: int | None

    @property
    def algorithm(self) -> str:
        """The name of the digest's algorithm in hashlib."""
        return "md5"

    @property
    def digest(self) -> str:
        """The digest, hexadecimal."""
        return self.md5


NO_ARCHIVE = Archive("", "", "", None)  # stands for one that a wrong description does not name


@dataclass(frozen=True)
class Split:
    """One part of the data set, such as "train", which is packed into a RecordIO file."""

    name: str
    archive: Archive
    layout: Layout
    labels: Labels
    images: int


@dataclass(frozen=True)
class BoundingBoxes:
    """An archive of annotations that is unpacked, unchanged, into `bounding_boxes/<folder>`."""

    archive: Archive
    folder: str


@dataclass(frozen=True)
class Description:
    """A complete data set. `sha256` is the digest of the TOML file, which receipts contain.

    `name` is what its resources on AWS are called; `options` are those that select it on the command line.
    """

    name: str
    title: str
    archives: tuple[Archive, ...]
    classes: int
    devkit: Archive | None
    splits: tuple[Split, ...]
    bounding_boxes: tuple[BoundingBoxes, ...]
    sha256: str
    options: str = ""

    def in_environment(self, environment: str) -> "Description":
        """The same data set, whose resources carry the environment in their names.

        Raises:
            DescriptionError: an environment can't have that name.
        """
        name = contract.resource_name(self.name, environment)
        if not re.fullmatch(contract.ENVIRONMENT_NAME, environment):
            raise DescriptionError(
                f"environment {environment!r}: must be at most 15 lower-case letters, digits and hyphens, "
                "such as dev"
            )
        if not re.fullmatch(contract.DATASET_NAME, name):
            raise DescriptionError(
                f"environment {environment!r}: {name} has more than 30 characters: give a shorter one"
            )
        return replace(self, name=name, options=f"{self.options} --environment {environment}")

    def split_of(self, archive: str) -> Split | None:
        """The split in the archive with that file name, or None if it holds no split."""
        return next((split for split in self.splits if split.archive.file == archive), None)


def shipped_names() -> list[str]:
    """Names of the descriptions that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(name_or_path: str) -> Description:
    """Read a description: one that comes with prep by its name, or any by its path.

    Raises:
        DescriptionError: the file does not exist, or does not describe a data set.
    """
    path = find(name_or_path)
    described, mistakes = read(path)
    if described is None:
        more = f" (and {len(mistakes) - 1} more: `python -m prep dataset check {path}` lists all)"
        raise DescriptionError(
            f"data set description {path}: {mistakes[0]}{more if len(mistakes) > 1 else ''}"
        )
    return replace(described, options=f"--dataset {shlex.quote(name_or_path)}")


def find(name_or_path: str) -> Path:
    """The path of a description.

    Raises:
        DescriptionError: no description that comes with prep has this name.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return path
    path = SHIPPED / f"{name_or_path}.toml"
    if path.is_file():
        return path
    names = shipped_names()
    near = get_close_matches(name_or_path, names, cutoff=0.5)
    own = Path(f"{name_or_path}.toml")
    meant = str(own) if own.is_file() else ", ".join(near)
    raise DescriptionError(
        f"data set {name_or_path!r}: no such description{f' (did you mean {meant}?)' if meant else ''}: give "
        f"one of {', '.join(names)}, or the path of a .toml file"
    )


def read(path: Path) -> tuple[Description | None, list[Mistake]]:
    """Read a description, or find every mistake in it.

    Raises:
        DescriptionError: the file can't be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DescriptionError(
            f"data set description {path}: {error.strerror}: check the path, or write one with "
            "`python -m prep dataset new`"
        ) from error
    return parse(raw)


def parse(raw: bytes) -> tuple[Description | None, list[Mistake]]:
    """The data set that a TOML file describes, or every mistake in it."""
    try:
        table = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:  # not all of tomllib's are a TOMLDecodeError
        return None, [Mistake("the whole file", f"not TOML: {error}", "correct the line")]
    mistakes = Mistakes()
    found = _description(table, hashlib.sha256(raw).hexdigest(), mistakes)
    return (None, mistakes.found) if mistakes.found else (found, [])


def _description(table: Table, sha256: str, wrong: Mistakes) -> Description:
    """The data set in a table. It counts only if no mistake was found."""
    wrong.only(table, "top level", {"name", "title", "archives", "classes", "splits", "bounding_boxes"})
    name = wrong.string(table, "name", "top level")
    if name and not re.fullmatch(contract.DATASET_NAME, name):
        wrong.add(
            "name",
            f"{name!r} must be up to 30 lower-case letters, digits and dashes, and not begin with aws or ssm",
            "give another name",
        )
    title = wrong.string(table, "title", "top level")
    if UNFIT.search(title) or len(title) > LONGEST_TITLE:
        wrong.add("title", f"must be one line of up to {LONGEST_TITLE} characters", "shorten it")
    items = [_archive(item, wrong) for item in wrong.tables(table, "archives")]
    archives = {archive.file: archive for archive in items}
    if len(archives) != len(items):
        wrong.add("archives", "two archives have the same file name", "rename or remove one")
    classes = wrong.table(table, "classes", "top level")
    wrong.only(classes, "[classes]", {"count", "devkit"})
    count = wrong.count(classes, "count", "[classes]") if classes else 1
    devkit = _reference(classes, "devkit", "[classes]", archives, wrong) if "devkit" in classes else None
    splits = tuple(
        _split(split, value, archives, "devkit" in classes, wrong)
        for split, value in wrong.table(table, "splits", "top level").items()
    )
    _check_splits(table, splits, wrong)
    boxes = tuple(_boxes(item, archives, wrong) for item in wrong.tables(table, "bounding_boxes", True))
    return Description(name, title, tuple(items), count, devkit, splits, boxes, sha256)


def _check_splits(table: Table, splits: tuple[Split, ...], wrong: Mistakes) -> None:
    if table.get("splits") == {}:
        wrong.add("splits", "there must be at least one", "add [splits.train]")
    used = [split.archive.file for split in splits if split.archive is not NO_ARCHIVE]
    for file in sorted({file for file in used if used.count(file) > 1}):
        wrong.add(
            "splits",
            f"two splits are in the archive {file}",
            "give each split an archive of its own; `python -m prep dataset new --to` makes them",
        )


def _archive(item: Table, wrong: Mistakes) -> Archive:
    wrong.only(item, "[[archives]]", {"file", "url", "bytes", "md5"})
    file = wrong.string(item, "file", "[[archives]]")
    where = f"archive {file or '?'}"
    if file and (not is_plain(file) or file.startswith(".")):
        wrong.add(where, "file must be a plain file name", "leave out folders, and a dot at its beginning")
    if file.endswith((".partial", ".journal")):
        wrong.add(
            where,
            "file must not end in .partial or .journal: download leaves files of that name",
            "rename it",
        )
    url = wrong.string(item, "url", where) if "url" in item else ""
    if "@" in url:  # left out of the message, as it may hold a password
        wrong.add(where, "url must not hold credentials", "write an @ in its path as %40")
    elif url and not re.fullmatch(contract.WEB_ADDRESS, url):
        wrong.add(
            where,
            f"url {url!r} must be a web address such as https://example.org/train.tar",
            "correct it, or leave url out and give --source",
        )
    md5 = wrong.string(item, "md5", where).lower()
    if md5 and not re.fullmatch(r"[0-9a-f]{32}", md5):
        wrong.add(where, "md5 must be 32 hexadecimal digits", f"take what `md5sum {file}` says")
    return Archive(file, url, md5, wrong.count(item, "bytes", where) if "bytes" in item else None)


def _split(name: str, item: object, archives: dict[str, Archive], has_devkit: bool, wrong: Mistakes) -> Split:
    where = f"[splits.{name}]"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        wrong.add(
            where, "the name of a split must be lower-case letters, digits and underscores", "rename it"
        )
    if name in NOT_SPLITS:
        wrong.add(where, "ROOT has another folder of that name", "give the split another name")
    if not isinstance(item, dict):
        wrong.add(where, "must be a table", f"write it as {where}")
        return Split(name, NO_ARCHIVE, "folders", "path", 1)
    wrong.only(item, where, {"archive", "layout", "labels", "images"})
    archive = _reference(item, "archive", where, archives, wrong)
    if archive.file and not archive.file.endswith(".tar"):
        wrong.add(
            where,
            f"{archive.file} must be a plain .tar",
            "decompress it first, or convert it with `python -m prep dataset new --to`",
        )
    layout = wrong.choice(item, "layout", where, get_args(Layout))
    labels = wrong.choice(item, "labels", where, get_args(Labels))
    if labels == "devkit" and not has_devkit:
        wrong.add(where, 'labels = "devkit" needs devkit in [classes]', "name the devkit's archive there")
    if layout and labels and (layout == "flat") != (labels == "devkit"):
        wrong.add(
            where,
            'layout "flat" needs labels "devkit"; the other layouts need labels "path"',
            "correct one of them",
        )
    images = wrong.count(item, "images", where)
    return Split(name, archive, cast(Layout, layout), cast(Labels, labels), images)


def _boxes(item: Table, archives: dict[str, Archive], wrong: Mistakes) -> BoundingBoxes:
    where = "[[bounding_boxes]]"
    wrong.only(item, where, {"archive", "folder"})
    folder = wrong.string(item, "folder", where)
    if folder and not re.fullmatch(r"[A-Za-z0-9_]+", folder):
        wrong.add(where, f"folder {folder!r} must be letters, digits and underscores", "rename it")
    return BoundingBoxes(_reference(item, "archive", where, archives, wrong), folder)


def _reference(table: Table, key: str, where: str, archives: dict[str, Archive], wrong: Mistakes) -> Archive:
    file = wrong.string(table, key, where)
    if file and file not in archives:
        near = get_close_matches(file, archives, 1)
        wrong.add(
            where,
            f"{key} {file!r} is not among the archives",
            f"write {near[0]!r}, or add it as [[archives]]" if near else "add it as [[archives]]",
        )
    return archives.get(file, NO_ARCHIVE)
