"""What the tests of a cluster share: S3 behind a proxy, nodes, and a driver that stays connected to them."""

import contextlib
import hashlib
import io
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig

from bench.rigs.ray_nodes import Nodes, ray_nodes
from rehearsal.servers.s3 import REGION, S3Server
from tests.prep.commands import REPOSITORY, environment, run
from tests.prep.s3_proxy import S3Proxy

SCALED = [sys.executable, "-m", "bench.rigs.scaled_cluster"]
BUCKET = "cluster"
IN_PARTS = TransferConfig(multipart_threshold=1, multipart_chunksize=5 << 20)


@dataclass
class Resident:
    """The driver that stays connected."""

    process: "subprocess.Popen[str]"

    def ask(self, **request: Any) -> dict[str, Any]:
        """Have it do something."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the driver has ended: its standard error says why"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def call(self, function: str, *arguments: Any) -> Any:
        """The value of "module:function"."""
        return self.ask(call=function, **{"with": arguments})["value"]


@dataclass
class Stand:
    """S3, the nodes, and the driver. `env` is what prep needs to find S3, `s3` a client past the proxy."""

    nodes: Nodes
    proxy: S3Proxy
    resident: Resident
    env: dict[str, str]
    s3: Any
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def source(self, toml: Path, *, checked: bool = True) -> str:
        """Put the archives of a data set into S3; returns their address.

        Without `checked` nothing says what their digests are, and they must be computed.
        """
        prefix = f"archives-{next(self._numbers)}"
        for path in (toml.parent / "archives").iterdir():
            self.put(f"{prefix}/{path.name}", path.read_bytes(), checked=checked)
        return f"s3://{BUCKET}/{prefix}"

    def put(self, key: str, data: bytes, *, checked: bool = True) -> None:
        """Write an object; without `checked` in parts, so that its ETag is no digest."""
        if checked:
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        else:
            self.s3.upload_fileobj(io.BytesIO(data), BUCKET, key, Config=IN_PARTS)

    def place(self) -> str:
        """A new address for packed files."""
        return f"s3://{BUCKET}/packed-{next(self._numbers)}"

    def command(self, toml: Path, source: str, packed: str, *more: str) -> list[str]:
        """The command line of a job on the nodes."""
        where = ["--address", self.nodes.address, "--source", source, "--packed", packed]
        return ["pack", "--on", "ray", "--dataset", str(toml), *where, *more]

    def pack(self, toml: Path, source: str, packed: str, *more: str) -> "subprocess.CompletedProcess[str]":
        """Pack with the driver that stays connected."""
        arguments = self.command(toml, source, packed, *more)
        answer = self.resident.ask(main=arguments)
        return subprocess.CompletedProcess(arguments, answer["code"], answer["out"], answer["err"])

    def objects(self, packed: str) -> dict[str, Any]:
        """What S3 lists of each object below an address, by its name there."""
        prefix = f"{packed.removeprefix(f's3://{BUCKET}/')}/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {each["Key"].removeprefix(prefix): each for page in pages for each in page.get("Contents", [])}

    def read(self, packed: str, name: str) -> bytes:
        """An object below an address."""
        key = f"{packed.removeprefix(f's3://{BUCKET}/')}/{name}"
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def files(self, packed: str) -> dict[str, str]:
        """SHA-256 of every packed file, by name. Nothing else may be left, but what verify needs."""
        names = [name for name in self.objects(packed) if not name.startswith(".prep/")]
        assert self.uploads(packed) == []
        return {name: hashlib.sha256(self.read(packed, name)).hexdigest() for name in names}

    def uploads(self, packed: str) -> list[Any]:
        """The uploads below an address that are neither completed nor aborted."""
        prefix = packed.removeprefix(f"s3://{BUCKET}/")
        found: list[Any] = self.s3.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", [])
        return found


@contextlib.contextmanager
def stand_at(server: S3Server, nodes: int) -> Iterator[Stand]:
    """Start the rest of it."""
    with S3Proxy(server.endpoint) as proxy:
        env = server.environment() | {"AWS_ENDPOINT_URL": proxy.endpoint}
        s3 = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=REGION,
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=server.secret_access_key,
        )
        s3.create_bucket(Bucket=BUCKET)
        with ray_nodes(nodes, env) as cluster, _resident(cluster, env) as resident:
            yield Stand(cluster, proxy, resident, env, s3)


@contextlib.contextmanager
def _resident(nodes: Nodes, env: dict[str, str]) -> Iterator[Resident]:
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.prep.cluster.resident", nodes.address],
        cwd=REPOSITORY,
        env=environment(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Resident(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def here(toml: Path, folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """Pack on this machine, in the same sizes."""
    (folder / "root").mkdir(parents=True, exist_ok=True)
    if not (folder / "root" / "archives").exists():
        (folder / "root" / "archives").symlink_to(toml.parent / "archives")
    where = ["--root", str(folder / "root"), "--packed", str(folder / "packed")]
    return run("pack", "--dataset", str(toml), *where, *more, program=SCALED)
