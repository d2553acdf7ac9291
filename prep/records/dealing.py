"""Dealing: from the images of a unit to their records, and what there is to say of them.

Whoever deals units, a thread on one machine or a worker of a cluster, does it with these functions. The facts
of a unit are a table that goes into a journal: {"split", "images", "source_bytes", "resized", "as_is",
"classes", "care", "unreadable"}.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prep.archives.units import Image
from prep.datasets.description import Description, Split
from prep.errors import IntegrityError
from prep.images import yuv
from prep.images.prepare import Target, UnreadableImageError, prepare
from prep.records.buckets import Entry, key_of
from prep.records.manifest import Manifest
from prep.records.recordio import image_record

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class PackSettings:
    """The settings that determine the bytes of the packed files.

    `resize` is the short side in pixels, `quality` the JPEG quality, and `seed` the seed of the shuffle. When
    a file has reached `part_mib` MiB, the split continues in another file; 0 writes one file for each split.
    """

    resize: int = 480
    quality: int = 95
    seed: int = 0
    part_mib: int = 0

    @property
    def target(self) -> Target:
        """The settings that determine how an image is prepared."""
        return Target(self.resize, self.quality)

    def made_with(self) -> dict[str, Any]:
        """The settings, and the codec of this machine, which also determines the bytes."""
        return asdict(self) | {"codec": yuv.codec()}


DEFAULT_SETTINGS = PackSettings()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one image: its record, or the reason why it has none."""

    name: str
    entry: Entry | None
    resized: bool = False
    as_is: bool = False
    care: tuple[str, ...] = ()
    problem: str = ""


def prepare_images(images: Iterable[Image], settings: PackSettings) -> list[Outcome]:
    """Prepare images for packing; an image that can't be read is an outcome too."""
    return [_prepare(image, settings) for image in images]


def _prepare(image: Image, settings: PackSettings) -> Outcome:
    try:
        made = prepare(image.data, settings.target)
    except UnreadableImageError as error:
        return Outcome(image.name, None, problem=str(error))
    entry = Entry(key_of(settings.seed, image.name), image.name, image_record(made.jpeg))
    return Outcome(image.name, entry, made.resized, made.as_is, made.care)


def unit_facts(split: Split, images: Sequence[Image], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What there is to say of a unit, given its images and their outcomes."""
    return {
        "split": split.name,
        "images": len(outcomes),
        "source_bytes": sum(len(image.data) for image in images),
        "resized": sum(outcome.resized for outcome in outcomes),
        "as_is": sum(outcome.as_is for outcome in outcomes),
        "classes": sorted({outcome.name.partition("/")[0] for outcome in outcomes}),
        "care": {outcome.name: list(outcome.care) for outcome in outcomes if outcome.care},
        "unreadable": {outcome.name: outcome.problem for outcome in outcomes if outcome.entry is None},
    }


def check_dealt(description: Description, units: Sequence[Facts], allow_unreadable: int) -> None:
    """Check the facts of all units before anything is merged.

    Raises:
        IntegrityError: too many images are unreadable, or their number is not what the description says.
    """
    unreadable = {name: why for facts in units for name, why in facts["unreadable"].items()}
    if len(unreadable) > allow_unreadable:
        named = "; ".join(f"{name} {why}" for name, why in list(unreadable.items())[:10])
        raise IntegrityError(
            f"pack: {len(unreadable)} unreadable images: {named}"
            f"{'; …' if len(unreadable) > 10 else ''}: get undamaged archives, or leave the images "
            f"out with --allow-unreadable {len(unreadable)} (the manifest will name them)"
        )
    for split in description.splits:
        images = sum(facts["images"] for facts in units if facts["split"] == split.name)
        if images != split.images:
            raise IntegrityError(
                f"pack: split {split.name} has {images} images, the description says {split.images}: "
                f"correct [splits.{split.name}] images or the archive"
            )


def classes_seen(units: Iterable[Facts]) -> set[str]:
    """The classes of all images."""
    return {name for facts in units for name in facts["classes"]}


def draft_manifest(
    description: Description, made_with: Mapping[str, Any], classes: int, units: Sequence[Facts]
) -> Manifest:
    """The manifest as far as it is known when all units are dealt: without parts and files."""
    splits = {split.name: _summary(units, split) for split in description.splits}
    return Manifest(description.name, description.sha256, dict(made_with), classes, splits, {})


def _summary(units: Sequence[Facts], split: Split) -> dict[str, Any]:
    mine = [facts for facts in units if facts["split"] == split.name]
    unreadable = {name: why for facts in mine for name, why in facts["unreadable"].items()}
    images = sum(facts["images"] for facts in mine)
    care = {name: whys for facts in mine for name, whys in facts["care"].items()}
    sizes = [facts.get("source_bytes") for facts in mine]  # not in a journal of an earlier version
    return {
        "images": images,
        "records": images - len(unreadable),
        **({"source_bytes": sum(sizes)} if None not in sizes else {}),
        "resized": sum(facts["resized"] for facts in mine),
        "as_is": sum(facts["as_is"] for facts in mine),
        "care": dict(sorted(care.items())),
        "unreadable": dict(sorted(unreadable.items())),
    }
