"""Buckets become one shuffled `.rec` with its index and list, the same whenever it was interrupted."""

import random
import struct
from pathlib import Path

import pytest

from prep.archives.journal import UnitJournal
from prep.errors import IntegrityError
from prep.progress import Progress
from prep.records.buckets import Buckets, Entry, key_of
from prep.records.growth import Growth
from prep.records.merge import merge
from prep.records.recordio import image_record, read_records
from prep.state.layout import Layout

NAMES = [f"{'cab'[number % 3]}/{number}.JPEG" for number in range(60)]
LABELS = {"a": 0, "b": 1, "c": 2}
COUNT = 8


class Stopped(Exception):  # noqa: N818 - not an error
    """Stands for a kill."""


class StoppingJournal(UnitJournal):
    """A journal after whose n-th entry, or before it is written, everything stops."""

    def __init__(self, path: Path, last: int | None = None, written: bool = True) -> None:
        super().__init__(path, {})
        self.left = last
        self.written = written

    def append(self, entry: dict[str, object]) -> None:
        if self.left == 0 and not self.written:
            raise Stopped
        super().append(entry)
        if self.left == 0:
            raise Stopped
        if self.left is not None:
            self.left -= 1


def layout_of(folder: Path) -> Layout:
    return Layout(folder / "root", folder)


def filled(folder: Path, names: list[str] = NAMES, sizes: list[int] | None = None) -> Buckets:
    """Buckets of these names; with `sizes`, those that are on disk."""
    buckets = Buckets(folder / ".packing" / "train", COUNT, sizes or [])
    if sizes is None:
        buckets.deal(Entry(key_of(0, name), name, image_record(name.encode() * 50)) for name in names)
    return buckets


def merged(folder: Path, buckets: Buckets, journal: UnitJournal) -> dict[str, bytes]:
    parts = merge(layout_of(folder), "train", buckets, LABELS, journal, Progress(shown=False), Growth())
    assert list(parts) == ["train"]
    facts = parts["train"]
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    journal_file = files.pop("journal", b"")
    assert journal_file
    assert set(files) == {"train.rec", "train.idx", "train.lst"} == set(facts)
    assert {name: len(data) for name, data in files.items()} == {
        name: fact["bytes"] for name, fact in facts.items()
    }
    return files


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("merge")
    return merged(folder, filled(folder), UnitJournal(folder / "journal", {}))


def test_files_agree(tmp_path: Path, expected: dict[str, bytes]) -> None:
    (tmp_path / "train.rec").write_bytes(expected["train.rec"])
    with (tmp_path / "train.rec").open("rb") as file:
        records = list(read_records(file, "train.rec"))
    lines = expected["train.lst"].decode().splitlines()
    places = expected["train.idx"].decode().splitlines()
    assert len(records) == len(lines) == len(places) == len(NAMES)
    names = []
    for number, (record, line, place) in enumerate(zip(records, lines, places, strict=True)):
        index, label, name = line.split("\t")
        assert place == f"{number}\t{record.offset}"
        assert (int(index), record.id) == (number, number)
        assert int(label) == record.label == LABELS[name[0]]
        assert record.image == name.encode() * 50
        names.append(name)
    assert names == sorted(NAMES, key=lambda name: key_of(0, name))


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("last", range(COUNT + 1))
def test_stopped_anywhere_and_resumed(
    tmp_path: Path, expected: dict[str, bytes], last: int, written: bool
) -> None:
    buckets = filled(tmp_path)
    with pytest.raises(Stopped):
        merged(tmp_path, buckets, StoppingJournal(tmp_path / "journal", last, written))
    assert not (tmp_path / "train.rec").exists()
    again = filled(tmp_path, sizes=buckets.sizes)
    assert merged(tmp_path, again, UnitJournal(tmp_path / "journal", {})) == expected


def test_torn_writes_behind_the_journal_are_cut_off(tmp_path: Path, expected: dict[str, bytes]) -> None:
    chance = random.Random(1)  # noqa: S311 - no secret
    buckets = filled(tmp_path)
    with pytest.raises(Stopped):
        merged(tmp_path, buckets, StoppingJournal(tmp_path / "journal", 3))
    for path in tmp_path.glob("*.partial"):
        with path.open("ab") as file:
            file.write(chance.randbytes(1000))
    assert (
        merged(tmp_path, filled(tmp_path, sizes=buckets.sizes), UnitJournal(tmp_path / "journal", {}))
        == expected
    )


