"""A pass: units read once, handed to whoever lacks them, committed by each on its own."""

import hashlib
import os
import signal
import threading
from pathlib import Path

import pytest

from prep.archives import passes, readers, units
from prep.archives.journal import UnitJournal
from prep.archives.passes import run_pass
from prep.archives.readers import SplitReader
from prep.archives.units import ClassOf, LoadedUnit, Unit
from prep.datasets.description import Archive, Split
from prep.errors import IntegrityError
from prep.progress import Progress
from prep.state.checked import CheckedFiles, version_of
from tests.prep import tars

CONTENT = {f"c{number % 3}/{number}.JPEG": bytes([number]) * 400 for number in range(12)}
MD5 = hashlib.md5(tars.tar_of(CONTENT), usedforsecurity=False).hexdigest()
UNITS = 6
SPLIT = Split("train", Archive("a.tar", "https://example.invalid/a.tar", MD5, None), "folders", "path", 12)


class Recorder:
    """A consumer that keeps what it is given, and may fail at the n-th unit it gets."""

    def __init__(self, stage: str, folder: Path, fail_at: int | None = None) -> None:
        self.stage = stage
        self.busy_with = "cores"
        self.journal = UnitJournal(folder / f"{stage}.jsonl", {})
        self.given: list[int] = []
        self.content: dict[str, bytes] = {}
        self.flushed = 0
        self.fail_at = fail_at

    def size_at(self, source: str, offset: int) -> int | None:
        return self.journal.size_at(source, offset)

    def consume(self, loaded: LoadedUnit) -> None:
        assert threading.current_thread().name == self.stage
        if len(self.given) == self.fail_at:
            raise IntegrityError(f"{self.stage} fails")
        self.given.append(loaded.unit.index)
        self.content |= {image.name: bytes(image.data) for image in loaded.images}
        self.journal.commit(loaded.unit)

    def flush(self) -> None:
        self.flushed += 1

    def settle(self) -> None:
        pass

    def forget(self, source: str) -> None:
        self.journal.forget(source)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SplitReader:
    """An archive of six units."""
    (tmp_path / "a.tar").write_bytes(tars.tar_of(CONTENT))
    monkeypatch.setattr(units, "SMALLEST", 2048)
    monkeypatch.setattr(passes, "MOST_BYTES", 0)  # two units in memory
    return SplitReader(tmp_path / "a.tar", SPLIT, lambda: str)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The units that were read from disk, in order, by their index."""
    indices: list[int] = []
    original = units.read_units

    def counted(*arguments: object, **options: object) -> object:
        for loaded in original(*arguments, **options):  # type: ignore[arg-type]
            indices.append(loaded.unit.index)
            yield loaded

    monkeypatch.setattr(readers, "read_units", counted)
    return indices


def checked_files(source: SplitReader) -> CheckedFiles:
    """With the archive among them, as after a download."""
    checked = CheckedFiles(source.path.with_name("checked.json"))
    if source.archive:
        checked.note(source.path, source.archive.digest, version_of(source.path))
    return checked


def run(source: SplitReader, *consumers: Recorder) -> None:
    progress = Progress(shown=False)
    for consumer in consumers:
        progress.add(consumer.stage, None)
    before = threading.active_count()
    try:
        run_pass([source], consumers, checked_files(source), progress)
    finally:
        assert threading.active_count() == before


def test_each_unit_is_read_once_for_all(tmp_path: Path, source: SplitReader, read: list[int]) -> None:
    consumers = [Recorder(name, tmp_path) for name in ("one", "two", "three")]
    run(source, *consumers)
    assert read == list(range(UNITS))
    for consumer in consumers:
        assert (consumer.given, consumer.content, consumer.flushed) == (list(range(UNITS)), CONTENT, 1)
        assert consumer.journal.bytes_done() == source.path.stat().st_size


def test_nothing_is_read_when_all_have_it(tmp_path: Path, source: SplitReader, read: list[int]) -> None:
    run(source, Recorder("one", tmp_path))
    read.clear()
    again = Recorder("one", tmp_path)
    run(source, again)
    assert (read, again.given, again.flushed) == ([], [], 1)


def test_each_resumes_on_its_own(tmp_path: Path, source: SplitReader, read: list[int]) -> None:
    with pytest.raises(IntegrityError, match="one fails"):
        run(source, Recorder("one", tmp_path, fail_at=2))
    with pytest.raises(IntegrityError, match="two fails"):
        run(source, Recorder("two", tmp_path, fail_at=4))
    read.clear()
    one, two, three = (Recorder(name, tmp_path) for name in ("one", "two", "three"))
    run(source, one, two)
    assert (one.given, two.given) == ([2, 3, 4, 5], [4, 5])
    assert read == [2, 3, 4, 5]
    run(source, three, Recorder("two", tmp_path))
    assert three.given == list(range(UNITS))


@pytest.mark.parametrize("fail_at", [0, 2, UNITS - 1])
def test_failure_stops_the_pass_and_the_others_keep_what_they_did(
    tmp_path: Path, source: SplitReader, read: list[int], fail_at: int
) -> None:
    failing, other = Recorder("failing", tmp_path, fail_at), Recorder("other", tmp_path)
    with pytest.raises(IntegrityError, match="failing fails"):
        run(source, failing, other)
    assert failing.given == list(range(fail_at))
    assert failing.flushed == 0
    assert other.flushed == 1
    assert other.given == read[: len(other.given)]  # what it had not begun was dropped
    # It was told before much more was read: one unit in work, one in the queue, one just read.
    assert len(read) <= fail_at + 3
    resumed, rest = Recorder("failing", tmp_path), Recorder("other", tmp_path)
    run(source, resumed, rest)
    assert failing.given + resumed.given == other.given + rest.given == list(range(UNITS))


def test_failing_flush_is_told(tmp_path: Path, source: SplitReader) -> None:
    class Late(Recorder):
        def flush(self) -> None:
            raise IntegrityError("late")

    with pytest.raises(IntegrityError, match="late"):
        run(source, Late("one", tmp_path))


def test_damaged_archive_flushes_what_came_before(tmp_path: Path, source: SplitReader) -> None:
    data = source.path.read_bytes()
    offset = tars.header_offsets(data)[6]
    source.path.write_bytes(data[:offset] + b"\xff" * 100 + data[offset + 100 :])
    consumer = Recorder("one", tmp_path)
    with pytest.raises(IntegrityError, match=r"damaged header|not a readable tar"):
        run(source, consumer)
    assert (consumer.given, consumer.flushed) == ([0, 1, 2], 1)


def test_interrupt_reaches_the_caller_and_joins_the_threads(tmp_path: Path, source: SplitReader) -> None:
    class Interrupted(Recorder):
        def consume(self, _loaded: LoadedUnit) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, Interrupted("one", tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_pass_between_units(
    tmp_path: Path, source: SplitReader, number: signal.Signals
) -> None:
    class Signalling(Recorder):
        def consume(self, loaded: LoadedUnit) -> None:
            if loaded.unit.index == 1:
                os.kill(os.getpid(), number)
            super().consume(loaded)

    before = signal.getsignal(number)
    consumer = Signalling("one", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(source, consumer)
    assert signal.getsignal(number) is before
    assert consumer.flushed == 1
    assert 2 <= len(consumer.given) < UNITS
    assert consumer.journal.bytes_done() > 0


def test_classes_that_cannot_be_known_end_the_pass_at_once(tmp_path: Path, source: SplitReader) -> None:
    """Not when the first flat archive is reached, hours later."""

    def class_of() -> ClassOf:
        raise IntegrityError("devkit: not an ILSVRC devkit")

    consumer = Recorder("one", tmp_path)
    with pytest.raises(IntegrityError, match="devkit"):
        run(SplitReader(source.path, SPLIT, class_of), consumer)
    assert consumer.given == [0]


def test_folder_source(tmp_path: Path) -> None:
    for name, data in CONTENT.items():
        (tmp_path / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / name).write_bytes(data)
    consumer = Recorder("one", tmp_path)
    run(SplitReader(tmp_path / "train", SPLIT, lambda: str), consumer)
    assert consumer.content == CONTENT


def test_forgotten_units_are_done_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = UnitJournal(path, {})
    journal.append({"upload": "u1", "of": "a.tar"})
    for archive in ("a.tar", "b.tar"):
        for number in range(2):
            journal.commit(Unit(archive, number, number * 10, 10), part=number + 1)
    assert (journal.bytes_done(), UnitJournal.peek(path)) == (40, 40)
    journal.forget("a.tar")
    for now in (journal, UnitJournal(path, {})):
        assert now.size_at("a.tar", 0) is None
        assert now.size_at("b.tar", 10) == 10
        assert [entry["unit"] for entry in now.units()] == ["b.tar", "b.tar"]
        assert not any("of" in entry for entry in now.entries)
        assert now.bytes_done() == 20
    journal.commit(Unit("a.tar", 0, 0, 10), part=1)
    assert UnitJournal(path, {}).size_at("a.tar", 0) == 10
    assert UnitJournal.peek(path) == 30
