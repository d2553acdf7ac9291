"""The independent judge of the preview: the page against the archives, with no code of `prep`."""

import base64
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from rehearsal.checks.packed import Row
from rehearsal.checks.truth import Truth

_THUMB: Final = 16  # side of the thumbnails that are compared
# Mean difference of two thumbnails, of 255. In the generated sample the page's differs from that of the
# archive's image by 2.2 at most, and from those of other images of its class by 14.3 at least.
_ALIKE: Final = 7.0
_EXAMPLES: Final = 3  # of what is wrong, in a row of the table
_LOADS: Final = {"src", "srcset", "href", "action", "formaction", "data", "poster", "background", "ping"}
_CARE: Final = "care"  # the section of the images that needed care


@dataclass(frozen=True)
class _Picture:
    """A picture of the page: the image's name, its section, and within it the class's place (or None)."""

    name: str
    section: str
    label: int | None
    jpeg: bytes


@dataclass
class _Page(HTMLParser):
    """What the page holds."""

    tags: Counter[str] = field(default_factory=Counter)
    outside: list[str] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    headings: dict[int, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    numbers: dict[int, list[int]] = field(default_factory=dict)
    pictures: list[_Picture] = field(default_factory=list)
    section: str = ""
    label: int | None = None
    inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self.inside = tag
        for name, value in given.items():
            if name in _LOADS and not value.startswith(("data:", "#")):
                self.outside.append(f"{tag} {name}={value[:60]}")
            if name.startswith("on"):
                self.outside.append(f"{tag} {name}")
            if name == "style":
                self.styles.append(value)
        if given.get("http-equiv", "").lower() == "content-security-policy":
            self.policies.append(given.get("content", ""))
        if tag == "section":
            self.section = given.get("id", "")
        elif tag == "article":
            self.label = int(given["id"].removeprefix("class-"))
            self.numbers[self.label] = []
        elif tag == "data" and self.label is not None:
            self.numbers[self.label].append(int(given["value"]))
        elif tag == "img":
            jpeg = base64.b64decode(given["src"].partition(",")[2])
            self.pictures.append(_Picture(given["title"], self.section, self.label, jpeg))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
        if tag == "article":
            self.label = None

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            self.styles.append(data)
        if self.label is not None:
            self.texts[self.label] = self.texts.get(self.label, "") + f"{data}\n"
            if self.inside == "h3":
                self.headings[self.label] = self.headings.get(self.label, "") + data


def check_preview(text: str, truth: Truth, manifest: Path) -> list[Row]:
    """Check the page; a row is what was checked, whether it is right, and figures or what is wrong."""
    page = _Page()
    try:
        page.feed(text)
        page.close()
    except (ValueError, KeyError) as error:
        return [("preview: can be read", False, f"{type(error).__name__}: {error}")]
    checks = {
        "preview: loads nothing": (_outside(page), f"{len(text.encode()) / 1e6:.1f} MB, no script"),
        "preview: classes and counts": (_classes(page, truth), f"{len(page.numbers)} classes"),
        "preview: images that needed care": (_care(page, manifest), f"{_cared(page)} as in the manifest"),
        "preview: pictures": (list(_pictures(page, truth)), f"{len(page.pictures)} as in the archives"),
    }
    return [(what, not wrong, _told(wrong) or figures) for what, (wrong, figures) in checks.items()]


def _told(wrong: list[str]) -> str:
    more = f" and {len(wrong) - _EXAMPLES} more" if len(wrong) > _EXAMPLES else ""
    return "; ".join(wrong[:_EXAMPLES]) + more


def _outside(page: _Page) -> list[str]:
    """What a browser would load or run, and a policy that would let it."""
    wrong = list(page.outside)
    wrong += [f"<{tag}>" for tag in ("script", "iframe", "object", "embed", "form", "base") if page.tags[tag]]
    wrong += [f"style: {found}" for css in page.styles for found in re.findall(r"@import|url\s*\(", css)]
    if not any("default-src 'none'" in policy for policy in page.policies):
        wrong.append("no content security policy that forbids loading")
    return wrong


def _classes(page: _Page, truth: Truth) -> list[str]:
    """Every class with its id, its words and the number of its images in each split."""
    wrong = [] if len(page.numbers) == len(truth.classes) else [f"{len(page.numbers)} classes"]
    counts = [Counter(split.labels.values()) for split in truth.splits]
    for label, one in enumerate(truth.classes):
        first, _, others = (one.words or one.id.replace("_", " ")).partition(", ")
        if page.headings.get(label) != first:
            wrong.append(f"class {label} is {page.headings.get(label)!r}, not {first!r}")
        lines = page.texts.get(label, "").splitlines()
        wrong += [f"class {label}: no {text!r}" for text in (one.id, others) if text and text not in lines]
        true = [count[label] for count in counts]
        if page.numbers.get(label) != true:
            wrong.append(f"class {label}: {page.numbers.get(label)} images, {true} in the archives")
    return wrong


def _cared(page: _Page) -> int:
    return sum(picture.section == _CARE for picture in page.pictures)


def _care(page: _Page, manifest: Path) -> list[str]:
    """The images that the manifest says needed care; of data sets with more than a hundred, some."""
    splits = json.loads(manifest.read_text())["splits"].values()
    true = Counter(name for facts in splits for name in set(facts["care"]) | set(facts.get("damaged", {})))
    found = Counter(picture.name for picture in page.pictures if picture.section == _CARE)
    wrong = [f"{name} did not" for name in found - true]
    return wrong + ([f"{name} is missing" for name in true - found] if true.total() <= 100 else [])


def _pictures(page: _Page, truth: Truth) -> Iterator[str]:
    """Pictures that are not what the archives have under that name, or of another class than theirs.

    Two splits may have an image of the same name.
    """
    shown: dict[str, list[_Picture]] = {}
    for picture in page.pictures:
        shown.setdefault(picture.name, []).append(picture)
    yield from (f"class {label}: no picture" for label in set(page.numbers) - _labels(page))
    nearest: dict[_Picture, float] = {}
    for split in truth.splits:
        for name, data in split.images():
            for picture in shown.get(name, []):
                if picture.label not in (None, split.labels[name]):
                    yield f"{name} is shown as class {picture.label}"
                # A class is shown by squares, out of the middle of its images.
                difference = np.abs(_look(picture.jpeg, False) - _look(data, picture.section != _CARE)).mean()
                nearest[picture] = min(nearest.get(picture, 255.0), float(difference))
    for name, pictures in shown.items():
        for difference in (nearest.get(picture) for picture in pictures):
            if difference is None:
                yield f"{name} is in no archive"
            elif difference > _ALIKE:
                yield f"{name} shows another picture (difference {difference:.1f} of 255)"


def _labels(page: _Page) -> set[int]:
    return {picture.label for picture in page.pictures if picture.label is not None}


def _look(data: bytes, square: bool) -> NDArray[np.float64]:
    """A thumbnail of an image, or of the square in its middle, turned upright."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of corrupt Exif data
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            try:
                upright = ImageOps.exif_transpose(image)
            except (OSError, ValueError, SyntaxError, KeyError):
                upright = image
            rgb = upright.convert("RGB")
    if square:
        rgb = ImageOps.fit(rgb, (min(rgb.size),) * 2)
    return np.asarray(rgb.resize((_THUMB, _THUMB), Image.Resampling.BOX), dtype=np.float64)
