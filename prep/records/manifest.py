"""The manifest: what lies on the dataset volume, how it was made, and the SHA-256 of every file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prep.errors import IntegrityError
from prep.state.files import sha256_of, write_json
from prep.state.layout import Layout


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


def facts_of(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path).hexdigest()}


def write(layout: Layout, manifest: Manifest) -> None:
    """Write `MANIFEST.json`, whole."""
    write_json(layout.manifest, asdict(manifest))


def read(layout: Layout) -> Manifest:
    """Read `MANIFEST.json`.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    try:
        return Manifest(**json.loads(layout.manifest.read_text()))
    except OSError as error:
        raise IntegrityError(f"{layout.manifest}: {error.strerror}: run pack") from error
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{layout.manifest}: damaged ({error}): run pack again") from error
