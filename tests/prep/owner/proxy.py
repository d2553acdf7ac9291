"""A proxy in front of the embedded AWS: it notes every call, and answers some with an error."""

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

EC2_ERROR = (
    "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    "<RequestID>r</RequestID></Response>"
)
QUERY_ERROR = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    "<RequestId>r</RequestId></ErrorResponse>"
)
READING = ("Describe", "Get", "List", "HEAD", "GET")


@dataclass(frozen=True)
class Call:
    """A call: "RunInstances" or, for S3, the HTTP method; its number among calls of that name."""

    name: str
    parameters: dict[str, str]
    number: int


@dataclass(frozen=True)
class Refusal:
    """An error to answer with; `after`: the call is made, and only its answer is lost."""

    code: str
    status: int = 400
    message: str = "because"
    after: bool = False


Plan = Callable[[Call], Refusal | None]


class Proxy:
    """The proxy, on a free port of this machine only, for the length of a `with` block."""

    def __init__(self, endpoint: str) -> None:
        self.backend = urlsplit(endpoint).netloc
        self.plan: Plan | None = None
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.05), daemon=True)

    @property
    def endpoint(self) -> str:
        """The URL that clients are given."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def changes(self) -> list[str]:
        """The names of calls that don't only read."""
        return [call.name for call in self.calls if not call.name.startswith(READING)]

    def named(self, name: str) -> list[Call]:
        """The calls of a name."""
        return [call for call in self.calls if call.name == name]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def note(self, name: str, parameters: dict[str, str]) -> Call:
        """Put a call in the list."""
        with self.lock:
            call = Call(name, parameters, len(self.named(name)))
            self.calls.append(call)
        return call


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that was interrupted


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        parameters = dict(parse_qsl(body.decode(errors="replace"))) if not target else {}
        name = target or parameters.get("Action") or self.command
        proxy = self.server.proxy
        call = proxy.note(name, parameters)
        refusal = proxy.plan(call) if proxy.plan else None
        if refusal is None:
            self._reply(*self._pass_on(body))
            return
        if refusal.after:
            self._pass_on(body)
        if target:
            self._reply(
                refusal.status, json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
            )
        else:
            form = EC2_ERROR if parameters.get("Version") == "2016-11-15" else QUERY_ERROR
            self._reply(refusal.status, form.format(code=refusal.code, message=refusal.message).encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 - http.server's names

    def _pass_on(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
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
        headers = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server")
        }
        return answer.status, data, headers

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
