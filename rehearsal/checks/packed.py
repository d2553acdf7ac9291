"""The independent judge of packed files: compares them with the archives, with no code of `prep`.

`python -m rehearsal.checks DESCRIPTION ARCHIVES PACKED` prints a table and exits with 1 if anything is wrong.
"""

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

import click

from rehearsal.checks.compare import Comparison, compare
from rehearsal.checks.records import read_record, read_records
from rehearsal.checks.truth import Split, Truth, read_truth

Row = tuple[str, bool, str]
_SAMPLE: Final = 64  # records read again with MXNet, evenly spread
_BATCH: Final = 64  # images held in memory at a time
_THREADS: Final = 2
_EXAMPLES: Final = 3  # of what is wrong, in a row of the table
# What reading broken files raises; MXNet's own error is a RuntimeError.
_BROKEN: Final = (OSError, ValueError, KeyError, TypeError, RuntimeError)


@dataclass(frozen=True)
class _Head:
    """A record without its payload."""

    offset: int
    label: float
    id: int
    id2: int


@dataclass(frozen=True)
class _Line:
    """A line of the list: index, label, and `<class>/<file>`."""

    index: int
    label: float
    name: str


@dataclass(frozen=True)
class _Packed:
    """A split's packed files, read: the paths, every record's head in file order, the list."""

    rec: Path
    idx: Path
    heads: list[_Head]
    lines: list[_Line]


def check_packed(description: Path, archives: Path, packed: Path) -> list[Row]:
    """Check everything; a row is what was checked, whether it is right, and figures or what is wrong."""
    try:
        truth = read_truth(description, archives)
    except _BROKEN as error:
        return [("archives: read", False, _say(error))]
    rows = [_promises(truth), _guarded("classes.tsv", lambda: _classes(truth, packed))]
    for split in truth.splits:
        rows += _split(split, packed)
    return [*rows, _guarded("MANIFEST.json", lambda: _manifest(truth, packed))]


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _guarded(what: str, check: Callable[[], tuple[list[str], str]]) -> Row:
    """Run a check that returns what is wrong, and what to say when nothing is."""
    try:
        wrong, figures = check()
    except _BROKEN as error:
        return what, False, _say(error)
    if not wrong:
        return what, True, figures
    more = f" and {len(wrong) - _EXAMPLES} more" if len(wrong) > _EXAMPLES else ""
    return what, False, "; ".join(wrong[:_EXAMPLES]) + more


def _promises(truth: Truth) -> Row:
    """The description's own figures against its archives."""
    wrong = []
    if len(truth.classes) != truth.promised_classes:
        wrong.append(f"{len(truth.classes)} classes, {truth.promised_classes} described")
    wrong += [
        f"{split.name}: {len(split.labels)} images, {split.promised} described"
        for split in truth.splits
        if len(split.labels) != split.promised
    ]
    figures = ", ".join(f"{len(split.labels)} {split.name} images" for split in truth.splits)
    return _guarded("archives: as described", lambda: (wrong, f"{len(truth.classes)} classes, {figures}"))


def _classes(truth: Truth, packed: Path) -> tuple[list[str], str]:
    lines = [line.split("\t") for line in (packed / "classes.tsv").read_text().splitlines()]
    wrong = []
    if len(lines) != len(truth.classes):
        wrong.append(f"{len(lines)} lines for {len(truth.classes)} classes")
    for label, (line, true) in enumerate(zip(lines, truth.classes, strict=False)):
        plain = {true.id, true.id.replace("_", " ")}
        right = line[:2] == [str(label), true.id] and len(line) == 3
        if not right or line[2] not in ({true.words} if true.words else plain):
            wrong.append(f"line {label + 1} is {line}, not {[str(label), true.id, true.words or true.id]}")
    return wrong, f"{len(lines)} classes in the order of their ids"


