"""The page: one HTML file with its style and all pictures inside, which loads nothing and runs no script.

Every name and every text comes from archives, and so is escaped. The same packed files give the same page:
nothing in it depends on the time, the machine or its language.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from prep.preview.pictures import Thumbnail
from prep.preview.survey import Cared, Kind, Place, Survey, Tally
from prep.progress import one_line

STYLE = Path(__file__).with_name("page.css")
# What the page may load: pictures and style that are in the page itself. So a text that got past the escaping
# could still not reach out. https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/CSP
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SECTIONS = {
    "counts": "Counts",
    "sizes": "Sizes",
    "care": "Images that needed care",
    "classes": "Classes",
    "settings": "Settings and versions",
    "files": "Files",
}
NONE = "-"
MOST_LEFT_OUT = 200  # images without a picture that are named
SETTINGS = {
    "resize": "short side of larger images, in pixels (0: as they are)",
    "quality": "JPEG quality of images that were encoded",
    "seed": "seed of the shuffle",
    "part_mib": "size of a part in MiB (0: one file for each split)",
    "codec": "library that reduced colour JPEGs",
}


def page(
    found: Survey,
    squares: Mapping[Place, Thumbnail],
    wholes: Mapping[Place, Thumbnail],
    versions: Mapping[str, str],
) -> str:
    """The page.

    Args:
        found: what the packed files hold.
        squares: the thumbnails of the images that stand for their classes; of a class there may be none.
        wholes: the pictures of the images that needed care.
        versions: of what has made the page, by name.
    """
    name = _text(found.facts.dataset)
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in SECTIONS.items())
    bodies = {
        "counts": _counts(found),
        "sizes": _sizes(found),
        "care": _care(found, wholes),
        "classes": _classes(found, squares),
        "settings": _settings(found, versions),
        "files": _files(found),
    }
    sections = "\n".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">\n'
        f'<h2 id="{anchor}-title">{SECTIONS[anchor]}</h2>\n{body}\n</section>'
        for anchor, body in bodies.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{name}: preview of the packed data set</title>
<link rel="icon" href="data:,">
<style>
{STYLE.read_text(encoding="utf-8").strip()}
</style>
</head>
<body>
<header>
<h1>{name}</h1>
{_verdict(found)}
{_headline(found)}
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


def _text(text: object) -> str:
    """Text for the page, which can be neither markup nor a control character."""
    return escape(one_line(str(text)))


def _number(number: int) -> str:
    return f'<data value="{number}">{number:,}</data>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = True) -> str:
    """A table of texts that are markup already. The first column names the row."""
    mark = ' class="number"' if numbers else ""
    titles = "".join(
        f'<th scope="col"{mark if place else ""}>{title}</th>' for place, title in enumerate(head)
    )
    lines = "\n".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td{mark}>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n'
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{lines}\n</tbody></table></div>"
    )


def _verdict(found: Survey) -> str:
    wrong = [check for check in found.checks() if not check.right]
    if wrong:
        told = "; ".join(f"{check.what}: {check.found:,}, expected {check.expected:,}" for check in wrong)
        return f'<p class="verdict bad">✗ Counts differ: {_text(told)}. Run verify.</p>'
    return '<p class="verdict good">✓ All counts are as the description of the data set says.</p>'


def _headline(found: Survey) -> str:
    left_out = sum(len(facts["unreadable"]) for facts in found.facts.splits.values())
    figures = {
        "images": f"{found.images:,}",
        "classes": f"{len(found.table):,}",
        "packed": decimal(found.packed_bytes),
        "needed care": f"{sum(kind.images for kind in found.kinds.values()):,}",
        "left out": f"{left_out:,}",
    }
    rows = "".join(f"<div><dt>{what}</dt><dd>{_text(value)}</dd></div>" for what, value in figures.items())
    return f'<dl class="figures">{rows}</dl>'


def _counts(found: Survey) -> str:
    rows = []
    for split, facts in found.facts.splits.items():
        counts = [tally.images for tally in found.tallies[split]]
        seen = sum(count > 0 for count in counts)
        left_out = len(facts["unreadable"])
        right = sum(counts) + left_out == int(facts["images"])
        rows.append(
            [
                _text(split),
                _number(int(facts["images"])),
                _number(sum(counts)),
                _number(left_out),
                '<span class="good">✓ right</span>' if right else '<span class="bad">✗ differs</span>',
                f"{seen:,} of {found.facts.classes:,}",
                _range(counts),
            ]
        )
    head = ["split", "expected", "packed", "left out", "result", "classes with images", "images in a class"]
    return (
        "<p>“Expected” is the number in the description of the data set. “Packed” was counted in the lists "
        f"and indexes for this page.</p>\n{_table(head, rows)}"
    )


def _range(counts: Sequence[int]) -> str:
    least, most = min(counts, default=0), max(counts, default=0)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _sizes(found: Survey) -> str:
    rows = []
    for split, facts in found.facts.splits.items():
        images, records = int(facts["images"]), int(facts["records"])
        after, before = found.rec_bytes(split), facts.get("source_bytes")
        rows.append(
            [
                _text(split),
                decimal(before) if before is not None else "not noted",
                decimal(after),
                f"{100 * after / before:.0f} %" if before else NONE,
                decimal(before // images) if before is not None and images else NONE,
                decimal(after // records) if records else NONE,
                _number(int(facts["as_is"])),
                _number(int(facts["resized"])),
            ]
        )
    head = [
        "split",
        "before",
        "after",
        "after / before",
        "an image before",
        "an image after",
        "unchanged",
        "made smaller",
    ]
    return (
        "<p>“Before” are the image files in the archives, “after” the <code>.rec</code> files. “Unchanged” "
        "images have the same bytes as in the archive. All others were decoded and encoded again, or cut at "
        f"their end.</p>\n{_table(head, rows)}"
    )


def _care(found: Survey, wholes: Mapping[Place, Thumbnail]) -> str:
    parts = [_kind(name, kind, wholes) for name, kind in found.kinds.items()]
    for split, facts in found.facts.splits.items():
        if facts["unreadable"]:
            parts.append(_left_out(split, facts["unreadable"]))
    if not parts:
        return "<p>No image needed care, and none was left out.</p>"
    return (
        "<p>These images were converted, turned or cut, or have damaged picture data. The pictures show what "
        "is packed.</p>\n" + "\n".join(parts)
    )


def _kind(name: str, kind: Kind, wholes: Mapping[Place, Thumbnail]) -> str:
    figures = "\n".join(_cared(one, wholes[one.place]) for one in kind.shown)
    more = kind.images - len(kind.shown)
    rest = f"\n<p>And {more:,} more: <code>MANIFEST.json</code> names them.</p>" if more else ""
    noun = "image" if kind.images == 1 else "images"
    title = f'<h3 class="kind">{_text(name)}: {_number(kind.images)} {noun}</h3>'
    return f'{title}\n<div class="cared">\n{figures}\n</div>{rest}'


def _cared(one: Cared, picture: Thumbnail) -> str:
    reasons = _text("; ".join(one.reasons))
    facts = f"{one.place.split}, {picture.width}x{picture.height}, {decimal(picture.bytes)}"
    return (
        f"<figure>{_image(picture, f'{one.place.name}: {one.reasons[0]}', one.place)}"
        f"<figcaption><b>{reasons}</b><br>{_text(one.place.name)}<br>{_text(facts)}</figcaption></figure>"
    )


def _left_out(split: str, unreadable: Mapping[str, str]) -> str:
    named = list(unreadable.items())[:MOST_LEFT_OUT]
    more = len(unreadable) - len(named)
    if more:
        named.append((f"and {more:,} more", "MANIFEST.json names them"))
    rows = [[_text(image), _text(reason)] for image, reason in named]
    title = f"Left out of {_text(split)}: {_number(len(unreadable))} unreadable"
    return f'<h3 class="kind">{title}</h3>\n{_table(["image", "reason"], rows, numbers=False)}'


def _classes(found: Survey, squares: Mapping[Place, Thumbnail]) -> str:
    most = max((len(tally.first) for tallies in found.tallies.values() for tally in tallies), default=0)
    cards = "\n".join(
        _class(
            label, wnid, words, {split: tallies[label] for split, tallies in found.tallies.items()}, squares
        )
        for label, (wnid, words) in enumerate(found.table)
    )
    kind = "classes wide" if most > 1 else "classes"
    return (
        "<p>In the order of their labels. The pictures are the first of each class in the packed files, "
        f'whose order is random.</p>\n<div class="{kind}">\n{cards}\n</div>'
    )


def _class(
    label: int, wnid: str, words: str, tallies: Mapping[str, Tally], squares: Mapping[Place, Thumbnail]
) -> str:
    first, _, others = words.partition(", ")
    figures = "".join(_split(split, tally, first, squares) for split, tally in tallies.items())
    more = f"<p>{_text(others)}</p>" if others else ""
    return (
        f'<article class="class" id="class-{label}"><div><h3>{_text(first)}</h3>{more}'
        f'<p class="faint">label {label}<br>{_text(wnid)}</p></div>'
        f'<div class="splits">{figures}</div></article>'
    )


def _split(split: str, tally: Tally, word: str, squares: Mapping[Place, Thumbnail]) -> str:
    pictures = "".join(
        _image(squares[place], f"{word}: {place.name}", place) for place in tally.first if place in squares
    )
    return (
        f"<figure><figcaption>{_text(split)}: {_number(tally.images)}</figcaption>"
        f'<div class="pictures">{pictures}</div></figure>'
    )


def _image(picture: Thumbnail, alternative: str, place: Place) -> str:
    data = base64.b64encode(picture.jpeg).decode()
    return (
        f'<img alt="{_text(alternative)}" title="{_text(place.name)}" decoding="async" '
        f'src="data:image/jpeg;base64,{data}">'
    )


def _settings(found: Survey, versions: Mapping[str, str]) -> str:
    settings: dict[str, Any] = found.facts.settings
    rows = [[_text(name), _text(value), _text(SETTINGS.get(name, ""))] for name, value in settings.items()]
    rows += [
        [_text(name), _text(version), "version, when this page was made"]
        for name, version in versions.items()
    ]
    return _table(["name", "value", "what it is"], rows, numbers=False)


def _files(found: Survey) -> str:
    manifest = {"MANIFEST.json": {"sha256": found.manifest_sha256}}
    rows = [
        [
            _text(name),
            f'<span class="size">{decimal(facts["bytes"]) if "bytes" in facts else NONE}</span>',
            f'<code class="hash">{_text(facts["sha256"])}</code>',
        ]
        for name, facts in (found.facts.files | manifest).items()
    ]
    digest = _text(found.facts.description_sha256)
    return (
        "<p>The SHA-256 are those in <code>MANIFEST.json</code>. <code>sha256sum</code> computes them from "
        f"the files.</p>\n{_table(['file', 'size', 'SHA-256'], rows, numbers=False)}\n"
        f"<p>SHA-256 of the description of the data set: <code>{digest}</code></p>"
    )
