"""Downloads: whole, checked, resumed where they were, and never a mixture of two versions."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from prep.errors import CredentialsError, IntegrityError, SourceError, SpaceError
from prep.progress import Progress
from prep.sources import arrival, fetch, http
from prep.sources.credentials import Credentials
from prep.sources.http import HttpSource
from prep.stages import download
from rehearsal.servers.archive import Fault, Request
from tests.prep.commands import journal_lines
from tests.prep.sites import WHO, Faults, Site, site

RANGE = 1000
SIZE = 10 * RANGE + 123
ALL = sorted(f"{start}-{min(start + RANGE, SIZE) - 1}" for start in range(0, SIZE, RANGE))


@pytest.fixture(autouse=True)
def small_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of a kilobyte, and pauses of nothing between tries."""
    monkeypatch.setattr(arrival, "RANGE_BYTES", RANGE)
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.0)
    monkeypatch.setattr(http, "TRIES", 4)


def whole(here: Site) -> None:
    assert here.path.read_bytes() == here.content
    assert here.left() == {"a.tar"}


def test_whole(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        receipt = here.fetch()
        whole(here)
        assert here.asked() == ALL
        assert receipt.outputs == {str(here.path): {"bytes": SIZE, "md5": here.archive.md5}}
        assert receipt.counts == {"archives": 1, "fetched": 1}
        assert here.fetch().counts == {"archives": 1, "fetched": 0}
        assert here.asked() == []


@pytest.mark.parametrize("size", [1, RANGE - 1, RANGE, RANGE + 1, 9 * RANGE])
def test_sizes(tmp_path: Path, size: int) -> None:
    with site(tmp_path, size) as here:
        here.fetch()
        whole(here)


def test_without_size_in_the_description(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        here.fetch(bytes=None)
        whole(here)


def stopped(here: Site, ranges: list[str]) -> list[str]:
    """Have those ranges fail for good, and return those that came."""
    here.server.plan = lambda request: Fault(status=404) if (request.range or "")[6:] in ranges else None
    with pytest.raises(SourceError):
        here.fetch()
    here.server.plan = None
    return here.asked()


@pytest.mark.parametrize("missing", [[ALL[0]], [ALL[4]], [ALL[-1]], ALL[1::2]])
def test_only_what_is_missing_is_asked_for(tmp_path: Path, missing: list[str]) -> None:
    with site(tmp_path, SIZE) as here:
        stopped(here, missing)
        journal = here.path.with_name("a.tar.journal")
        there = {f"{json.loads(line)['range'] * RANGE}" for line in journal_lines(journal)[1:]}
        here.fetch()
        whole(here)
        assert here.asked() == [given for given in ALL if given.partition("-")[0] not in there]
        assert set(missing) <= set(ALL) - {given for given in ALL if given.partition("-")[0] in there}


def test_torn_journal_asks_again(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        stopped(here, [ALL[-1]])
        journal = here.path.with_name("a.tar.journal")
        lines = journal_lines(journal)
        there = len(lines) - 1
        journal.write_text("".join(lines)[:-3])
        here.fetch()
        whole(here)
        assert len(here.asked()) == len(ALL) - there + 1


def test_lost_partial_with_its_journal_left(tmp_path: Path) -> None:
    """What the journal names must be in the file: otherwise the MD5 tells, and the next run is clean."""
    with site(tmp_path, SIZE) as here:
        stopped(here, [ALL[-1]])
        here.path.with_name("a.tar.partial").unlink()
        try:
            here.fetch()
        except IntegrityError:
            here.fetch()
        whole(here)


def test_wrong_md5(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        with pytest.raises(
            IntegrityError, match=r"a.tar: its MD5 is \w{32}, .* 0000.*; the file was removed"
        ) as caught:
            here.fetch(md5="0" * 32)
        assert caught.value.exit_code == 5
        assert here.left() == set()
        here.fetch()
        whole(here)


def test_changed_bytes_on_the_way(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        stopped(here, [ALL[-1]])
        partial = here.path.with_name("a.tar.partial")
        data = bytearray(partial.read_bytes())
        first_done = json.loads(journal_lines(here.path.with_name("a.tar.journal"))[1])["range"]
        data[first_done * RANGE] ^= 1
        partial.write_bytes(data)
        with pytest.raises(IntegrityError, match="MD5"):
            here.fetch()
        here.fetch()
        whole(here)


def test_wrong_size(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        with pytest.raises(IntegrityError, match=f"has {SIZE} bytes on the server, the description says 99"):
            here.fetch(bytes=99)
        assert here.asked() == []


def test_file_of_another_size_is_there(tmp_path: Path) -> None:
    """Not ours to overwrite."""
    with site(tmp_path, SIZE) as here:
        here.layout.archives.mkdir(parents=True)
        here.path.write_bytes(b"mine")
        with pytest.raises(IntegrityError, match=r"a.tar: has 4 bytes, .* move it away"):
            here.fetch()
        assert here.path.read_bytes() == b"mine"


def test_file_that_somebody_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read once, to see whether it is what it should be."""
    with site(tmp_path, SIZE) as here:
        here.layout.archives.mkdir(parents=True)
        here.path.write_bytes(bytes(reversed(here.content)))
        with pytest.raises(IntegrityError, match=r"a.tar: its MD5 is .*: move it away"):
            here.fetch()
        assert here.path.exists()
        here.path.write_bytes(here.content)
        assert here.fetch().counts == {"archives": 1, "fetched": 0}
        assert here.server.requests == []
        # Were it read again, nothing would be read, and the MD5 be wrong.
        monkeypatch.setattr(fetch, "CHUNK", 0)
        assert here.fetch().counts == {"archives": 1, "fetched": 0}


def test_missing_on_the_server(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        (here.server.archives / "a.tar").rename(here.server.archives / "b.tar")
        with pytest.raises(SourceError, match=r"/a.tar: not found \(HTTP 404\)"):
            here.fetch()
        assert len(here.server.requests) == 1
        (here.server.archives / "b.tar").rename(here.server.archives / "a.tar")
        here.fetch()
        whole(here)


@pytest.mark.parametrize("who", [None, Credentials("someone", "wrong"), Credentials("else", "hush/hush")])
def test_bad_credentials(tmp_path: Path, who: Credentials | None) -> None:
    with site(tmp_path, SIZE) as here:
        with pytest.raises(CredentialsError, match=r"refused \(HTTP 401\)") as caught:
            here.fetch(who)
        assert "hush" not in str(caught.value)
        assert here.server.refused == 1
        here.fetch()
        whole(here)


FAULTS = {
    "busy": Fault(status=429),
    "server error": Fault(status=500),
    "bad gateway": Fault(status=502),
    "cut at once": Fault(cut_after=0),
    "cut in the middle": Fault(cut_after=400),
    "whole file": Fault(no_ranges=True),
    "other range": Fault(content_range=f"bytes 0-{RANGE}/{SIZE}"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_passing_faults(tmp_path: Path, fault: Fault) -> None:
    with site(tmp_path, SIZE, Faults(None, fault, fault, None, fault)) as here:
        here.fetch()
        whole(here)
        assert len(here.asked()) == len(ALL) + 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(status=503), "HTTP 503, 4 times: run again later; it continues where it stopped"),
        (Fault(cut_after=10), "4 times: run again later"),
        (Fault(html=True), "sent a web page instead of the archive"),
        (Fault(status=418), "answered HTTP 418"),
    ],
)
def test_lasting_faults(tmp_path: Path, fault: Fault, message: str) -> None:
    with site(tmp_path, SIZE) as here:
        here.server.plan = lambda request: fault if request.range == f"bytes={ALL[3]}" else None
        with pytest.raises(SourceError, match=message) as caught:
            here.fetch()
        assert "\n" not in str(caught.value)
        assert "hush" not in str(caught.value)
        here.server.plan = None
        here.fetch()
        whole(here)


def test_web_page_under_the_archives_name(tmp_path: Path) -> None:
    """As image-net.org does when access has lapsed: status 200, and HTML."""
    with site(tmp_path, SIZE, lambda _: Fault(html=True)) as here:
        with pytest.raises(SourceError, match="web page instead of the archive"):
            here.fetch()
        assert here.left() == set()


def test_server_without_ranges(tmp_path: Path) -> None:
    """Over one connection, checked like any other; cut, it begins anew at the next run."""
    with site(tmp_path, SIZE, lambda _: Fault(no_ranges=True)) as here:
        here.fetch()
        whole(here)
        here.path.unlink()
        here.layout.checked.unlink()
        here.server.plan = lambda asked: Fault(
            no_ranges=True, cut_after=None if asked.range == "bytes=0-0" else 4000
        )
        with pytest.raises(SourceError, match="no byte ranges to resume with: run again; it starts"):
            here.fetch()
        assert not here.path.exists()
        here.server.plan = lambda _: Fault(no_ranges=True)
        with pytest.raises(IntegrityError, match="MD5"):
            here.fetch(md5="0" * 32)
        here.fetch()
        whole(here)


def test_changed_while_it_is_fetched(tmp_path: Path) -> None:
    """Begun anew: two versions are never mixed."""
    with site(tmp_path, SIZE) as here:
        old = here.content
        new = bytes(reversed(old))

        def change(request: Request) -> Fault | None:
            if request.range == f"bytes={ALL[5]}" and len(here.server.requests) < len(ALL) + 2:
                (here.server.archives / "a.tar").write_bytes(new)
            return None

        (here.server.archives / "a.tar").write_bytes(old)
        here.server.plan = change
        here.content = new
        here.fetch(md5=hashlib.md5(new, usedforsecurity=False).hexdigest())
        whole(here)


def test_changed_between_runs(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        stopped(here, [ALL[-1]])
        here.server.plan = lambda _: Fault(etag='"other"')
        here.fetch()
        whole(here)
        assert here.asked() == ALL


def test_smaller_between_runs(tmp_path: Path) -> None:
    """Nothing of the larger one is left behind its end."""
    with site(tmp_path, SIZE) as here:
        served = here.server.archives / "a.tar"
        served.write_bytes(here.content * 2)
        here.server.plan = lambda asked: None if asked.range == "bytes=0-0" else Fault(status=404)
        with pytest.raises(SourceError):
            here.fetch(bytes=None)
        here.server.plan = None
        served.write_bytes(here.content)
        here.fetch(bytes=None)
        whole(here)


def test_changes_for_ever(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        count = iter(range(10_000))
        here.server.plan = lambda _: Fault(etag=f'"{next(count)}"')
        with pytest.raises(SourceError, match="another version"):
            here.fetch()


def test_shorter_on_the_server_now(tmp_path: Path) -> None:
    with site(tmp_path, SIZE) as here:
        stopped(here, [ALL[-1]])
        (here.server.archives / "a.tar").write_bytes(here.content[:500])
        with pytest.raises(IntegrityError, match="has 500 bytes on the server"):
            here.fetch()


def test_too_little_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path).free
    with site(tmp_path, SIZE) as here:
        with pytest.raises(SpaceError, match=r"GB free, .* needed for .*: grow the volume"):
            here.fetch(bytes=free)
        assert here.server.requests == []
        assert here.left() == set()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(SpaceError, match="disk is full"):
            here.fetch()
        monkeypatch.undo()
        monkeypatch.setattr(arrival, "RANGE_BYTES", RANGE)
        here.fetch()
        whole(here)


def test_what_is_half_there_needs_no_space_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume just large enough can be resumed on."""
    monkeypatch.setattr(arrival, "RANGE_BYTES", 1 << 20)
    with site(tmp_path, 8 << 20) as here:
        stopped(here, [f"{7 << 20}-{(8 << 20) - 1}"])
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=fetch.SPARE + (1 << 20)))
        here.fetch()
        whole(here)


def test_smallest_first(tmp_path: Path) -> None:
    """A wrong password or path shows before 150 GB have been fetched."""
    with site(tmp_path, SIZE) as here:
        description = here.description()
        large = replace(
            here.archive, file="z.tar", bytes=SIZE * 1000, url="https://example.invalid/data/z.tar"
        )
        description = replace(description, archives=(large, *description.archives))
        with pytest.raises(SourceError, match=r"z.tar: not found"):
            download.download(
                description, here.layout, HttpSource(WHO, here.server.url), Progress(shown=False)
            )
        assert here.path.exists()
