"""The manifest: the files on the dataset volume, how they were made, and the SHA-256 of each."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from prep.errors import IntegrityError
from prep.state.files import json_text, sha256_of, write_whole
from prep.state.layout import Layout
from prep.state.names import plain_name

# <split>.rec, <split>-00001.idx …, as `pack` names them; and the table of classes.
PACKED_FILE = re.compile(r"classes\.tsv|[a-z][a-z0-9_]*(-\d{5,})?\.(rec|idx|lst)").fullmatch
LARGEST_FILE = 1 << 62  # bytes; a larger file could not be requested
SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch


@dataclass(frozen=True)
class Manifest:
    """`splits` gives counts and the images that needed care; `files` gives bytes and sha256 by file name."""

    dataset: str
    description_sha256: str
    settings: dict[str, Any]
    classes: int
    splits: dict[str, dict[str, Any]]
    files: dict[str, dict[str, Any]]

    def parts(self) -> list[tuple[str, str]]:
        """(split, part) in order; a part is the name of its files without suffix."""
        return [(split, part) for split, facts in self.splits.items() for part in facts["parts"]]

    def digest_of(self, name: str) -> dict[str, str]:
        """{"sha256": …} of a packed file; nothing of another."""
        return {"sha256": self.files[name]["sha256"]} if name in self.files else {}


def recipe(manifest: Manifest) -> str:
    """What decides the bytes of the `.rec` files, as a SHA-256, known before they are made.

    The description has the digests of the archives; seed, codec and all else are among the settings.
    """
    made_of = [manifest.description_sha256, manifest.settings]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def facts_of(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path).hexdigest()}


def text_of(manifest: Manifest) -> bytes:
    """The text of `MANIFEST.json`."""
    return json_text(asdict(manifest))


def write(layout: Layout, manifest: Manifest) -> None:
    """Write `MANIFEST.json` atomically."""
    write_whole(layout.manifest, text_of(manifest))


def read(layout: Layout) -> Manifest:
    """Read `MANIFEST.json`.

    Raises:
        IntegrityError: it is missing or damaged, or names a file that is not a packed file.
    """
    try:
        text = layout.manifest.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{layout.manifest}: {error.strerror}: run pack") from error
    return parse(text, str(layout.manifest))


def parse(text: bytes, where: str) -> Manifest:
    """Parse the text of a manifest, which may come from an untrusted place, such as a bucket.

    Raises:
        IntegrityError: it is damaged, or names a file that is not a packed file.
    """
    try:
        manifest = Manifest(**json.loads(text))
        for name in [*manifest.files, *(f"{part}.rec" for _, part in manifest.parts())]:
            if not PACKED_FILE(plain_name(name, where)):
                raise IntegrityError(f"{where}: {name!r} is not the name of a packed file: don't trust it")
        _check(manifest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{where}: damaged ({error}): run pack again") from error
    return manifest


def _check(manifest: Manifest) -> None:
    """Raise ValueError, TypeError or KeyError unless all that the stages take from a manifest is there."""
    for name, facts in manifest.files.items():
        size = facts["bytes"]
        if set(facts) != {"bytes", "sha256"} or not isinstance(size, int) or not 0 <= size < LARGEST_FILE:
            raise ValueError(f"files: {name!r} has no size")
        if not SHA256(facts["sha256"]):
            raise ValueError(f"files: {name!r} has no SHA-256")
    for _, part in manifest.parts():
        if missing := {f"{part}.{kind}" for kind in ("rec", "idx", "lst")} - manifest.files.keys():
            raise ValueError(f"files: {min(missing)} is not among them")
    for facts in manifest.splits.values():
        int(facts["as_is"]), dict(facts["unreadable"])
    int(manifest.settings["seed"])


def note_damaged(layout: Layout, manifest: Manifest, damaged: Mapping[str, Mapping[str, str]]) -> None:
    """Write the images whose picture data is damaged, {split: {image: reason}}, into `MANIFEST.json`."""
    noted = with_damaged(manifest, damaged)
    if noted != manifest:
        write(layout, noted)


def with_damaged(manifest: Manifest, damaged: Mapping[str, Mapping[str, str]]) -> Manifest:
    """The manifest with the images whose picture data is damaged, {split: {image: reason}}, and no others.

    A split has the key `damaged` only if it has damaged images. So the manifest of undamaged images stays as
    `pack` wrote it.
    """
    splits = {}
    for split, facts in manifest.splits.items():
        splits[split] = {key: value for key, value in facts.items() if key != "damaged"}
        if damaged.get(split):
            splits[split]["damaged"] = dict(sorted(damaged[split].items()))
    return replace(manifest, splits=splits)


def inputs(layout: Layout) -> dict[str, Any]:
    """What verify, backup and snapshot depend on: the manifest, and through it every packed file.

    Raises:
        IntegrityError: the manifest is missing or damaged.
    """
    read(layout)
    return {"manifest": facts_of(layout.manifest)["sha256"]}
