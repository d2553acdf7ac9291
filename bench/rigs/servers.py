"""The servers of a whole road: the archives' site, with its credentials, and S3."""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3

from bench.report import BenchError
from rehearsal.servers.s3 import REGION, S3Server, s3_server

STOP_SECONDS = 10.0  # the site has nothing to finish


@dataclass(frozen=True)
class Servers:
    """Where runs get their archives from, and where they send their backup to."""

    s3: S3Server
    source: str
    credentials: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """What `prep` needs in its environment to talk to both."""
        return self.s3.environment() | self.credentials

    def bucket(self, name: str) -> str:
        """A new bucket of that name."""
        client = boto3.client(
            "s3",
            endpoint_url=self.s3.endpoint,
            region_name=REGION,
            aws_access_key_id=self.s3.access_key_id,
            aws_secret_access_key=self.s3.secret_access_key,
        )
        client.create_bucket(Bucket=name)
        return name


@contextlib.contextmanager
def servers(
    archives: Path, folder: Path, rate: int | None = None, connection_rate: int | None = None
) -> Iterator[Servers]:
    """Serve the archives, and an S3 with its data in `folder`, for the length of a `with` block.

    The site is held to `rate` bytes a second, all connections together, and to `connection_rate` each.

    Raises:
        BenchError: the site did not start.
    """
    credentials = {"PREP_USERNAME": "bench", "PREP_ACCESS_KEY": secrets.token_hex(16)}
    rates = {"--rate": rate, "--connection-rate": connection_rate}
    options = [word for option, amount in rates.items() if amount for word in (option, str(amount))]
    with s3_server(folder / "s3") as s3:
        site = subprocess.Popen(  # noqa: S603 - this repository's
            [sys.executable, "-m", "rehearsal.servers.archive", str(archives), *options],
            env=os.environ | credentials,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        assert site.stdout is not None  # noqa: S101 - for mypy: it is a pipe
        try:
            url = site.stdout.readline().strip()
            if not url:
                raise BenchError(f"{archives}: the archives' server did not start")
            yield Servers(s3, url, credentials)
        finally:
            site.terminate()
            site.wait(STOP_SECONDS)
            site.stdout.close()
