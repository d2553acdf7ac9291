"""A proxy in front of a real S3 server that passes everything on, but for the faults that a plan asks for."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import parse_qs, urlsplit

from bench.rigs.relay import Relay, RelayHandler

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'


class Fault(Enum):
    """What goes wrong with one request."""

    SLOW_DOWN = auto()  # 503, not passed on
    DENIED = auto()  # 403, not passed on
    EXPIRED = auto()  # 400, not passed on
    CUT = auto()  # the connection ends in the middle of the request's body
    NO_REPLY = auto()  # passed on, and the connection ends before the reply
    HALF_REPLY = auto()  # passed on, and the connection ends in the middle of the reply's body
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


class S3Proxy(Relay):
    """The proxy. What goes wrong is for the plan to say."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, _Handler)
        self.plan: Plan | None = None
        self.requests: list[Request] = []

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


def _operation(method: str, query: dict[str, list[str]]) -> str:
    if "partNumber" in query:
        return "UploadPart"
    if "uploadId" in query:
        return {"POST": "CompleteMultipartUpload", "GET": "ListParts"}.get(method, "AbortMultipartUpload")
    if "uploads" in query:
        return "CreateMultipartUpload"
    return {"PUT": "PutObject", "HEAD": "HeadObject"}.get(method, "GetObject")


class _Handler(RelayHandler):
    def handle_call(self) -> None:
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
            self.reply(200, {"ETag": etag, "x-amz-checksum-sha256": checksum}, b"")
        else:
            if fault is Fault.DAMAGED:
                body = bytes([body[0] ^ 1]) + body[1:]
            self._pass_on(body, fault)

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        answer = self.forward(body)
        if fault is Fault.NO_REPLY:
            self.close_connection = True
            return
        if fault is Fault.HALF_REPLY:
            half = answer.body[: len(answer.body) // 2]
            self.reply(*answer._replace(body=half), promised=len(answer.body))
            self.close_connection = True
            return
        self.reply(*answer)

    def _error(self, status: int, code: str, message: str) -> None:
        self.reply(
            status, {"Content-Type": "application/xml"}, ERROR.format(code=code, message=message).encode()
        )
