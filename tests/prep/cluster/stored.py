"""Packed files in S3, as a cluster leaves them: those of one machine, cut into ranges."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prep.archives import inventory
from prep.cluster.place import Place
from prep.job import Job

Table = list[dict[str, Any]]


@dataclass(frozen=True)
class Stored:
    """The objects of a data set below a place."""

    place: Place

    def change(self, name: str, byte: int, mask: int = 1) -> None:
        """Change one byte of an object; -1 is the last."""
        data = bytearray(self.place.get(name))
        data[byte] ^= mask
        self.place.put(name, bytes(data))

    def table(self, name: str) -> Any:
        """The value of an object with JSON."""
        return json.loads(self.place.get(name))

    def rehash(self) -> None:
        """Make the hashes in the manifest those of the objects."""
        table = self.table("MANIFEST.json")
        for name in table["files"]:
            data = self.place.get(name)
            table["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        self.place.put_json("MANIFEST.json", table)

    def everything(self) -> dict[str, str]:
        """SHA-256 of every object, by name."""
        return {name: hashlib.sha256(self.place.get(name)).hexdigest() for name in self.place.list("")}


def store(work: Job, place: Place, size: int) -> Stored:
    """Put packed files into S3, with the ranges and the inventory; a range has `size` records."""
    layout = work.layout
    for path in sorted(layout.packed.iterdir()):
        place.put(path.name, path.read_bytes())
    if devkit := work.description.devkit:
        place.put(f".prep/devkit/{devkit.file}", (layout.archives / devkit.file).read_bytes())
    cut(place, json.loads(layout.manifest.read_bytes()), size, originals(work))
    return Stored(place)


def originals(work: Job) -> dict[str, dict[str, tuple[int, int]]]:
    """Size and CRC-32 of every image in the archives, by split and name."""
    return {split.name: dict(inventory.read(work.layout, split.name)) for split in work.description.splits}


def cut(place: Place, manifest: Any, size: int, images: dict[str, dict[str, tuple[int, int]]]) -> None:
    """Write `ranges.json` and the inventory of packed files that are in S3."""
    rows: Table = []
    for split, facts in manifest["splits"].items():
        left = dict(images[split])
        of_split: Table = []
        for part in facts["parts"]:
            of_split += _rows_of(
                place, split, part, len(of_split), size, sum(row["records"] for row in of_split)
            )
        for row in of_split:
            names = _names(place, row)
            if row is of_split[-1]:
                names += [name for name in left if name not in names]
            lines = [f"{name}\t{left[name][0]}\t{left.pop(name)[1]}\n" for name in names if name in left]
            place.put(f".prep/inventory/{split}-{row['number']:05d}.tsv", "".join(lines).encode())
        rows += of_split
    place.put_json(".prep/ranges.json", rows)


def _rows_of(place: Place, split: str, part: str, number: int, size: int, first: int) -> Table:
    """The rows of one part, whose first range has that number and that first record."""
    idx = place.get(f"{part}.idx").splitlines(keepends=True)
    lst = place.get(f"{part}.lst").splitlines(keepends=True)
    offsets = [int(line.split(b"\t")[1]) for line in idx] + [len(place.get(f"{part}.rec"))]
    rows = []
    for begin in range(0, len(idx), size):
        end = min(begin + size, len(idx))
        rows.append(
            {
                "split": split,
                "part": part,
                "number": number + len(rows),
                "first": first + begin,
                "records": end - begin,
                "rec": [offsets[begin], offsets[end] - offsets[begin]],
                "idx": _extent(idx, begin, end),
                "lst": _extent(lst, begin, end),
            }
        )
    return rows


def _extent(lines: Sequence[bytes], begin: int, end: int) -> list[int]:
    return [sum(map(len, lines[:begin])), sum(map(len, lines[begin:end]))]


def _names(place: Place, row: dict[str, Any]) -> list[str]:
    offset, size = row["lst"]
    text = place.get(f"{row['part']}.lst")[offset : offset + size].decode()
    return [line.split("\t")[2] for line in text.splitlines()]
