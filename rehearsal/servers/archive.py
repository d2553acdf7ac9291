"""A web server that behaves like image-net.org: user name and access key, byte ranges, error pages in HTML.

It serves a folder's files under any path that ends in their name. What goes wrong on the way (a cut
connection, a busy server, a changed file, ...) can be planned with `Fault`s. It can be held to a number of
bytes a second, all connections together and each.
"""

import base64
import email.utils
import hmac
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import click

_CHUNK: Final = 1 << 20
# Of a paced answer: large enough to cost little of a core, small enough to be smooth.
_PACED_CHUNK: Final = 1 << 18
_CHUNK_SECONDS: Final = 0.02  # at a low rate the pieces are smaller
BURST_SECONDS: Final = 0.05  # of bytes that may be sent at once, by a thread that woke up late
UNLIMITED: Final = 1 << 40  # bytes a second
_HTML: Final = "text/html; charset=UTF-8"


@dataclass(frozen=True)
class Request:
    """A request that came with the right credentials: its place in the row (from 0) and what it asked for."""

    number: int
    method: str
    file: str
    range: str | None


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one response; the defaults are a response as it should be."""

    status: int | None = None  # this error instead of the file, with an HTML body
    retry_after: int | None = None  # seconds, beside the status
    html: bool = False  # an HTML page with status 200 instead of the file
    no_ranges: bool = False  # as a server that knows no ranges: the whole file, whatever was asked
    etag: str | None = None  # as if the file had changed; "" for no ETag at all
    content_range: str | None = None  # this header instead of the true one
    cut_after: int | None = None  # close the connection after so many bytes of the body
    stall_after: int | None = None  # after so many bytes of the body, be silent for `stall_seconds`
    stall_seconds: float = 0.0
    truncated_to: int | None = None  # as if the file ended here


Plan = Callable[[Request], Fault | None]


class Pace:
    """Holds senders to a number of bytes a second, together."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells the seconds."""
        self.rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._due = clock()  # when the bytes that nobody has asked for yet may go

    def reserve(self, count: int) -> float:
        """Take the next `count` bytes; returns the seconds to wait before they are sent."""
        with self._lock:
            now = self._clock()
            begin = max(self._due, now - BURST_SECONDS)
            self._due = begin + count / self.rate
        return max(0.0, begin - now)


class ArchiveServer:
    """The server, on a free port of this machine only, for the length of a `with` block.

    `requests` lists the requests that were let in, `refused` counts those that weren't, `bytes_sent` counts
    what left in bodies of archives.
    """

    def __init__(
        self,
        archives: Path,
        username: str,
        access_key: str,
        *,
        port: int = 0,
        plan: Plan | None = None,
        rate: int | None = None,
        connection_rate: int | None = None,
    ) -> None:
        """`plan` is asked about each request that is let in, and says what goes wrong with it.

        `rate` is the number of bytes a second that bodies of archives are held to, all connections together,
        and `connection_rate` that of each connection; None is as fast as it goes.
        """
        self.archives = archives
        self.plan = plan
        self.pace = Pace(rate) if rate else None
        self.connection_rate = connection_rate
        slowest = min((one for one in (rate, connection_rate) if one), default=None)
        self.chunk = _CHUNK if slowest is None else min(_PACED_CHUNK, max(1, int(slowest * _CHUNK_SECONDS)))
        self.requests: list[Request] = []
        self.refused = 0
        self.bytes_sent = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        token = base64.b64encode(f"{username}:{access_key}".encode()).decode()
        self._authorization = f"Basic {token}".encode()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.site = self
        self._thread = threading.Thread(target=self._serve, name="archive-server", daemon=True)

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def hurry(self, rate: int | None) -> None:
        """Another rate from now on, for all connections together; None is as fast as it goes."""
        if self.pace:
            self.pace.rate = rate or UNLIMITED

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self) -> None:
        # How often it looks whether it should end, in seconds: the usual half second adds up in tests.
        self._server.serve_forever(poll_interval=0.05)

    def knows(self, authorization: str | None) -> bool:
        """Whether a request's Authorization header is the right one."""
        return hmac.compare_digest((authorization or "").encode(), self._authorization)

    def admit(self, method: str, file: str, byte_range: str | None) -> Request:
        """Note a request that was let in."""
        with self.lock:
            request = Request(len(self.requests), method, file, byte_range)
            self.requests.append(request)
        return request


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a client that keeps its connection open must not keep the server alive
    site: ArchiveServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away is a thing of every day; anything else is a mistake of ours.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


