"""An embedded AWS and a metadata service for the user data's shell to talk to."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

ZONE = "us-east-1b"


class Metadata(ThreadingHTTPServer):
    """IMDSv2: a token by PUT, which every GET must show."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items = {"instance-id": "i-0123", "placement/availability-zone": ZONE}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self._answer("the-token" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else None)

    def do_GET(self) -> None:
        known = self.headers["X-aws-ec2-metadata-token"] == "the-token"
        self._answer(self.server.items.get(self.path.removeprefix("/latest/meta-data/")) if known else None)

    def _answer(self, body: str | None) -> None:
        self.send_response(401 if body is None else 200)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: object) -> None:
        """No line on standard error for each request."""


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with Metadata() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def account(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables with which boto3 here and the aws command there reach the embedded AWS."""
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def ec2(account: dict[str, str]) -> Iterator[Any]:  # noqa: ARG001
    client = boto3.client("ec2")
    yield client
    client.close()


@pytest.fixture
def instances(ec2: Any) -> list[str]:
    """Ids of two instances."""
    made = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="t2.large",
        MinCount=2,
        MaxCount=2,
        Placement={"AvailabilityZone": ZONE},
    )
    return [instance["InstanceId"] for instance in made["Instances"]]
