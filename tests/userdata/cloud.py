"""An embedded AWS in this process, in front of which faults can be put, and a metadata service."""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from rehearsal.cloud import calls
from rehearsal.cloud.moto_gaps import copies
from rehearsal.cloud.volumes import Volumes

ZONE = "us-east-1b"
ALWAYS = 1000


@dataclass
class Fault:
    """What happens to the next calls of an action: an error of EC2, or something after the call."""

    action: str
    code: str = ""
    message: str = "as the test wants it"
    status: int = 400
    times: int = ALWAYS
    after: Callable[[], None] | None = None
    no_answer: bool = False  # the call is carried out once, and no answer arrives
    only_with: str = ""  # only calls that have this parameter


@dataclass
class Cloud:
    """moto's server as a WSGI application that knows of faults, and that lists the calls that it got."""

    application: Any
    faults: list[Fault] = field(default_factory=list)
    endpoint: str = ""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = _Again(body)
        call = calls.parse(environ, body)
        fault = self._take(call) if call else None
        if fault and fault.code:
            start_response(f"{fault.status} Refused", [("Content-Type", "text/xml")])
            error = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
            return [f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>".encode()]
        if fault and fault.no_answer:
            if fault.times == ALWAYS - 1:
                list(self.application(environ, lambda *_: None))
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        answer = list(self.application(environ, start_response))
        if fault and fault.after:
            fault.after()
        return answer

    def _take(self, call: calls.Call) -> Fault | None:
        for fault in self.faults:
            if fault.action == call.action and fault.times > 0 and fault.only_with in ("", *call.params):
                fault.times -= 1
                return fault
        return None


class _Again:
    """A request's body for a second reader."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        end = len(self._body) if size < 0 else size
        part, self._body = self._body[:end], self._body[end:]
        return part

    def readline(self) -> bytes:
        return self.read()


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any, **__: Any) -> None:
        """No line on standard error for each request, or for each fault."""


@contextmanager
def serve_cloud(folder: Path) -> Iterator[Cloud]:
    """A running embedded AWS with copies of volumes."""
    copies.install(Volumes(folder))
    cloud = Cloud(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, cloud, threaded=True, request_handler=_Quiet)
    cloud.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield cloud
    server.shutdown()
    thread.join()
    server.server_close()


class Metadata(ThreadingHTTPServer):
    """IMDSv2: a token by PUT, which every GET must show."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items = {
            "instance-id": "i-0123",
            "placement/availability-zone": ZONE,
            "iam/security-credentials/": "role",
        }
        self.missing: dict[str, int] = {}  # item → how many requests find it missing at first
        self.slow = 0  # how many requests are answered only after 6 s, longer than anybody waits

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self._answer("the-token" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else None)

    def do_GET(self) -> None:
        item = self.path.removeprefix("/latest/meta-data/")
        if self.headers["X-aws-ec2-metadata-token"] != "the-token":
            self._answer(None)
        elif self.server.missing.get(item, 0) > 0:
            self.server.missing[item] -= 1
            self._answer(None, 404)
        else:
            self._answer(self.server.items.get(item))

    def _answer(self, body: str | None, error: int = 401) -> None:
        if self.server.slow > 0:
            self.server.slow -= 1
            time.sleep(6)
        self.send_response(error if body is None else 200)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: object) -> None:
        """No line on standard error for each request."""
