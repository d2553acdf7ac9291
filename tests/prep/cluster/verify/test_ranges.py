"""Damage of what says where the ranges are, and which images are in them."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from prep.cluster.place import Place
from prep.job import Job
from tests.prep.cluster.stand import Stand
from tests.prep.cluster.stored import Stored, store
from tests.prep.cluster.verify.asking import QUIET, SIZE, refusal, same_receipt, verified
from tests.prep.stages.test_verify import Packed

pytestmark = QUIET


def test_ranges_swapped(stand: Stand, work: Job, place: Place) -> None:
    """Each is in order for itself, and all else fits."""
    packed = Packed(work.layout.packed.parent)
    packed.entries[5:15] = packed.entries[10:15] + packed.entries[5:10]
    packed.write()
    store(work, place, SIZE)
    said = refusal(stand, work, place)
    assert re.match(re.escape(place.url("train.rec")) + r" record 10 \(.*\): not in the order of the", said)


def lost(rows: list[dict[str, Any]], number: int) -> None:
    del rows[number]


def renumbered(rows: list[dict[str, Any]]) -> None:
    del rows[2]
    for number, row in enumerate(rows):
        row["number"] = number


def claimed(rows: list[dict[str, Any]]) -> None:
    """A range is gone, and nobody misses its records: the others claim to be all."""
    del rows[2]
    first = 0
    for number, row in enumerate(rows):
        row["number"], row["first"] = number, first
        first += row["records"]


def no_last_records(rows: list[dict[str, Any]]) -> None:
    del rows[-1]


def one_record_less(rows: list[dict[str, Any]]) -> None:
    rows[-1]["records"] -= 1


def one_byte_less(rows: list[dict[str, Any]]) -> None:
    rows[-1]["rec"][1] -= 1


def cut_elsewhere(rows: list[dict[str, Any]]) -> None:
    rows[1]["rec"][1] -= 4
    rows[2]["rec"][0] -= 4
    rows[2]["rec"][1] += 4


def other_lines(rows: list[dict[str, Any]]) -> None:
    size = rows[1]["idx"][1]
    rows[1]["idx"][1] = size + 1
    rows[2]["idx"][0] += 1
    rows[2]["idx"][1] -= 1


def twice(rows: list[dict[str, Any]]) -> None:
    rows.insert(2, rows[1])


def another_file(rows: list[dict[str, Any]]) -> None:
    rows[-1]["part"] = "train-00001"


def other_split(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["split"] = "test"


def text_for_a_number(rows: list[dict[str, Any]]) -> None:
    rows[0]["rec"][1] = "5"


def no_lines(rows: list[dict[str, Any]]) -> None:
    del rows[0]["lst"]


RANGES = "ranges.json: split train: "
GAPS: dict[str, tuple[Callable[[list[dict[str, Any]]], None], str]] = {
    "first lost": (lambda rows: lost(rows, 0), RANGES + "no range 0 that begins with record 0"),
    "third lost": (lambda rows: lost(rows, 2), RANGES + "no range 2 that begins with record 10"),
    "third lost, others renumbered": (renumbered, RANGES + "no range 2 that begins with record 10"),
    "third lost, others claim its records": (claimed, RANGES + "no range of train.rec that begins at"),
    "last lost": (no_last_records, RANGES + r"the ranges of train.rec end at byte \d+, it has \d+"),
    "one record less": (one_record_less, r"train.rec: 1 records in the \d+ bytes from byte .*, should be 0"),
    "one byte less": (one_byte_less, RANGES + r"the ranges of train.rec end at byte \d+, it has \d+"),
    "cut elsewhere": (cut_elsewhere, r"train.rec: "),
    "lines cut elsewhere": (other_lines, "train.rec: record 10 .*differs from the index|train.idx: has more"),
    "twice": (twice, RANGES + "no range 2 that begins with record 10"),
    "another file": (another_file, RANGES + "other files than in the manifest"),
    "none of this split": (other_split, RANGES + "other files than in the manifest"),
    "text for a number": (text_for_a_number, r"ranges.json: damaged \(.*'5' is not"),
    "no lines": (no_lines, r"ranges.json: damaged \(KeyError"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), GAPS.values(), ids=GAPS)
def test_ranges_that_miss_something(
    stand: Stand, work: Job, stored: Stored, change: Callable[[list[dict[str, Any]]], None], message: str
) -> None:
    rows = stored.table(".prep/ranges.json")
    change(rows)
    stored.place.put_json(".prep/ranges.json", rows)
    said = refusal(stand, work, stored.place)
    assert re.search(message, said), said
    assert said.startswith(str(stored.place))


def test_a_range_without_records(stand: Stand, work: Job, stored: Stored) -> None:
    """Its buckets are empty."""
    rows = stored.table(".prep/ranges.json")
    last = rows[-1]
    ends = {kind: [sum(last[kind]), 0] for kind in ("rec", "idx", "lst")}
    number, first = last["number"] + 1, last["first"] + last["records"]
    rows.append(last | ends | {"number": number, "first": first, "records": 0})
    stored.place.put_json(".prep/ranges.json", rows)
    stored.place.put(f".prep/inventory/train-{number:05d}.tsv", b"")
    same_receipt(work, stored.place, verified(stand, work, stored.place))


@pytest.mark.parametrize("text", [b"", b"{", b"{}x", b"[1]", b"[" * 9999, b"\xff", None])
def test_damaged_ranges(stand: Stand, work: Job, stored: Stored, text: bytes | None) -> None:
    if text is None:
        stored.place.remove([".prep/ranges.json"])
    else:
        stored.place.put(".prep/ranges.json", text)
    assert f"{stored.place.url('.prep/ranges.json')}: " in refusal(stand, work, stored.place)


PIECE = ".prep/inventory/train-00002.tsv"


def without(text: str, number: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[:number] + lines[number + 1 :])


def wrong_sums(text: str) -> str:
    return re.sub(r"\d+\n", "5\n", text)


INVENTORY: dict[str, tuple[Callable[[str], str], str]] = {
    "a name": (lambda text: text.replace("/", "/x", 1), r"train.rec record \d+ \(.*\): no such image in the"),
    "a tab": (lambda text: text.replace("\t", " ", 1), rf"{PIECE}: damaged: run pack again"),
    "cut short": (lambda text: text[:-1], rf"{PIECE}: damaged: run pack again"),
    "a line less": (
        lambda text: without(text, 1),
        r"train.rec record \d+ \(.*\): no such image in the archive",
    ),
    "a line more": (lambda text: text + "ant/more.jpg\t5\t5\n", r"the archive holds 22 images, .* says 21"),
    "a line twice": (lambda text: text + text.splitlines()[0] + "\n", "holds .* twice"),
    "other sums": (wrong_sums, r"split train: \d+ of 21 images have the bytes in the archive, .* says 12"),
    "empty": (lambda _: "", r"train.rec record 10 \(.*\): no such image in the archive"),
}


@pytest.mark.parametrize(("change", "message"), INVENTORY.values(), ids=INVENTORY)
def test_damaged_inventory(
    stand: Stand, work: Job, stored: Stored, change: Callable[[str], str], message: str
) -> None:
    stored.place.put(PIECE, change(stored.place.get(PIECE).decode()).encode())
    said = refusal(stand, work, stored.place)
    assert re.search(message, said), said


def test_lost_inventory(stand: Stand, work: Job, stored: Stored) -> None:
    stored.place.remove([PIECE])
    assert f"{stored.place.url(PIECE)}: does not exist: run pack" in refusal(stand, work, stored.place)


def test_image_of_another_piece(stand: Stand, work: Job, stored: Stored) -> None:
    """An image is missing even if an image more than there should be is in another range."""
    text = stored.place.get(PIECE).decode()
    line = text.splitlines(keepends=True)[0]
    stored.place.put(PIECE, text.replace(line, "").encode())
    other = ".prep/inventory/train-00000.tsv"
    stored.place.put(other, stored.place.get(other) + line.encode())
    said = refusal(stand, work, stored.place)
    assert f"({line.split(chr(9))[0]}): no such image in the archive" in said
