"""Ours: `python -m prep`, run as its users run it."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import BenchError
from bench.rigs.process import Ran, run


@dataclass(frozen=True)
class Place:
    """Where a run has its two volumes, and the description of its data set."""

    root: Path
    packed: Path
    description: Path
    log: Path


def beside(folder: Path, archives: Path, description: Path) -> Place:
    """A place in `folder` with the archives linked into it, checked as `download` leaves them.

    Without that, `pack` would compute their digests while it reads them.
    """
    place = Place(folder / "root", folder / "packed", description, folder / "prep.log")
    place.root.mkdir(parents=True)
    (place.root / "archives").symlink_to(archives)
    prep(place, "download")
    return place


def prep(
    place: Place,
    stage: str,
    *options: str,
    environment: Mapping[str, str] | None = None,
    watch: Callable[[int], None] | None = None,
    record: Path | None = None,
) -> Ran:
    """Run one command of `prep` to its end; `Ran.output` holds its receipts as JSON.

    `record` is a file to write its progress to (see bench.rigs.recorded).

    Raises:
        BenchError: it failed.
    """
    where = ("--dataset", str(place.description), "--root", str(place.root), "--packed", str(place.packed))
    module = ["bench.rigs.recorded", str(record)] if record else ["prep"]
    command = [sys.executable, "-m", *module, stage, *where, "--no-progress", "--json", *options]
    return run(command, place.log, environment=environment, watch=watch)


def receipts(ran: Ran) -> dict[str, Any]:
    """The receipts that a run printed, by stage."""
    told = json.loads(ran.output)
    return {receipt["stage"]: receipt for receipt in (told if isinstance(told, list) else [told])}


def packed_images(place: Place) -> int:
    """How many images the manifest says are packed.

    Raises:
        BenchError: there is no manifest.
    """
    try:
        manifest = json.loads((place.packed / "MANIFEST.json").read_text())
    except OSError as error:
        raise BenchError(f"{place.packed}: nothing is packed there") from error
    return sum(int(split["records"]) for split in manifest["splits"].values())


def has_option(place: Place, stage: str, option: str) -> bool:
    """Whether a command of `prep` knows an option."""
    return option in run([sys.executable, "-m", "prep", stage, "--help"], place.log).output