def _split(split: Split, packed: Path) -> list[Row]:
    """All of one split's checks; the later ones only if its files can be read."""
    name = split.name
    try:
        found = _read(name, packed)
    except _BROKEN as error:
        return [(f"{name}: files can be read", False, _say(error))]
    named = {line.name: head for line, head in zip(found.lines, found.heads, strict=False)}
    return [
        (f"{name}: files can be read", True, f"{len(found.heads)} records end to end"),
        _guarded(f"{name}: index", lambda: _index(found)),
        _guarded(f"{name}: ids", lambda: _ids(found)),
        _guarded(f"{name}: every image once", lambda: _once(split, found)),
        _guarded(f"{name}: labels in .lst", lambda: _list_labels(split, found)),
        _guarded(f"{name}: labels in .rec", lambda: _record_labels(split, named)),
        _guarded(f"{name}: order", lambda: _order(split, found)),
        _guarded(f"{name}: pictures", lambda: _pictures(split, found, named)),
        _guarded(f"{name}: MXNet reads the same", lambda: _mxnet(found)),
    ]


def _read(split: str, packed: Path) -> _Packed:
    rec, idx = packed / f"{split}.rec", packed / f"{split}.idx"
    heads = [_Head(record.offset, record.label, record.id, record.id2) for record in read_records(rec)]
    lines = []
    for number, text in enumerate((packed / f"{split}.lst").read_text().splitlines(), 1):
        fields = text.split("\t")
        if len(fields) != 3:
            raise ValueError(f"{split}.lst: line {number} has {len(fields)} fields, not 3")
        lines.append(_Line(int(fields[0]), float(fields[1]), fields[2]))
    return _Packed(rec, idx, heads, lines)


def _index(found: _Packed) -> tuple[list[str], str]:
    lines = [line.split("\t") for line in found.idx.read_text().splitlines()]
    entries = [(int(key), int(offset)) for key, offset in lines]
    true = [(place, head.offset) for place, head in enumerate(found.heads)]
    wrong = [f"{len(entries)} entries for {len(true)} records"] if len(entries) != len(true) else []
    wrong += [
        f"entry {place} is {entry}, the record is {right}"
        for place, (entry, right) in enumerate(zip(entries, true, strict=False))
        if entry != right
    ]
    return wrong, f"keys 0 to {len(entries) - 1}, offsets right"


def _ids(found: _Packed) -> tuple[list[str], str]:
    wrong = [
        f"record {key} says {head.id}, {head.id2}"
        for key, head in enumerate(found.heads)
        if (head.id, head.id2) != (key, 0)
    ]
    wrong += [
        f".lst line {key} says {line.index}" for key, line in enumerate(found.lines) if line.index != key
    ]
    return wrong, "each record's id is its key"


def _once(split: Split, found: _Packed) -> tuple[list[str], str]:
    wrong = []
    if len(found.lines) != len(found.heads):
        wrong.append(f"{len(found.lines)} lines in .lst for {len(found.heads)} records")
    times = Counter(line.name for line in found.lines)
    wrong += [f"{name} {count} times" for name, count in times.items() if count > 1]
    wrong += [f"{name} is missing" for name in split.labels if name not in times]
    wrong += [f"{name} isn't in the archive" for name in times if name not in split.labels]
    return wrong, f"{len(times)} images"


def _list_labels(split: Split, found: _Packed) -> tuple[list[str], str]:
    wrong = [
        f"{line.name} has {line.label:g}, its class is {split.labels[line.name]}"
        for line in found.lines
        if line.name in split.labels and line.label != split.labels[line.name]
    ]
    return wrong, f"{len(found.lines)} equal the rank of their class"


def _record_labels(split: Split, named: dict[str, _Head]) -> tuple[list[str], str]:
    wrong = [
        f"{name} has {head.label:g}, its class is {split.labels[name]}"
        for name, head in named.items()
        if name in split.labels and head.label != split.labels[name]
    ]
    return wrong, f"{len(named)} equal the rank of their class"


