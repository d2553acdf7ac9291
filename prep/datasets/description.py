"""Data set descriptions: TOML files that say which archives a data set has and what they contain."""

import hashlib
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from prep import contract
from prep.errors import DescriptionError
from prep.state.names import UNFIT, is_plain

Layout = Literal["nested", "flat", "folders"]
Labels = Literal["path", "devkit"]

SHIPPED = Path(__file__).parent
LONGEST_TITLE = 200  # characters: EC2 takes 255 in the description of a snapshot
NOT_SPLITS = {"archives", "bounding_boxes"}  # ROOT has these folders beside those of the splits


@dataclass(frozen=True)
class Archive:
    """A file on the site of the data set. `bytes` is None if the site does not publish its exact size."""

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
            raise DescriptionError(f"environment {environment!r}: {name} has more than 30 characters")
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
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = SHIPPED / f"{name_or_path}.toml"
        if not path.is_file():
            shipped = ", ".join(shipped_names())
            raise DescriptionError(
                f"data set {name_or_path!r}: no such description: give one of {shipped}, or "
                "the path of a .toml file"
            )
    try:
        raw = path.read_bytes()
        table = tomllib.loads(raw.decode())
    except OSError as error:
        raise DescriptionError(f"data set description {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not all of tomllib's are a TOMLDecodeError
        raise DescriptionError(f"data set description {path}: not TOML: {error}") from error
    parsed = _Parser(str(path)).description(table, hashlib.sha256(raw).hexdigest())
    return replace(parsed, options=f"--dataset {name_or_path}")


class _Parser:
    """Turns tables into dataclasses. Every error message begins with the file and the place in it."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, where: str, problem: str) -> DescriptionError:
        return DescriptionError(f"data set description {self.source}: {where}: {problem}")

    def description(self, table: dict[str, Any], sha256: str) -> Description:
        known = {"name", "title", "archives", "classes", "splits", "bounding_boxes"}
        self.only(table, "top level", known)
        name = self.string(table, "name", "top level")
        if not re.fullmatch(contract.DATASET_NAME, name):
            raise self.fail(
                "name",
                f"{name!r} must be up to 30 lower-case letters, digits and dashes, and not begin with aws or "
                "ssm",
            )
        title = self.string(table, "title", "top level")
        if UNFIT.search(title) or len(title) > LONGEST_TITLE:
            raise self.fail("title", f"must be one line of up to {LONGEST_TITLE} characters")
        archives = {
            archive.file: archive
            for archive in (self.archive(item) for item in self.tables(table, "archives"))
        }
        if len(archives) != len(table["archives"]):
            raise self.fail("archives", "two archives have the same file name")
        classes = self.table(table, "classes", "top level")
        self.only(classes, "[classes]", {"count", "devkit"})
        devkit = None
        if "devkit" in classes:
            devkit = self.reference(classes, "devkit", "[classes]", archives)
        splits = tuple(
            self.split(split, value, archives, devkit)
            for split, value in self.table(table, "splits", "top level").items()
        )
        if not splits:
            raise self.fail("splits", "there must be at least one")
        used = [split.archive.file for split in splits]
        twice = next((file for file in used if used.count(file) > 1), None)
        if twice:
            raise self.fail(
                "splits", f"two splits are in the archive {twice}: each split needs an archive of its own"
            )
        return Description(
            name=name,
            title=title,
            archives=tuple(archives.values()),
            classes=self.count(classes, "count", "[classes]"),
            devkit=devkit,
            splits=splits,
            bounding_boxes=tuple(
                self.boxes(item, archives) for item in self.tables(table, "bounding_boxes", optional=True)
            ),
            sha256=sha256,
        )

    def archive(self, item: dict[str, Any]) -> Archive:
        self.only(item, "[[archives]]", {"file", "url", "bytes", "md5"})
        file = self.string(item, "file", "[[archives]]")
        where = f"archive {file}"
        if not is_plain(file) or file.startswith("."):
            raise self.fail(where, "file must be a plain file name")
        if file.endswith((".partial", ".journal")):
            raise self.fail(
                where, "file must not end in .partial or .journal: download leaves files of that name"
            )
        url = self.string(item, "url", where)
        if "@" in url:  # left out of the message, as it may hold a password
            raise self.fail(where, "url must not hold credentials; write an @ in its path as %40")
        if not re.fullmatch(contract.WEB_ADDRESS, url):
            raise self.fail(where, f"url {url!r} must be a web address such as https://example.org/train.tar")
        md5 = self.string(item, "md5", where).lower()
        if not re.fullmatch(r"[0-9a-f]{32}", md5):
            raise self.fail(where, "md5 must be 32 hexadecimal digits")
        return Archive(file, url, md5, self.count(item, "bytes", where) if "bytes" in item else None)

    def split(self, name: str, item: object, archives: dict[str, Archive], devkit: Archive | None) -> Split:
        where = f"[splits.{name}]"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise self.fail(where, "the name of a split must be lower-case letters, digits and underscores")
        if name in NOT_SPLITS:
            raise self.fail(where, "ROOT has another folder of that name: give the split another name")
        if not isinstance(item, dict):
            raise self.fail(where, "must be a table")
        self.only(item, where, {"archive", "layout", "labels", "images"})
        archive = self.reference(item, "archive", where, archives)
        if not archive.file.endswith(".tar"):
            raise self.fail(where, f"{archive.file} must be a plain .tar: decompress it first")
        layout = self.choice(item, "layout", where, get_args(Layout))
        labels = self.choice(item, "labels", where, get_args(Labels))
        if labels == "devkit" and devkit is None:
            raise self.fail(where, 'labels = "devkit" needs devkit in [classes]')
        if (layout == "flat") != (labels == "devkit"):
            raise self.fail(
                where, 'layout "flat" needs labels "devkit"; the other layouts need labels "path"'
            )
        return Split(
            name, archive, cast(Layout, layout), cast(Labels, labels), self.count(item, "images", where)
        )

    def boxes(self, item: dict[str, Any], archives: dict[str, Archive]) -> BoundingBoxes:
        where = "[[bounding_boxes]]"
        self.only(item, where, {"archive", "folder"})
        folder = self.string(item, "folder", where)
        if not re.fullmatch(r"[A-Za-z0-9_]+", folder):
            raise self.fail(where, f"folder {folder!r} must be letters, digits and underscores")
        return BoundingBoxes(self.reference(item, "archive", where, archives), folder)

    def only(self, table: dict[str, Any], where: str, known: set[str]) -> None:
        unknown = sorted(set(table) - known)
        if unknown:
            raise self.fail(
                where, f"unknown key {unknown[0]!r}; the known keys are {', '.join(sorted(known))}"
            )

    def value(self, table: dict[str, Any], key: str, where: str) -> object:
        if key not in table:
            raise self.fail(where, f"{key} is missing")
        return table[key]

    def string(self, table: dict[str, Any], key: str, where: str) -> str:
        value = self.value(table, key, where)
        if not isinstance(value, str) or not value:
            raise self.fail(where, f"{key} must be text")
        return value

    def count(self, table: dict[str, Any], key: str, where: str) -> int:
        value = self.value(table, key, where)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.fail(where, f"{key} must be a whole number, at least 1")
        return value

    def choice(self, table: dict[str, Any], key: str, where: str, choices: tuple[str, ...]) -> str:
        value = self.string(table, key, where)
        if value not in choices:
            raise self.fail(where, f"{key} {value!r} must be one of {', '.join(choices)}")
        return value

    def table(self, table: dict[str, Any], key: str, where: str) -> dict[str, Any]:
        value = self.value(table, key, where)
        if not isinstance(value, dict):
            raise self.fail(where, f"{key} must be a table")
        return value

    def tables(self, table: dict[str, Any], key: str, optional: bool = False) -> list[dict[str, Any]]:
        value = table.get(key, []) if optional else self.value(table, key, "top level")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(key, f"must be written as [[{key}]]")
        return value

    def reference(self, table: dict[str, Any], key: str, where: str, archives: dict[str, Archive]) -> Archive:
        file = self.string(table, key, where)
        if file not in archives:
            raise self.fail(where, f"{key} {file!r} is not among the archives")
        return archives[file]