def test_stopped_between_renames(tmp_path: Path, expected: dict[str, bytes]) -> None:
    buckets = filled(tmp_path)
    with pytest.raises(Stopped):
        merged(tmp_path, buckets, StoppingJournal(tmp_path / "journal", COUNT))
    (tmp_path / "train.rec.partial").rename(tmp_path / "train.rec")
    assert (
        merged(tmp_path, filled(tmp_path, sizes=buckets.sizes), UnitJournal(tmp_path / "journal", {}))
        == expected
    )


def test_partial_shorter_than_journaled(tmp_path: Path) -> None:
    """What was on disk is gone: better to say so than to pack a hole."""
    buckets = filled(tmp_path)
    with pytest.raises(Stopped):
        merged(tmp_path, buckets, StoppingJournal(tmp_path / "journal", 5))
    (tmp_path / "train.rec.partial").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"train.rec.partial: shorter .* remove .*\.packing"):
        merged(tmp_path, filled(tmp_path, sizes=buckets.sizes), UnitJournal(tmp_path / "journal", {}))


def test_space_is_given_back_as_it_goes(tmp_path: Path) -> None:
    buckets = filled(tmp_path)
    with pytest.raises(Stopped):
        merged(tmp_path, buckets, StoppingJournal(tmp_path / "journal", 5))
    assert len(list((tmp_path / ".packing" / "train").iterdir())) == COUNT - 5


@pytest.mark.parametrize("part", ["../../escaped", "/abs", "a\nb"])
def test_name_in_a_journal(tmp_path: Path, part: str) -> None:
    """Of a part that is whole, and perhaps not yet renamed."""
    target = tmp_path / "packed" / f"{part}.rec"
    if part == "../../escaped":
        target.with_name("escaped.rec.partial").resolve().write_bytes(b"x")
    folder = tmp_path / "packed"
    folder.mkdir()
    journal = UnitJournal(folder / "journal", {})
    journal.append({"part_of": "train", "part": part, "files": {}})
    with pytest.raises(IntegrityError, match="journal: "):
        merge(layout_of(folder), "train", filled(folder), LABELS, journal, Progress(shown=False), Growth())
    assert not target.exists()


def test_duplicate_names(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"two images of split train are named a/1.JPEG"):
        merged(tmp_path, filled(tmp_path, [*NAMES, "a/1.JPEG"]), UnitJournal(tmp_path / "journal", {}))


def test_magic_is_in_no_bare_place(expected: dict[str, bytes]) -> None:
    """Offsets are multiples of four, as every reader expects."""
    assert all(int(line.split(b"\t")[1]) % 4 == 0 for line in expected["train.idx"].splitlines())
    assert expected["train.rec"][:4] == struct.pack("<I", 0xCED7230A)


def in_parts(folder: Path, buckets: Buckets, journal: UnitJournal) -> dict[str, bytes]:
    parts = merge(layout_of(folder), "train", buckets, LABELS, journal, Progress(shown=False), Growth(), 4000)
    assert len(parts) > 2
    assert list(parts) == [f"train-{number:05d}" for number in range(len(parts))]
    return {name: (folder / name).read_bytes() for facts in parts.values() for name in facts}


def test_parts_are_the_one_file_cut(tmp_path: Path, expected: dict[str, bytes]) -> None:
    files = in_parts(tmp_path, filled(tmp_path), UnitJournal(tmp_path / "journal", {}))
    for kind in ("rec", "lst"):
        whole = b"".join(data for name, data in files.items() if name.endswith(kind))
        assert whole == expected[f"train.{kind}"]
    for name, data in files.items():
        if name.endswith("idx"):
            assert data.splitlines()[0].endswith(b"\t0")  # offsets count from the part's own beginning


@pytest.mark.parametrize("last", range(0, 11, 2))
def test_parts_stopped_and_resumed(tmp_path: Path, last: int) -> None:
    (tmp_path / "undisturbed").mkdir()
    undisturbed = tmp_path / "undisturbed"
    wanted = in_parts(undisturbed, filled(undisturbed), UnitJournal(undisturbed / "journal", {}))
    sizes = filled(tmp_path).sizes
    with pytest.raises(Stopped):
        in_parts(tmp_path, filled(tmp_path, sizes=sizes), StoppingJournal(tmp_path / "journal", last))
    assert in_parts(tmp_path, filled(tmp_path, sizes=sizes), UnitJournal(tmp_path / "journal", {})) == wanted
