"""Calls to AWS outlast a gap in the network, within bounds, and none is made twice that must not be."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from prep.aws import clients, retries
from prep.interrupt import stopping
from tests.prep.small_sets import BUCKET


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.2)
    stopping.clear()
    yield
    stopping.clear()


def test_bounds_outlast_five_minutes() -> None:
    """Even if every pause is as short as it can be, the last try comes after five minutes."""
    assert retries.LONGEST_SECONDS >= 300
    assert retries.LONGEST_PAUSE < 60


def test_gap_in_the_network(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port on which nobody listens for a while; then a forwarder to the embedded AWS stands there."""
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    clients._session.cache_clear()
    said: list[str] = []
    client = clients.s3(said.append)
    back = threading.Timer(2.0, forward, (port, urlsplit(aws).port))
    back.start()
    begun = time.monotonic()
    client.put_object(Bucket=BUCKET, Key="a", Body=b"whole")
    assert time.monotonic() - begun >= 1.9
    assert said
    assert all(line.startswith("PutObject: Could not connect") and "trying again in" in line for line in said)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    clients._session.cache_clear()
    assert clients.s3().get_object(Bucket=BUCKET, Key="a")["Body"].read() == b"whole"


def forward(port: int, to: int) -> None:
    """Pass on every connection to `port` to another port, for the rest of the test session."""
    server = socket.create_server(("127.0.0.1", port))

    def pump(one: socket.socket, other: socket.socket) -> None:
        while data := one.recv(65536):
            other.sendall(data)
        other.close()

    def serve() -> None:
        while True:
            near, _ = server.accept()
            far = socket.create_connection(("127.0.0.1", to))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def test_gap_that_lasts_ends_the_call(monkeypatch: pytest.MonkeyPatch, aws: str) -> None:
    assert aws
    monkeypatch.setattr(retries, "LONGEST_SECONDS", 1.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    clients._session.cache_clear()
    with pytest.raises(EndpointConnectionError):
        clients.s3().head_bucket(Bucket=BUCKET)
    clients._session.cache_clear()


def test_stopping_ends_the_wait(monkeypatch: pytest.MonkeyPatch, aws: str) -> None:
    assert aws
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 60.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    clients._session.cache_clear()
    threading.Timer(0.5, stopping.set).start()
    begun = time.monotonic()
    with pytest.raises(EndpointConnectionError):
        clients.s3().head_bucket(Bucket=BUCKET)
    assert time.monotonic() - begun < 10
    clients._session.cache_clear()


class Silent(BaseHTTPRequestHandler):
    """Takes a request, and answers with the status of the server, or, for 0, never."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests += 1  # type: ignore[attr-defined]
        status = self.server.status  # type: ignore[attr-defined]
        if status == 0:
            time.sleep(1.5)
            return
        body = b"<Response><Errors><Error><Code>Broken</Code><Message>m</Message></Error></Errors></Response>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("status", "error"), [(0, ReadTimeoutError), (500, ClientError)])
def test_snapshot_is_asked_for_once(
    status: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch, aws: str
) -> None:
    """A lost answer may stand for a snapshot that was made; describing can be repeated."""
    assert aws
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.status, server.requests = status, 0  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(retries, "LONGEST_SECONDS", 2.0)
    monkeypatch.setattr(clients, "OPTIONS", clients.OPTIONS | {"connect_timeout": 0.5, "read_timeout": 0.5})
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    clients._session.cache_clear()
    with pytest.raises(error):
        clients.ec2().create_snapshot(VolumeId="vol-1")
    assert server.requests == 1  # type: ignore[attr-defined]
    with pytest.raises(error):
        clients.ec2().copy_snapshot(SourceRegion="eu-west-1", SourceSnapshotId="snap-1")
    assert server.requests == 2  # type: ignore[attr-defined]
    with pytest.raises(error):
        clients.ec2().describe_snapshots()
    assert server.requests > 3  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    clients._session.cache_clear()


@pytest.mark.parametrize("code", sorted(retries.LASTING))
def test_zone_without_capacity_is_not_asked_again(
    code: str, monkeypatch: pytest.MonkeyPatch, aws: str
) -> None:
    """EC2 answers with status 500, but the caller has another zone to try."""
    assert aws
    server = ThreadingHTTPServer(("127.0.0.1", 0), Full)
    server.code, server.requests = code, 0  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(retries, "LONGEST_SECONDS", 2.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    clients._session.cache_clear()
    with pytest.raises(ClientError, match=code):
        clients.ec2().run_instances(MinCount=1, MaxCount=1)
    assert server.requests == 1  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    clients._session.cache_clear()


class Full(BaseHTTPRequestHandler):
    """A zone without capacity."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests += 1  # type: ignore[attr-defined]
        code = self.server.code  # type: ignore[attr-defined]
        error = f"<Error><Code>{code}</Code><Message>m</Message></Error>"
        body = f"<Response><Errors>{error}</Errors></Response>".encode()
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
