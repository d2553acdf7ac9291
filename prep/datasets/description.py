"""Data set descriptions: TOML files that say which archives there are and what is in them."""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from prep.errors import DescriptionError
from prep.state.names import is_plain

Layout = Literal["nested", "flat", "folders"]
Labels = Literal["path", "devkit"]

SHIPPED = Path(__file__).parent
NOT_SPLITS = {"archives", "bounding_boxes"}  # they lie beside the splits' folders, below ROOT


@dataclass(frozen=True)
class Archive:
    """A file of the data set's site. `bytes` is None where the site's listing gives no exact size."""

    file: str
    url: str
    md5: str
    bytes: int | None

    @property
    def algorithm(self) -> str:
        """By which its digest is made."""
        return "md5"

    @property
    def digest(self) -> str:
        """What tells whether it is whole."""
        return self.md5


@dataclass(frozen=True)
class Split:
    """One part of the data set, such as "train", that becomes one RecordIO file."""

    name: str
    archive: Archive
    layout: Layout
    labels: Labels
    images: int


@dataclass(frozen=True)
class BoundingBoxes:
    """An archive that is unpacked as it is below `bounding_boxes/<folder>`."""

    archive: Archive
    folder: str


@dataclass(frozen=True)
class Description:
    """A whole data set. `sha256` is the digest of the TOML file: receipts name it."""

    name: str
    title: str
    archives: tuple[Archive, ...]
    classes: int
    devkit: Archive | None
    splits: tuple[Split, ...]
    bounding_boxes: tuple[BoundingBoxes, ...]
    sha256: str

    def split_of(self, archive: str) -> Split | None:
        """The split that the archive of that file name holds, if it holds one."""
        return next((split for split in self.splits if split.archive.file == archive), None)


def shipped_names() -> list[str]:
    """Names of the descriptions that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(name_or_path: str) -> Description:
    """Read a shipped description by name, or any by its path.

    Raises:
        DescriptionError: there is no such file, or it doesn't describe a data set.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = SHIPPED / f"{name_or_path}.toml"
        if not path.is_file():
            shipped = ", ".join(shipped_names())
            raise DescriptionError(
                f"data set {name_or_path!r}: no such description; shipped are {shipped}, "
                "others are given by the path of their .toml file"
            )
    try:
        raw = path.read_bytes()
        table = tomllib.loads(raw.decode())
    except OSError as error:
        raise DescriptionError(f"data set description {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DescriptionError(f"data set description {path}: not TOML: {error}") from error
    return _Parser(str(path)).description(table, hashlib.sha256(raw).hexdigest())


class _Parser:
    """Turns tables into dataclasses; every complaint begins with the file and the place in it."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, where: str, problem: str) -> DescriptionError:
        return DescriptionError(f"data set description {self.source}: {where}: {problem}")

    def description(self, table: dict[str, Any], sha256: str) -> Description:
        known = {"name", "title", "archives", "classes", "splits", "bounding_boxes"}
        self.only(table, "top level", known)
        name = self.string(table, "name", "top level")
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,29}", name):
            raise self.fail("name", f"{name!r} must be up to 30 lower-case letters, digits and dashes")
        archives = {
            archive.file: archive
            for archive in (self.archive(item) for item in self.tables(table, "archives"))
        }
        if len(archives) != len(table["archives"]):
            raise self.fail("archives", "two have the same file name")
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
            raise self.fail("splits", "there is none")
        used = [split.archive.file for split in splits]
        twice = next((file for file in used if used.count(file) > 1), None)
        if twice:
            raise self.fail("splits", f"two are in the archive {twice}: a split needs one of its own")
        return Description(
            name=name,
            title=self.string(table, "title", "top level"),
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
        url = self.string(item, "url", where)
        if urlsplit(url).scheme not in {"https", "http"} or not urlsplit(url).netloc:
            raise self.fail(where, f"url {url!r} must begin with https://")
        if "@" in urlsplit(url).netloc:
            raise self.fail(where, "url must not hold credentials")
        md5 = self.string(item, "md5", where).lower()
        if not re.fullmatch(r"[0-9a-f]{32}", md5):
            raise self.fail(where, "md5 must be 32 hexadecimal digits")
        return Archive(file, url, md5, self.count(item, "bytes", where) if "bytes" in item else None)

    def split(self, name: str, item: object, archives: dict[str, Archive], devkit: Archive | None) -> Split:
        where = f"[splits.{name}]"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise self.fail(where, "a split's name is lower-case letters, digits and underscores")
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
            raise self.fail(where, 'layout "flat" goes with labels "devkit", the others with "path"')
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
            raise self.fail(where, f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")

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
            raise self.fail(where, f"{key} must be a whole number from 1")
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
