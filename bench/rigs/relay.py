"""A proxy on this machine, in front of a server. It counts requests or spoils them, as its handler says."""

import http.client
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

# They are about one connection, or made anew for the client.
NOT_PASSED_ON = ("connection", "transfer-encoding", "content-length", "date", "server")
SECONDS = 120.0


class Answer(NamedTuple):
    """What the server behind the proxy has answered. `length` is its Content-Length."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: str | None


class Relay:
    """The proxy, on a free port of this machine only, for the length of a `with` block."""

    def __init__(self, endpoint: str, handler: type[BaseHTTPRequestHandler]) -> None:
        self.backend = urlsplit(endpoint).netloc
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._server = RelayServer(("127.0.0.1", 0), handler)
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

    def forward(self, method: str, path: str, headers: Message, body: bytes) -> Answer:
        """Pass a request on."""
        connection = http.client.HTTPConnection(self.backend, timeout=SECONDS)
        try:
            # The Host header is the client's own: it is part of what was signed.
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in {"expect", "transfer-encoding", "content-length"}:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in NOT_PASSED_ON}
        return Answer(answer.status, kept, data, answer.getheader("Content-Length"))


class RelayServer(ThreadingHTTPServer):
    """The server of a proxy."""

    daemon_threads = True
    request_queue_size = 128
    proxy: Any

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up, or are interrupted, are what this is for."""


class RelayHandler(BaseHTTPRequestHandler):
    """Handles every method with `handle_call`."""

    server: RelayServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_call(self) -> None:
        """Answer a request."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self.handle_call()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def body(self) -> bytes:
        """The body of this request."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(pieces)

    def forward(self, body: bytes) -> Answer:
        """Pass this request on."""
        answer: Answer = self.server.proxy.forward(self.command, self.path, self.headers, body)
        return answer

    def reply(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        length: str | None = None,
        promised: int | None = None,
    ) -> None:
        """Send a response.

        `length` is that of the body which HEAD leaves out, `promised` that of a body of which only a part is
        sent.
        """
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        known = length if self.command == "HEAD" else promised
        self.send_header("Content-Length", str(known or len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
