"""Examine: however the records of a split are cut into runs, together they show what one run shows."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from prep.archives import inventory
from prep.archives.inventory import Original
from prep.errors import IntegrityError
from prep.records.dealing import PackSettings
from prep.records.examine import Decoded, Rules, Tally, check_run, examined
from prep.records.mxnet_sample import SAMPLE, Line, read_raw_sample, sample_step
from prep.records.reader import read_run
from prep.records.recordio import Record, read_records
from tests.prep import pictures
from tests.prep.small_sets import job, pack, write_folders

# MXNet 1.9.1 is the last there will be, and asks for names that SciPy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
IMAGES = {
    name: {
        **{f"{number}.jpg": pictures.jpeg(40, 30, number) for number in range(5)},
        "large.jpg": pictures.jpeg(120, 90, 7),
        "damaged.jpg": pictures.damaged_inside(pictures.jpeg(40, 30, 8)),
    }
    for name in ("ant", "bee")
}
COUNT = 14


class Packed:
    """A packed split in memory: the bytes and the lines of every record, and the inventory."""

    def __init__(self, folder: Path, toml: Path) -> None:
        work = job(toml, folder)
        layout = work.layout
        self.rec = layout.rec("train").read_bytes()
        self.records = list(read_records(io.BytesIO(self.rec), "train.rec"))
        self.idx = layout.idx("train").read_bytes().splitlines(keepends=True)
        self.lst = layout.lst("train").read_bytes().splitlines(keepends=True)
        self.names = [line.decode().rstrip("\n").split("\t")[2] for line in self.lst]
        self.originals = inventory.read(layout, "train")
        labels = {name: label for label, name in enumerate(sorted(IMAGES))}
        self.rules = Rules(work.description.splits[0], labels, str, 0)

    def raw(self, record: Record) -> bytes:
        return self.rec[record.offset : record.end]

    def originals_of(self, run: range) -> dict[str, Original]:
        return {self.names[number]: self.originals[self.names[number]] for number in run}

    def check(self, run: range, originals: dict[str, Original] | None = None) -> Tally:
        """Check the records with these numbers."""
        return check_run(
            self.decoded(run), self.originals_of(run) if originals is None else originals, self.rules
        )

    def decoded(self, run: range) -> Iterator[Decoded]:
        records = [self.records[number] for number in run]
        rec = io.BytesIO(b"".join(map(self.raw, records)))
        idx, lst = (io.BytesIO(b"".join(lines[run.start : run.stop])) for lines in (self.idx, self.lst))
        offset = records[0].offset if records else 0
        return examined(read_run(rec, idx, lst, "train.rec", run.start, offset))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("examine")
    toml = write_folders(folder / "set", {"train": IMAGES})
    pack(toml, folder, settings=PackSettings(resize=48))
    return Packed(folder, toml)


@pytest.mark.parametrize("size", [1, 3, 5, COUNT])
def test_runs_add_up(packed: Packed, size: int) -> None:
    whole = packed.check(range(COUNT))
    assert whole.counts() == {"records": 14, "as in the archive": 12, "classes": 2}
    assert whole.originals == COUNT
    assert set(whole.damaged) == {"ant/damaged.jpg", "bee/damaged.jpg"}
    total = Tally()
    for start in range(0, COUNT, size):
        total.add(packed.check(range(start, min(start + size, COUNT))))
    assert total == whole


def test_nothing_adds_nothing(packed: Packed) -> None:
    total = Tally()
    for run in (range(0), range(7), range(7, 7), range(7, COUNT)):
        total.add(packed.check(run))
    assert total == packed.check(range(COUNT))


def test_runs_in_another_order(packed: Packed) -> None:
    """The first record of a run comes after the last one of the run before, or a run is not in its place."""
    total = packed.check(range(7, COUNT))
    with pytest.raises(IntegrityError, match=r"train.rec record 0 \(.*\): not in the order of the shuffle"):
        total.add(packed.check(range(7)))
    with pytest.raises(IntegrityError, match=r"train.rec record 13 \(.*\): not in the order of the shuffle"):
        total.add(packed.check(range(13, COUNT)))  # the same record twice


def test_what_no_record_has_is_lost(packed: Packed) -> None:
    total = packed.check(range(6), packed.originals_of(range(7)))
    total.add(packed.check(range(8, COUNT), packed.originals_of(range(7, COUNT))))
    assert total.lost == {packed.names[6], packed.names[7]}
    assert total.originals == COUNT


def test_another_runs_original(packed: Packed) -> None:
    with pytest.raises(IntegrityError, match=r"train.rec record 3 \(.*\): no such image in the archive"):
        packed.check(range(3, 5), packed.originals_of(range(4, 7)))


def test_offsets_and_numbers_are_those_of_the_file(packed: Packed) -> None:
    run = range(5, 9)
    lines = [io.BytesIO(b"".join(of[5:9])) for of in (packed.idx, packed.lst)]
    rec = io.BytesIO(b"".join(packed.raw(packed.records[number]) for number in run))
    found = list(read_run(rec, *lines, "train.rec", 5, packed.records[5].offset))
    assert [located.record for located in found] == packed.records[5:9]


@pytest.mark.parametrize(("first", "offset"), [(4, 0), (5, 4)])
def test_a_run_in_another_place(packed: Packed, first: int, offset: int) -> None:
    lines = [io.BytesIO(b"".join(of[5:9])) for of in (packed.idx, packed.lst)]
    rec = io.BytesIO(b"".join(map(packed.raw, packed.records[5:9])))
    with pytest.raises(IntegrityError, match=r"train.rec: record \d at byte \d+ differs from the index"):
        list(read_run(rec, *lines, "train.rec", first, packed.records[5].offset + offset))


def test_mxnet_reads_records_from_memory(packed: Packed) -> None:
    some = [
        (Line(record.id, record.label, packed.names[record.id]), packed.raw(record))
        for record in packed.records[::3]
    ]
    assert read_raw_sample(some, "s3://b/train.rec") == 5
    assert read_raw_sample([], "s3://b/train.rec") == 0
    line, raw = some[2]
    for wrong in (line._replace(label=5.0), line._replace(number=2)):
        with pytest.raises(IntegrityError, match=r"s3://b/train.rec: MXNet reads another id or label"):
            read_raw_sample([some[0], (wrong, raw)], "s3://b/train.rec")


def test_sample_is_spread() -> None:
    assert [sample_step(records, 1) for records in (1, 200, 402, 1_281_167)] == [1, 1, 2, 6373]
    assert len(range(0, 1_281_167, sample_step(1_281_167, 1))) == SAMPLE + 2
    assert sample_step(10_000, 4) == 10_000 // 51


def test_pieces_of_the_inventory() -> None:
    text = b"a/1.jpg\t5\t7\nb/2.jpg\t6\t8\n"
    assert inventory.parse(text, "train", "x.tsv") == {"a/1.jpg": (5, 7), "b/2.jpg": (6, 8)}
    assert inventory.parse(b"", "train", "x.tsv") == {}
    for damaged in (text[:-1], text[:-3], b"a\t5\n", b"a\tx\t5\n", b"\n", b"\xff\t5\t5\n"):
        with pytest.raises(IntegrityError, match=r"verify: x.tsv: damaged: run pack again"):
            inventory.parse(damaged, "train", "x.tsv")
    with pytest.raises(IntegrityError, match=r"split train holds a/1.jpg twice"):
        inventory.parse(2 * text, "train", "x.tsv")
