"""A file on its way that is read along: what is on disk for good, from memory, and never far ahead."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from prep.errors import IntegrityError, PrepError, SourceError
from prep.interrupt import stopping
from prep.progress import Progress
from prep.sources import arrival, arriving_file, fetch
from prep.sources.arrival import WINDOW, Arrival
from prep.sources.arriving_file import ArrivingFile
from prep.sources.http import HttpSource
from prep.sources.source import SourceChangedError
from rehearsal.servers.archive import Fault, Request
from tests.prep.sites import WHO, Site, site

RANGE = 1000
COUNT = 2 * WINDOW + 10
SIZE = COUNT * RANGE - 123
LONGEST = 20.0  # seconds; what a test waits for comes in a fraction of one
A_WHILE = 0.3  # seconds in which nothing may happen


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of a kilobyte, each flushed when it has come."""
    monkeypatch.setattr(arrival, "RANGE_BYTES", RANGE)
    monkeypatch.setattr(arrival, "GROUP", 1)
    monkeypatch.setattr(arriving_file, "BACK", 10)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@contextmanager
def arriving(here: Site, md5: str | None = None) -> Iterator[Arrival]:
    """The archive of a site on its way. What it raises at the end is of no interest."""
    here.layout.archives.mkdir(parents=True, exist_ok=True)
    archives = here.description(md5=md5 or here.archive.md5).archives
    source, progress = HttpSource(WHO, here.server.url), Progress(shown=False)
    with fetch.arriving(archives, here.layout.archives, here.layout.checked, source, progress) as arrivals:
        yield arrivals["a.tar"]


def read(file: ArrivingFile, count: int = SIZE) -> bytes:
    """The next bytes."""
    data = memoryview(bytearray(count))
    done = 0
    while done < count and (more := file.readinto(data[done:])):
        done += more
    return bytes(data[:done])


def wait_until(here: Site, requests: int) -> None:
    """Wait until there have been so many requests for ranges."""
    deadline = time.monotonic() + LONGEST
    while ranges(here) < requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ranges(here: Site) -> int:
    return sum(asked.range != "bytes=0-0" for asked in here.server.requests)


class Held:
    """A plan: no range from this one on is sent before `free` is set."""

    def __init__(self, first: int) -> None:
        self.free = threading.Event()
        self._first = first

    def __call__(self, asked: Request) -> Fault | None:
        start = int((asked.range or "")[6:].partition("-")[0])
        if start >= self._first * RANGE:
            self.free.wait(LONGEST)
        return None


def not_yet(future: "Future[bytes]") -> bool:
    return not wait([future], A_WHILE).done


