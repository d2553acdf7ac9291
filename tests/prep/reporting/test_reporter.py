"""The reporter: what it writes and when; and that nothing it meets slows or fails the run."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prep.errors import CredentialsError, PrepError, SourceError
from prep.progress import Progress
from prep.reporting import places, reporter
from prep.reporting.document import MOST_BYTES, Document, parse
from prep.reporting.reporter import Subject, give_up, reporting
from prep.state.layout import Layout

SUBJECT = Subject("pets", ["download", "pack", "backup"], {"a.tar": 1000}, "i-1", "t2.large,sc1=1000")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(reporter, "LEAST_SECONDS", 0.01)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "root", tmp_path / "packed")


class Bucket:
    """Where a run writes; what it refuses is for the test to say."""

    def __init__(self, refuse: Callable[[], None] = lambda: None) -> None:
        self.written: list[Document] = []
        self._refuse = refuse

    def put(self, data: bytes) -> None:
        self._refuse()
        self.written.append(parse(data, "bucket"))


def local(layout: Layout) -> Document:
    found = places.read_file(layout.status)
    assert found is not None
    return found[0]


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_what_is_written(layout: Layout) -> None:
    bucket, progress = Bucket(), Progress(shown=False)
    with reporting(SUBJECT, layout, progress, bucket.put):
        wait(lambda: bool(bucket.written))
        first = bucket.written[0]
        assert (first.state, first.sequence, first.processes, first.tasks) == ("running", 1, 1, ())
        assert (first.dataset, first.instance, first.machine) == ("pets", "i-1", "t2.large,sc1=1000")
        assert set(first.stages.values()) == {"not begun"}
        progress.begin("archives")
        progress.add("a.tar", 1000, 100)
        progress.add("pack", 1000)
        progress.waited("link", 30)
        progress.repeated("a.tar: HTTP 503: trying again in 4 s")
        wait(lambda: bucket.written[-1].retries == 1)
        now = bucket.written[-1]
        assert (now.part, now.waiting_for) == ("archives", "link")
        assert now.last_retry.text == "a.tar: HTTP 503: trying again in 4 s"
        assert {task.name: (task.done, task.total) for task in now.tasks} == {
            "download": (100, 1000), "pack": (0, 1000)
        }  # fmt: skip
        assert now.stages == {"download": "at work", "pack": "at work", "backup": "not begun"}
        progress.finish("download")
        progress.finish("pack")
        progress.finish("run")  # no stage
        progress.begin("backup")  # a part with the name of its stage
        wait(lambda: bucket.written[-1].stages["backup"] == "at work")
        wait(lambda: bucket.written[-1].stages["download"] == "done")
    last = bucket.written[-1]
    assert (last.state, last.error, last.tasks) == ("done", "", ())
    assert last.stages == {"download": "done", "pack": "done", "backup": "begun"}
    assert [each.sequence for each in bucket.written] == list(range(1, last.sequence + 1))
    assert local(layout) == last


def test_a_change_is_written_at_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "EVERY_SECONDS", 60.0)
    bucket, progress = Bucket(), Progress(shown=False)
    with reporting(SUBJECT, layout, progress, bucket.put):
        wait(lambda: len(bucket.written) == 1)
        progress.finish("download")
        wait(lambda: len(bucket.written) == 2)
    assert [each.state for each in bucket.written] == ["running", "running", "done"]


@pytest.mark.parametrize(
    ("error", "state", "text", "code"),
    [
        (SourceError("a.tar: HTTP 503\n: run again"), "failed", "a.tar: HTTP 503 : run again", 4),
        (CredentialsError("x" * 9000), "failed", "x" * 500, 3),
        (OSError(28, "No space left on device", "/data/a"), "failed", "/data/a: No space left on device", 1),
        (ValueError("hush/hush"), "failed", "ValueError, a mistake in prep: see the log", 1),
        (KeyboardInterrupt(), "interrupted", "", 0),
    ],
)
def test_how_it_ends(layout: Layout, error: BaseException, state: str, text: str, code: int) -> None:
    bucket = Bucket()
    with pytest.raises(type(error)), reporting(SUBJECT, layout, Progress(shown=False), bucket.put):
        raise error
    last = bucket.written[-1]
    assert (last.state, last.error, last.exit_code, last.last_error.text) == (state, text, code, text)
    assert local(layout) == last


def test_a_refusal_is_noted_once(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    tries = [0]

    def refuse() -> None:
        tries[0] += 1
        raise PrepError("write s3://b/k: AccessDenied")

    with reporting(SUBJECT, layout, Progress(shown=False), Bucket(refuse).put):
        wait(lambda: tries[0] > 3)
    said = capsys.readouterr().err.splitlines()
    assert said == ["status: can't be written to the bucket: write s3://b/k: AccessDenied (the run goes on)"]
    assert local(layout).state == "done"


def void(_: object) -> None:
    """Nothing."""


def test_a_bucket_that_does_not_answer_delays_only_the_end(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "END_SECONDS", 0.2)
    answer = threading.Event()
    begun = time.monotonic()
    with reporting(SUBJECT, layout, Progress(shown=False), Bucket(lambda: void(answer.wait(30))).put):
        pass
    assert time.monotonic() - begun < 5
    answer.set()


def test_a_folder_that_can_not_be_written(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    layout.root.mkdir()
    (layout.root / ".prep").write_text("a file where the folder should be")
    bucket = Bucket()
    with reporting(SUBJECT, layout, Progress(shown=False), bucket.put):
        pass
    assert bucket.written[-1].state == "done"
    assert capsys.readouterr().err.count("status: can't be written to the file: ") == 1


def test_what_an_earlier_process_has_begun(layout: Layout) -> None:
    layout.packing.mkdir(parents=True)
    (layout.packing / "journal.jsonl").write_text('{"settings": {}}\n')
    with reporting(SUBJECT, layout, Progress(shown=False), None):
        wait(layout.status.exists)
        assert local(layout).stages == {"download": "not begun", "pack": "begun", "backup": "not begun"}


@pytest.mark.parametrize("spoilt", ['{"unit": "a.tar"}\n', "\x00", '[1]\n{"forgotten": 1}\n'])
def test_a_journal_that_can_not_be_read_is_for_others_to_tell(layout: Layout, spoilt: str) -> None:
    layout.packing.mkdir(parents=True)
    (layout.packing / "journal.jsonl").write_text(spoilt)
    with reporting(SUBJECT, layout, Progress(shown=False), None):
        pass
    assert local(layout).state == "done"


def left(layout: Layout, error: BaseException | None = None) -> Document:
    """What a process leaves that fails or, without an error, that is killed."""
    with pytest.raises(BaseException), reporting(SUBJECT, layout, Progress(shown=False), None):  # noqa: B017, PT011
        raise error or KeyboardInterrupt
    found = local(layout)
    if error is None:
        table = json.loads(layout.status.read_text()) | {"state": "running", "work_seconds": 100.0}
        layout.status.write_text(json.dumps(table))
        return local(layout)
    return found


def test_a_run_in_several_processes(layout: Layout) -> None:
    killed = left(layout)
    failed = left(layout, SourceError("a.tar: HTTP 503"))
    assert failed.began == killed.began
    assert failed.processes == 2
    assert 100 <= failed.work_seconds < 110
    bucket = Bucket()
    with reporting(SUBJECT, layout, Progress(shown=False), bucket.put):
        wait(lambda: bool(bucket.written))
    assert bucket.written[0].processes == 3
    assert bucket.written[0].last_error.text == "a.tar: HTTP 503"
    assert (bucket.written[-1].state, bucket.written[-1].error) == ("done", "")


@pytest.mark.parametrize(("up", "earlier"), [(1800.0, 100.0), (7200.0, 0.0)])
def test_work_before_the_last_start(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, up: float, earlier: float
) -> None:
    """Of a machine that was started again, or not, since the process before had its last word."""
    left(layout)
    table = json.loads(layout.status.read_text())
    layout.status.write_text(json.dumps(table | {"updated": reporter.utc(time.time() - 3600)}))
    monkeypatch.setattr(reporter, "up_seconds", lambda: up)
    failed = left(layout, SourceError("a.tar: HTTP 503"))
    assert failed.earlier_work_seconds == earlier
    assert failed.work_seconds >= 100
    assert left(layout, SourceError("again")).earlier_work_seconds == earlier


def test_a_kill_is_an_error_that_nobody_could_tell(layout: Layout) -> None:
    killed = left(layout)
    bucket = Bucket()
    with reporting(SUBJECT, layout, Progress(shown=False), bucket.put):
        wait(lambda: bool(bucket.written))
    assert (bucket.written[0].last_error.at, bucket.written[0].last_error.text) == (
        killed.updated,
        reporter.KILLED,
    )


def test_a_run_that_finds_all_done_is_no_new_one(layout: Layout) -> None:
    layout.receipts.mkdir(parents=True)
    (layout.receipts / "run.json").write_text("first")
    left(layout)
    with reporting(SUBJECT, layout, Progress(shown=False), None):
        pass
    done = local(layout)
    assert (done.processes, done.work_seconds >= 100) == (2, True)
    with reporting(SUBJECT, layout, Progress(shown=False), None):
        pass
    again = local(layout)
    assert (again.processes, again.began) == (2, done.began)
    assert again.work_seconds >= done.work_seconds
    with reporting(SUBJECT, layout, Progress(shown=False), None):
        (layout.receipts / "run.json").write_text("second")
    assert (local(layout).processes, local(layout).work_seconds < 10) == (1, True)


def test_a_service_that_gives_up(layout: Layout) -> None:
    left(layout)
    bucket = Bucket()
    give_up(layout.status, bucket.put, SUBJECT, "dataset-prep.service: Failed with result 'oom-kill'.")
    (told,) = bucket.written
    assert (told.state, told.gave_up, told.exit_code) == ("failed", True, 1)
    assert told.error == "dataset-prep.service: Failed with result 'oom-kill'."
    assert local(layout) == told


def test_a_service_that_gives_up_after_an_error(layout: Layout) -> None:
    left(layout, CredentialsError("refused: correct the secret"))
    give_up(layout.status, None, SUBJECT, "something of systemd's")
    assert (local(layout).error, local(layout).exit_code) == ("refused: correct the secret", 3)


@pytest.mark.parametrize(
    ("told", "error", "code"),
    [
        ("error: refused: correct the secret", "refused: correct the secret", 3),
        ("error: /data: another prep process is using this folder", "/data: another prep process", 1),
    ],
)
def test_the_last_process_failed_before_it_reported(layout: Layout, told: str, error: str, code: int) -> None:
    """Its log knows better than the status of the process before."""
    left(layout, CredentialsError("refused: correct the secret"))
    give_up(layout.status, None, SUBJECT, told)
    found = local(layout)
    assert found.error.startswith(error)
    assert (found.exit_code, found.last_error.text) == (code, found.error)


def test_a_service_that_gives_up_before_its_first_word(layout: Layout) -> None:
    give_up(layout.status, None, SUBJECT, "no description")
    assert (local(layout).error, local(layout).gave_up, local(layout).dataset) == (
        "no description",
        True,
        "pets",
    )


def test_its_size_has_an_end(layout: Layout) -> None:
    """However many parts, archives and errors there are."""
    subject = Subject("p" * 45, ["download", "verify"], {f"{n}.tar": 1 for n in range(2000)}, "i-1", "m" * 60)
    progress = Progress(shown=False)
    for number in range(500):
        progress.add(f"verify train-{number:05}" + "é" * 200, 1 << 40, number)
        progress.add(f"{number}.tar", 1)
        progress.repeated("é" * 5000)
    with pytest.raises(SourceError), reporting(subject, layout, progress, None):
        raise SourceError("é" * 5000)
    assert layout.status.stat().st_size < MOST_BYTES
