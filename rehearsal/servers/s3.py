"""A real S3 server on this machine: SeaweedFS, with signatures, checksums and multipart uploads.

moto models S3's API; this one moves bytes as a server does, and is what benchmarks and fault tests talk to.
"""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REGION: Final = "us-east-1"
# It answers in about three seconds on an idle machine; a minute is for one that is busy with something else.
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
# Each service listens on two ports, HTTP and gRPC; the table services, which start with S3 and can't be
# switched off, on one each.
_SERVICES: Final = ("master", "volume", "filer", "s3")
_TABLES: Final = ("s3.port.iceberg", "s3.port.lance")


class S3ServerError(RuntimeError):
    """The server can't be started; the text says why."""


@dataclass(frozen=True)
class S3Server:
    """A running server: its endpoint, the only credentials it knows, and its process."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    pid: int

    def environment(self) -> dict[str, str]:
        """What the `aws` command and boto3 need in their environment to talk to it and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server that keeps its data in `folder` for the length of a `with` block.

    Raises:
        S3ServerError: it isn't installed, or does not come up.
    """
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if weed is None:
        raise S3ServerError("S3 server: no `weed` command: pip install -r requirements.txt")
    folder.mkdir(parents=True, exist_ok=True)
    access_key_id, secret_access_key = secrets.token_hex(10), secrets.token_hex(20)
    identities = _write_identities(folder / "identities.json", access_key_id, secret_access_key)
    ports = _free_ports(2 * len(_SERVICES) + len(_TABLES))
    log = folder / "weed.log"
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603 - the wheel's own command
            [weed, "server", *_arguments(folder, identities, ports)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt at the terminal is ours to handle, once clients are done
        )
    try:
        port = ports[2 * _SERVICES.index("s3")]
        _wait(server, port, log)
        yield S3Server(f"http://127.0.0.1:{port}", access_key_id, secret_access_key, server.pid)
    finally:
        _stop(server)
        identities.unlink(missing_ok=True)


def _write_identities(path: Path, access_key_id: str, secret_access_key: str) -> Path:
    """The server's credentials, in a file that only this user can read."""
    credentials = [{"accessKey": access_key_id, "secretKey": secret_access_key}]
    identity = {"name": "owner", "credentials": credentials, "actions": ["Admin"]}
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"identities": [identity]}, file)
    return path


def _arguments(folder: Path, identities: Path, ports: list[int]) -> list[str]:
    pairs = zip(ports[0::2], ports[1::2], strict=False)
    numbers = [
        f"-{service}.port{kind}={port}"
        for service, pair in zip(_SERVICES, pairs, strict=False)
        for kind, port in zip(("", ".grpc"), pair, strict=True)
    ]
    numbers += [
        f"-{option}={port}" for option, port in zip(_TABLES, ports[2 * len(_SERVICES) :], strict=True)
    ]
    return [
        "-s3",
        f"-s3.config={identities}",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        # A bucket takes a few volumes, each a file that grows: 64 of 1 GB hold any test there is.
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=64",
        "-volume.preStopSeconds=0",
        *numbers,
    ]


def _free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Until S3 answers a request; that it refuses one without a signature is an answer."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise S3ServerError(f"S3 server: it ended with {server.returncode}: {log} says why")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            # Before its filer is there it answers 500.
            if connection.getresponse().status < 500:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise S3ServerError(f"S3 server: no answer within {READY_SECONDS:.0f} s: {log} says why")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