def test_read_along_from_memory(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """What is there at once, the rest when it comes, and nothing of it from the disk."""
    held = Held(WINDOW + 5)
    with site(tmp_path, SIZE, held) as here, arriving(here) as one:
        file = one.open()
        there = (WINDOW + 5) * RANGE
        assert read(file, there) == here.content[:there]
        assert not here.path.exists()
        rest = pool.submit(read, file)
        assert not_yet(rest)
        held.free.set()
        assert rest.result(LONGEST) == here.content[there:]
        one.settle()
        assert here.path.read_bytes() == here.content
        assert file._file is None
        assert read(file) == b""


def test_download_waits_for_its_reader(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here, arriving(here) as one:
        file = one.open()
        wait_until(here, WINDOW)
        time.sleep(A_WHILE)
        assert ranges(here) == WINDOW
        assert read(file, 5 * RANGE) == here.content[: 5 * RANGE]
        wait_until(here, WINDOW + 4)
        time.sleep(A_WHILE)
        assert ranges(here) == WINDOW + 4  # the range before is kept, of which the end may be wanted again
        file.seek(5 * RANGE)
        wait_until(here, WINDOW + 5)
        one.settle()  # nobody reads any more
        assert ranges(here) == COUNT


def test_looking_ahead_a_little_costs_no_read_from_disk(tmp_path: Path) -> None:
    """The header of the next unit is looked at, then the unit is read from its beginning."""
    with site(tmp_path, SIZE) as here, arriving(here) as one:
        file = one.open()
        assert read(file, 3 * RANGE + 5) == here.content[: 3 * RANGE + 5]
        file.seek(3 * RANGE - 5)
        assert read(file, RANGE) == here.content[3 * RANGE - 5 : 4 * RANGE - 5]
        assert file._file is None
        one.settle()


def test_far_back_it_is_read_from_disk(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here, arriving(here) as one:
        file = one.open()
        read(file, 20 * RANGE)
        file.seek(RANGE // 2)
        assert read(file) == here.content[RANGE // 2 :]
        assert file._file is not None
        one.settle()
        file.seek(0)  # under its own name now, and the same file
        assert read(file) == here.content
        file.close()


def test_going_on_after_an_interruption(tmp_path: Path) -> None:
    """What came before is read from disk, the rest from memory."""
    with site(tmp_path, SIZE) as here:
        late = f"bytes={20 * RANGE}-"
        here.server.plan = lambda asked: Fault(status=404) if (asked.range or "").startswith(late) else None
        with pytest.raises(SourceError, match="404"), arriving(here) as one:
            one.settle()
        here.server.plan = None
        here.server.requests.clear()
        with arriving(here) as one:
            assert read(one.open()) == here.content
            one.settle()
        assert 0 < ranges(here) < COUNT


@pytest.mark.parametrize("fault", [Fault(etag=""), Fault(no_ranges=True)])
def test_not_read_before_it_is_whole(tmp_path: Path, pool: ThreadPoolExecutor, fault: Fault) -> None:
    """Nobody could tell whether what comes after a kill is of the same version."""
    free = threading.Event()

    def plan(asked: Request) -> Fault:
        if asked.range in (f"bytes={(COUNT - 1) * RANGE}-{SIZE - 1}", "bytes=0-"):
            free.wait(LONGEST)
        return fault

    with site(tmp_path, SIZE, plan) as here, arriving(here) as one:
        content = pool.submit(read, one.open())
        assert not_yet(content)
        free.set()
        assert content.result(LONGEST) == here.content
        assert here.path.exists()


def test_wrong_digest_is_told_to_who_waits(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        with suppress(IntegrityError), arriving(here, md5="0" * 32) as one:
            with suppress(IntegrityError):  # it may be known before the last byte is read
                assert read(one.open()) == here.content
            with pytest.raises(IntegrityError, match=r"a\.tar: its MD5 is"):
                one.settle()
        assert one.bad
        one.discard()
        assert here.left() == set()


def test_who_gives_up_ends_it_for_all(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    held = Held(4)
    with site(tmp_path, SIZE, held) as here:
        with pytest.raises(PrepError, match="disk"), arriving(here) as one:  # noqa: PT012 - a chain of steps
            content = pool.submit(read, one.open())
            assert not_yet(content)
            one.give_up(PrepError("the disk"))
            with pytest.raises(PrepError, match="the disk"):
                content.result(LONGEST)
            held.free.set()
            one.settle()
        assert not here.path.exists()


def test_interrupt_ends_the_wait(tmp_path: Path) -> None:
    held = Held(4)
    with site(tmp_path, SIZE, held) as here:
        try:
            with pytest.raises(KeyboardInterrupt), arriving(here) as one:  # noqa: PT012 - a chain of steps
                threading.Timer(A_WHILE, stopping.set).start()
                read(one.open())
        finally:
            stopping.clear()
            held.free.set()


def test_a_new_version_waits_for_the_writer_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have journals of one name, so however slow the disk is, only one of them may write."""
    flush, flushing = arrival.os.fdatasync, threading.Event()

    def slowly(handle: int) -> None:
        flushing.set()
        time.sleep(A_WHILE)
        flush(handle)

    def plan(asked: Request) -> Fault | None:
        start = int((asked.range or "")[6:].partition("-")[0])
        if start < 4 * RANGE:
            return None
        flushing.wait(LONGEST)
        return Fault(status=416)  # as of a file that has become shorter

    monkeypatch.setattr(fetch, "GIVE_UP_SECONDS", 0.0)
    monkeypatch.setattr(arrival.os, "fdatasync", slowly)
    with site(tmp_path, SIZE, plan) as here:
        with pytest.raises(SourceChangedError), arriving(here) as one:
            read(one.open())
        assert not [thread for thread in threading.enumerate() if thread.name in ("write", "arrive 0")]
