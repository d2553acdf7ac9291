"""A proxy in front of a real S3 server that passes everything on, but for the faults that a plan asks for."""

import base64
import hashlib
import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'


class Fault(Enum):
    """What goes wrong with one request."""

    SLOW_DOWN = auto()  # 503, not passed on
    DENIED = auto()  # 403, not passed on
    EXPIRED = auto()  # 400, not passed on
    CUT = auto()  # the connection ends in the middle of the request's body
    NO_REPLY = auto()  # passed on, and the connection ends before the reply
    SILENCE = auto()  # not passed on, no reply for longer than anybody waits
    LOST = auto()  # a reply as if it were done, and it isn't
    DAMAGED = auto()  # a bit of the body changed on its way


@dataclass(frozen=True)
class Request:
    """A request: its operation, as far as is told apart, its key, its number among such operations."""

    operation: str
    key: str
    number: int


Plan = Callable[[Request], Fault | None]


class S3Proxy:
    """The proxy, on a free port of this machine only, for the length of a `with` block."""

    def __init__(self, endpoint: str) -> None:
        self.backend = urlsplit(endpoint).netloc
        self.plan: Plan | None = None
        self.requests: list[Request] = []
        self.closing = threading.Event()
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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def note(self, operation: str, key: str) -> Request:
        """Put a request in the list."""
        with self.lock:
            number = sum(request.operation == operation for request in self.requests)
            request = Request(operation, key, number)
            self.requests.append(request)
        return request

    def count(self, operation: str) -> int:
        """How many requests of an operation there have been."""
        return sum(request.operation == operation for request in self.requests)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: S3Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that give up are what this is for


def _operation(method: str, query: dict[str, list[str]]) -> str:
    if "partNumber" in query:
        return "UploadPart"
    if "uploadId" in query:
        return {"POST": "CompleteMultipartUpload", "GET": "ListParts"}.get(method, "AbortMultipartUpload")
    if "uploads" in query:
        return "CreateMultipartUpload"
    return {"PUT": "PutObject", "HEAD": "HeadObject"}.get(method, "GetObject")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        proxy = self.server.proxy
        operation = _operation(self.command, parse_qs(parts.query, keep_blank_values=True))
        request = proxy.note(operation, parts.path.split("/", 2)[-1])
        fault = proxy.plan(request) if proxy.plan else None
        length = int(self.headers.get("Content-Length") or 0)
        if fault is Fault.CUT:
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if fault is Fault.SILENCE:
            proxy.closing.wait(30)
            self.close_connection = True
        elif fault is Fault.SLOW_DOWN:
            self._error(503, "SlowDown", "Please reduce your request rate.")
        elif fault is Fault.DENIED:
            self._error(403, "AccessDenied", "Access Denied")
        elif fault is Fault.EXPIRED:
            self._error(400, "ExpiredToken", "The provided token has expired.")
        elif fault is Fault.LOST:
            checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
            etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
            self._reply(200, {"ETag": etag, "x-amz-checksum-sha256": checksum}, b"")
        else:
            if fault is Fault.DAMAGED:
                body = bytes([body[0] ^ 1]) + body[1:]
            self._pass_on(body, fault)

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        connection = http.client.HTTPConnection(self.server.proxy.backend, timeout=60)
        try:
            # The Host header is the client's own: it is part of what was signed.
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if fault is Fault.NO_REPLY:
            self.close_connection = True
            return
        headers = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server")
        }
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self._reply(answer.status, headers, data, length)

    def _error(self, status: int, code: str, message: str) -> None:
        self._reply(
            status, {"Content-Type": "application/xml"}, ERROR.format(code=code, message=message).encode()
        )

    def _reply(self, status: int, headers: dict[str, str], body: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