def _order(split: Split, found: _Packed) -> tuple[list[str], str]:
    """Neighbours of the same class: as many as chance would have, not as many as an unshuffled file has."""
    labels = [head.label for head in found.heads]
    same = sum(one == other for one, other in pairwise(labels))
    shares = [count / len(labels) for count in Counter(labels).values()]
    expected = sum(share**2 for share in shares) * len(labels)
    # Six standard deviations: chance crosses it once in a billion files.
    limit = expected + 6 * max(1.0, expected) ** 0.5
    wrong = (
        [f"not shuffled: {same} neighbours share a class, {expected:.0f} expected"] if same > limit else []
    )
    if len(split.labels) == 0 or len(shares) < 2:
        wrong = []
    return wrong, f"shuffled: {same} neighbours share a class, {expected:.0f} expected"


def _pictures(split: Split, found: _Packed, named: dict[str, _Head]) -> tuple[list[str], str]:
    wrong, kinds, short_sides = [], Counter[str](), Counter[int]()
    for name, result in _compared(split, found, named):
        kinds[result.kind] += 1
        if result.kind == "wrong":
            wrong.append(f"{name} {result.problem}")
        elif result.kind == "resized":
            short_sides[result.short_side] += 1
    if len(short_sides) > 1:
        wrong.append(f"resized to several short sides: {dict(short_sides)}")
    figures = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds, reverse=True))
    side = next(iter(short_sides), 0)
    return wrong, figures.replace("resized", f"resized to a short side of {side}")


def _compared(split: Split, found: _Packed, named: dict[str, _Head]) -> Iterator[tuple[str, Comparison]]:
    """Each image of the archive that has a record, compared with it."""
    images = ((name, data) for name, data in split.images() if name in named)
    with ThreadPoolExecutor(_THREADS) as pool, found.rec.open("rb") as file:
        while batch := list(islice(images, _BATCH)):
            records = [read_record(file, named[name].offset, found.rec) for name, _ in batch]
            results = pool.map(compare, [data for _, data in batch], [record.payload for record in records])
            yield from zip([name for name, _ in batch], results, strict=True)


def _mxnet(found: _Packed) -> tuple[list[str], str]:
    """The reader that training uses, over a sample: it must see what this judge saw."""
    with warnings.catch_warnings():
        # MXNet 1.9.1 uses names that NumPy has deprecated since.
        warnings.simplefilter("ignore")
        from mxnet import recordio  # type: ignore[import-untyped, unused-ignore]
    keys = range(0, len(found.heads), max(1, len(found.heads) // _SAMPLE))
    reader: Any = recordio.MXIndexedRecordIO(str(found.idx), str(found.rec), "r")
    wrong = []
    try:
        with found.rec.open("rb") as file:
            for key in keys:
                record = read_record(file, found.heads[key].offset, found.rec)
                header, payload = recordio.unpack(reader.read_idx(key))
                label = float(header.label if header.flag == 0 else header.label[0])
                if (label, header.id, payload) != (record.label, record.id, record.payload):
                    wrong.append(f"record {key} differs")
    finally:
        reader.close()
    return wrong, f"{len(keys)} records"


def _manifest(truth: Truth, packed: Path) -> tuple[list[str], str]:
    files: dict[str, dict[str, Any]] = json.loads((packed / "MANIFEST.json").read_text())["files"]
    needed = [f"{split.name}.{kind}" for split in truth.splits for kind in ("rec", "idx", "lst")]
    wrong = [f"{name} isn't listed" for name in [*needed, "classes.tsv"] if name not in files]
    for name, entry in files.items():
        path = packed / name
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if entry["sha256"] != digest:
            wrong.append(f"{name}: SHA-256 differs")
        if entry["bytes"] != path.stat().st_size:
            wrong.append(f"{name}: {path.stat().st_size} bytes, {entry['bytes']} listed")
    return wrong, f"SHA-256 and size of {len(files)} files"


@click.command()
@click.argument("description", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("archives", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("packed", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(description: Path, archives: Path, packed: Path) -> None:
    """Check the files in PACKED against the ARCHIVES of the data set that DESCRIPTION describes."""
    rows = check_packed(description, archives, packed)
    width = max(len(what) for what, _, _ in rows)
    for what, right, detail in rows:
        click.echo(f"{'ok   ' if right else 'WRONG'}  {what:<{width}}  {detail}")
    if not all(right for _, right, _ in rows):
        raise SystemExit(1)
