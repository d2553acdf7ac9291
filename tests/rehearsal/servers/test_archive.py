"""The archive server answers as image-net.org does, and its faults are faults."""

import base64
import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rehearsal.servers.archive import BURST_SECONDS, ArchiveServer, Fault, Pace, Request

DATA = bytes(range(256)) * 40
USERNAME, ACCESS_KEY = "someone", "a key/with:signs"


def credentials(username: str = USERNAME, access_key: str = ACCESS_KEY) -> dict[str, str]:
    token = base64.b64encode(f"{username}:{access_key}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a b.tar").write_bytes(DATA)
    (tmp_path / "empty.tar").write_bytes(b"")
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[ArchiveServer]:
    with ArchiveServer(folder, USERNAME, ACCESS_KEY) as server:
        yield server


class Answer:
    """A response, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


def ask(
    server: ArchiveServer, path: str = "/data/2012/a%20b.tar", method: str = "GET", **headers: str
) -> Answer:
    """One request with the right credentials; header names with underscores for hyphens."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, headers={**credentials(), **named})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_whole_file(server: ArchiveServer) -> None:
    answer = ask(server)
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert server.requests == [Request(0, "GET", "a b.tar", None)]
    assert server.bytes_sent == len(DATA)


@pytest.mark.parametrize(
    "headers",
    [{}, credentials("someone else"), credentials(access_key="wrong"), {"Authorization": "Bearer x"}],
)
def test_credentials_are_needed(server: ArchiveServer, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    connection.request("GET", "/a%20b.tar", headers=headers)
    answer = Answer(connection.getresponse())
    connection.close()
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert b"<html>" in answer.body
    assert (server.refused, server.requests) == (1, [])


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=10000-", 10000, 10240),
        ("bytes=10000-99999", 10000, 10240),
        ("bytes=-40", 10200, 10240),
        ("bytes=-99999", 0, 10240),
    ],
)
def test_ranges(server: ArchiveServer, asked: str, start: int, stop: int) -> None:
    answer = ask(server, Range=asked)
    assert (answer.status, answer.body) == (206, DATA[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/10240"


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
def test_range_outside(server: ArchiveServer, asked: str) -> None:
    answer = ask(server, Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */10240"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=-"])
def test_range_that_is_ignored(server: ArchiveServer, asked: str) -> None:
    answer = ask(server, Range=asked)
    assert (answer.status, answer.body) == (200, DATA)


def test_if_range(server: ArchiveServer, folder: Path) -> None:
    etag = ask(server, method="HEAD").headers["ETag"]
    assert ask(server, Range="bytes=5-", If_Range=etag).status == 206
    (folder / "a b.tar").write_bytes(DATA + b"more")
    answer = ask(server, Range="bytes=5-", If_Range=etag)
    assert (answer.status, answer.body) == (200, DATA + b"more")


def test_head_and_missing_and_empty(server: ArchiveServer) -> None:
    head = ask(server, method="HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "10240")
    missing = ask(server, "/data/nothing.tar")
    assert missing.status == 404
    assert b"<html>" in missing.body
    assert ask(server, "/data/..").status == 404
    assert (ask(server, "/empty.tar").status, ask(server, "/empty.tar", Range="bytes=0-").status) == (
        200,
        416,
    )


def test_connection_stays_open(server: ArchiveServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
    sockets = []
    for path in ("/a%20b.tar", "/nothing.tar", "/a%20b.tar"):
        connection.request("GET", path, headers=credentials())
        Answer(connection.getresponse())
        sockets.append(connection.sock)
    connection.close()
    assert sockets[0] is not None
    assert sockets == [sockets[0]] * 3


def faulty(folder: Path, fault: Fault) -> ArchiveServer:
    """A server whose first answer has the fault."""
    return ArchiveServer(
        folder, USERNAME, ACCESS_KEY, plan=lambda request: fault if request.number == 0 else None
    )


def test_error_then_well(folder: Path) -> None:
    with faulty(folder, Fault(status=429, retry_after=3)) as server:
        busy = ask(server)
        assert (busy.status, busy.headers["Retry-After"]) == (429, "3")
        assert ask(server).body == DATA


def test_cut(folder: Path) -> None:
    with faulty(folder, Fault(cut_after=1000)) as server, pytest.raises(http.client.IncompleteRead) as cut:
        ask(server)
    assert cut.value.partial == DATA[:1000]


def test_stall(folder: Path) -> None:
    with faulty(folder, Fault(stall_after=0, stall_seconds=0.3)) as server:
        started = time.monotonic()
        assert ask(server).body == DATA
        assert time.monotonic() - started >= 0.3


def test_other_faults(folder: Path) -> None:
    with faulty(folder, Fault(no_ranges=True)) as server:
        assert ask(server, Range="bytes=5-").status == 200
    with faulty(folder, Fault(html=True)) as server:
        page = ask(server, Range="bytes=5-")
        assert (page.status, page.headers["Content-Type"][:9]) == (200, "text/html")
    with faulty(folder, Fault(etag='"other"')) as server:
        assert ask(server).headers["ETag"] == '"other"' != ask(server).headers["ETag"]
    with faulty(folder, Fault(content_range="bytes 0-9/10")) as server:
        assert ask(server, Range="bytes=5-").headers["Content-Range"] == "bytes 0-9/10"
    with faulty(folder, Fault(truncated_to=100)) as server:
        assert ask(server).body == DATA[:100]


def test_pace_is_the_rate_and_lateness_is_made_up_for_a_little() -> None:
    now = 0.0
    pace = Pace(1000, clock=lambda: now)
    for _ in range(100):  # a sender that waits as it is told: 10 bytes every hundredth of a second
        now += pace.reserve(10)
    assert now == pytest.approx(0.99)
    assert pace.reserve(10) == pytest.approx(0.01)  # a second one at the same time has the slot after
    assert pace.reserve(10) == pytest.approx(0.02)
    now = 50.0  # nobody asked for long: that is not made up for
    at_once = 0
    while pace.reserve(1) == 0:
        at_once += 1
    assert at_once == pytest.approx(1000 * BURST_SECONDS, abs=2)


def seconds_for(server: ArchiveServer, answers: int) -> float:
    """Seconds that so many answers at the same time take."""
    started = time.monotonic()
    bodies: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: bodies.append(ask(server, "/long.tar").body)) for _ in range(answers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    assert [len(body) for body in bodies] == [len(20 * DATA)] * answers
    return seconds


@pytest.mark.parametrize(
    ("rate", "connection_rate", "least"),
    [
        (1_000_000, None, 0.4),  # two answers of 204,800 bytes together: 0.41 s
        (None, 1_000_000, 0.2),
        (10_000_000, 500_000, 0.4),
    ],
)
def test_held_to_a_rate(folder: Path, rate: int | None, connection_rate: int | None, least: float) -> None:
    """Only that it is not faster: how much slower is the machine's business."""
    (folder / "long.tar").write_bytes(20 * DATA)
    with ArchiveServer(folder, USERNAME, ACCESS_KEY, rate=rate, connection_rate=connection_rate) as server:
        # Taken off: what may go at once, and the first piece, which waits for nobody.
        assert seconds_for(server, 2) >= least - BURST_SECONDS - 0.02
        assert server.bytes_sent == 2 * len(20 * DATA)


def test_a_slow_answer_does_not_outlive_the_server(folder: Path) -> None:
    """Ten bytes a second would take a quarter of an hour."""
    with ArchiveServer(folder, USERNAME, ACCESS_KEY, rate=10) as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
        connection.request("GET", "/a%20b.tar", headers=credentials())
        answer = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()


def test_command(folder: Path) -> None:
    """Serves until it is told to end, with credentials from the environment and nowhere in its output."""
    command = [sys.executable, "-m", "rehearsal.servers.archive", str(folder)]
    refused = subprocess.run(  # noqa: S603 - our own program
        command, env={}, capture_output=True, text=True, timeout=30, check=False
    )
    assert refused.returncode == 1
    assert "PREP_USERNAME" in refused.stderr
    assert "Traceback" not in refused.stderr
    environment = {"PREP_USERNAME": USERNAME, "PREP_ACCESS_KEY": ACCESS_KEY}
    paced = [*command, "--rate", "100000", "--connection-rate", "20000"]
    with subprocess.Popen(  # noqa: S603 - our own program
        paced, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        netloc = urlsplit(process.stdout.readline().strip()).netloc
        connection = http.client.HTTPConnection(netloc, timeout=5)
        started = time.monotonic()
        connection.request("GET", "/a%20b.tar", headers=credentials())
        assert connection.getresponse().read() == DATA
        assert time.monotonic() - started >= 0.3  # 0.51 s, but for what may go at once
        connection.close()
        process.terminate()
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "", "")
