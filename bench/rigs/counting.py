"""A proxy in front of an S3 server that counts: requests and bytes, by kind of request and by key.

It costs processor time, so what runs through it is not timed.
"""

import http.client
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

# They are about one connection, or made anew for the client.
NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length", "date", "server"}
SECONDS = 120.0
REFUSED = 400  # HTTP status from which on an answer is an error


@dataclass
class Count:
    """Requests, and bytes of their bodies: `sent` to S3 and `received` from it. `failed` are among them."""

    requests: int = 0
    sent: int = 0
    received: int = 0
    failed: int = 0


def kind_of(method: str, path: str) -> str:
    """The operation of S3's API that a request is."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    key = parts.path.lstrip("/").partition("/")[2]
    if "partNumber" in query and method == "PUT":
        return "UploadPart"
    if "uploadId" in query:
        by_method = {"POST": "CompleteMultipartUpload", "GET": "ListParts"}
        return by_method.get(method, "AbortMultipartUpload")
    if "uploads" in query:
        return "CreateMultipartUpload" if method == "POST" else "ListMultipartUploads"
    if "delete" in query:
        return "DeleteObjects"
    if not key:
        return {"GET": "ListObjectsV2", "HEAD": "HeadBucket", "PUT": "CreateBucket"}.get(method, method)
    by_method = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    return by_method.get(method, method)


class CountingProxy:
    """The proxy, on a free port of this machine only, for the length of a `with` block.

    `purpose` names what a key is for; `counts` has the counts by kind of request and purpose.
    """

    def __init__(self, endpoint: str, purpose: Callable[[str], str]) -> None:
        self.backend = urlsplit(endpoint).netloc
        self.purpose = purpose
        self.counts: dict[tuple[str, str], Count] = defaultdict(Count)
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.05), daemon=True)

    @property
    def endpoint(self) -> str:
        """The URL that clients are given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def note(self, method: str, path: str, sent: int, received: int, status: int) -> None:
        """Count a request."""
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        key = query["prefix"][0] if "prefix" in query else unquote(parts.path).lstrip("/").partition("/")[2]
        with self.lock:
            count = self.counts[kind_of(method, path), self.purpose(key)]
            count.requests += 1
            count.sent += sent
            count.received += received
            count.failed += status >= REFUSED


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: CountingProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no fault of the proxy."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        body = self._body()
        connection = http.client.HTTPConnection(self.server.proxy.backend, timeout=SECONDS)
        try:
            # The Host header is the client's own: it is part of what was signed.
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"expect", "transfer-encoding", "content-length"}:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        self.server.proxy.note(self.command, self.path, len(body), len(data), answer.status)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(pieces)
