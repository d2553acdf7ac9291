"""Packed files written by hand: of any number of classes and parts, and with any names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prep.records import manifest
from prep.records.recordio import image_record
from prep.state.layout import Layout


class Item(NamedTuple):
    """A packed image: its label, its name without the class, and the file."""

    label: int
    file: str
    image: bytes


def write_packed(
    folder: Path,
    classes: Sequence[tuple[str, str]],
    splits: Mapping[str, Sequence[Sequence[Item]]],
    facts: Mapping[str, Mapping[str, Any]] | None = None,
) -> Layout:
    """Write packed files.

    Args:
        folder: where to.
        classes: name and words by label.
        splits: the parts of each split, each a sequence of images in the order of the file.
        facts: what the manifest says of a split beside the counts, by split.
    """
    layout = Layout(folder, folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = "".join(f"{label}\t{name}\t{words}\n" for label, (name, words) in enumerate(classes))
    layout.classes.write_text(table)
    of = {}
    for split, parts in splits.items():
        names = [split] if len(parts) == 1 else [f"{split}-{number:05d}" for number in range(len(parts))]
        index = 0
        for name, items in zip(names, parts, strict=True):
            index = _write_part(layout, name, classes, items, index)
        counts = {"images": index, "records": index, "resized": 0, "as_is": index}
        of[split] = (
            counts | {"care": {}, "unreadable": {}, "parts": names} | dict((facts or {}).get(split, {}))
        )
    files = {path.name: manifest.facts_of(path) for path in sorted(folder.iterdir()) if path.is_file()}
    settings = {"resize": 480, "quality": 95, "seed": 0, "part_mib": 0, "codec": "libjpeg-turbo"}
    made = manifest.Manifest("tiny", "0" * 64, settings, len(classes), of, files)
    layout.manifest.write_text(json.dumps(vars(made)))
    return layout


def _write_part(
    layout: Layout, part: str, classes: Sequence[tuple[str, str]], items: Sequence[Item], first: int
) -> int:
    idx, lst = [], []
    offset = 0
    with layout.rec(part).open("wb") as rec:
        for index, item in enumerate(items, first):
            idx.append(f"{index}\t{offset}\n")
            lst.append(f"{index}\t{item.label}\t{classes[item.label][0]}/{item.file}\n")
            offset += rec.write(image_record(item.image, item.label, index))
    layout.idx(part).write_text("".join(idx))
    layout.lst(part).write_text("".join(lst))
    return first + len(items)