@dataclass(frozen=True)
class _Span:
    """The bytes to send: from `start` up to `stop` of `size`; `partial` when a range was asked for."""

    start: int
    stop: int
    size: int
    partial: bool


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # connections stay open between requests
    server_version = "Apache"
    sys_version = ""
    timeout = 60  # an idle connection ends, as on the real server; a minute is more than any test waits

    def setup(self) -> None:
        super().setup()
        site = self.server.site
        own = Pace(site.connection_rate) if site.connection_rate else None
        # Its own first: a connection that has to wait for itself keeps nobody waiting.
        self._paces = [pace for pace in (own, site.pace) if pace]

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        # Nothing: requests are in ArchiveServer.requests, and their headers hold the credentials.
        pass

    def _answer(self) -> None:
        site = self.server.site
        if not site.knows(self.headers.get("Authorization")):
            with site.lock:
                site.refused += 1
            self._page(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="ImageNet"'})
            return
        name = unquote(urlsplit(self.path).path).rsplit("/", 1)[-1]
        request = site.admit(self.command, name, self.headers.get("Range"))
        fault = (site.plan(request) if site.plan else None) or Fault()
        if fault.status is not None:
            wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            self._page(HTTPStatus(fault.status), wait)
            return
        if fault.html:
            self._page(HTTPStatus.OK, {})
            return
        path = site.archives / name
        if name in ("", ".", "..") or not path.is_file():
            self._page(HTTPStatus.NOT_FOUND, {})
            return
        self._file(path, fault)

    def _page(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        body = (
            "<!DOCTYPE html>\n<html><head><title>"
            f"{status.value} {status.phrase}</title></head>\n<body><h1>{status.phrase}</h1></body></html>\n"
        ).encode()
        self.send_response(status)
        for header, value in {**headers, "Content-Type": _HTML, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self, path: Path, fault: Fault) -> None:
        stat = path.stat()
        size = stat.st_size if fault.truncated_to is None else min(stat.st_size, fault.truncated_to)
        etag = f'"{stat.st_size:x}-{stat.st_mtime_ns // 1000:x}"' if fault.etag is None else fault.etag
        modified = email.utils.formatdate(stat.st_mtime, usegmt=True)
        span = self._span(size, etag, modified, fault)
        if span is None:
            self._page(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"})
            return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if span.partial else HTTPStatus.OK)
        self.send_header("Last-Modified", modified)
        if etag:
            self.send_header("ETag", etag)
        if not fault.no_ranges:
            self.send_header("Accept-Ranges", "bytes")
        if span.partial:
            true_range = f"bytes {span.start}-{span.stop - 1}/{size}"
            self.send_header("Content-Range", fault.content_range or true_range)
        self.send_header("Content-Length", str(span.stop - span.start))
        self.send_header("Content-Type", "application/x-tar")
        self.end_headers()
        if self.command != "HEAD":
            self._body(path, span, fault)

    def _span(self, size: int, etag: str, modified: str, fault: Fault) -> _Span | None:
        """What to send; None where the range asked for lies outside the file."""
        whole = _Span(0, size, size, False)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "").strip())
        condition = self.headers.get("If-Range")
        # No range, several, or a malformed one: the standard lets a server send the whole file.
        if fault.no_ranges or asked is None or asked.groups() == ("", ""):
            return whole
        if condition is not None and condition not in (etag, modified):
            return whole
        first, last = asked.groups()
        if not first:
            return _Span(max(0, size - int(last)), size, size, True) if int(last) else None
        start = int(first)
        if last and int(last) < start:
            return whole
        stop = min(size, int(last) + 1) if last else size
        return _Span(start, stop, size, True) if start < size else None

    def _body(self, path: Path, span: _Span, fault: Fault) -> None:
        site = self.server.site
        sent, length = 0, span.stop - span.start
        stops = sorted(at for at in (fault.cut_after, fault.stall_after) if at is not None and at < length)
        with path.open("rb", buffering=0) as file:
            while sent < length:
                if sent == fault.stall_after:
                    # Waits on the event, so that a stalled answer doesn't outlive the server.
                    site.closing.wait(fault.stall_seconds)
                if sent == fault.cut_after:
                    self.close_connection = True
                    return
                until = min([at for at in stops if at > sent] or [length])
                count = min(site.chunk, until - sent)
                # A paced answer doesn't outlive the server either.
                if any(site.closing.wait(wait) for wait in self._waits(count)):
                    self.close_connection = True
                    return
                # Counted first: a client that has the last byte must find it in the count.
                with site.lock:
                    site.bytes_sent += count
                left_out = count - self.connection.sendfile(file, span.start + sent, count)
                if left_out:  # the file is shorter now
                    with site.lock:
                        site.bytes_sent -= left_out
                    self.close_connection = True
                    return
                sent += count

    def _waits(self, count: int) -> Iterator[float]:
        """Seconds to wait, one after the other, before so many bytes may be sent."""
        return (wait for pace in self._paces if (wait := pace.reserve(count)))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--port", default=0, show_default="a free one", type=click.IntRange(0, 65535))
@click.option(
    "--rate", type=click.IntRange(min=1), metavar="BYTES", help="Bytes a second, all connections together."
)
@click.option(
    "--connection-rate",
    type=click.IntRange(min=1),
    metavar="BYTES",
    help="Bytes a second of each connection.",
)
def main(folder: Path, port: int, rate: int | None, connection_rate: int | None) -> None:
    """Serve the archives in FOLDER until interrupted; prints the base URL.

    The user name and access key that it asks for come from PREP_USERNAME and PREP_ACCESS_KEY.
    """
    username, access_key = os.environ.get("PREP_USERNAME"), os.environ.get("PREP_ACCESS_KEY")
    if not username or not access_key:
        raise click.ClickException("serve archives: set PREP_USERNAME and PREP_ACCESS_KEY first")
    done = threading.Event()
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: done.set())
    try:
        server = ArchiveServer(
            folder, username, access_key, port=port, rate=rate, connection_rate=connection_rate
        )
    except OSError as error:
        raise click.ClickException(
            f"serve archives on port {port}: {error.strerror}; choose another"
        ) from None
    with server:
        click.echo(server.url)
        done.wait()


if __name__ == "__main__":
    main()
