"""One job of `pack --on ray`, with its own prefix in S3: started, disturbed, killed, and run again."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report import REPOSITORY, BenchError
from bench.rigs.ray_nodes import Nodes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROGRAM = "bench.rigs.scaled_cluster"
PACKING = ".packing/"
# The objects that say that a unit is dealt, or a range merged.
DONE = {"deal": re.compile(r"/unit-\d+\.json$"), "merge": re.compile(r"/range-\d+\.json$")}
LOOK_SECONDS = 0.05
LIMIT_SECONDS = 300.0  # of one command; it takes twenty on a quiet machine


@dataclass(frozen=True)
class Place:
    """Where all jobs work."""

    nodes: Nodes
    client: "S3Client"
    environment: Mapping[str, str]
    description: Path
    bucket: str
    source: str
    folder: Path


@dataclass
class Job:
    """A job. `again` has the journals of units and ranges that were there, and were written once more."""

    place: Place
    name: str
    again: set[str] = field(default_factory=set)
    _process: "subprocess.Popen[bytes] | None" = None
    _before: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """What the driver has said."""
        return self.place.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start the driver."""
        where = ("--source", self.place.source, "--packed", f"s3://{self.place.bucket}/{self.name}")
        what = ("--dataset", str(self.place.description), "--address", self.place.nodes.address)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - commands of this repository
                [sys.executable, "-m", PROGRAM, "pack", "--on", "ray", "--no-progress", *what, *where],
                cwd=REPOSITORY,
                env=dict(self.place.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                process_group=0,
            )
        self._deadline = time.monotonic() + LIMIT_SECONDS

    def objects(self, under: str = "") -> dict[str, Any]:
        """What S3 lists of each object of the job, by its name."""
        prefix = f"{self.name}/"
        pages = self.place.client.get_paginator("list_objects_v2")
        return {
            each["Key"].removeprefix(prefix): each
            for page in pages.paginate(Bucket=self.place.bucket, Prefix=prefix + under)
            for each in page.get("Contents", ())
        }

    def done(self) -> dict[str, int]:
        """How many units are dealt and ranges merged, as far as it is noted."""
        names = self._look()
        return {phase: sum(bool(done.search(name)) for name in names) for phase, done in DONE.items()}

    def _look(self) -> dict[str, Any]:
        """The journals that are there; notes those that have been written again."""
        there = self.objects(PACKING)
        for name, before in self._before.items():
            if name in there and there[name]["LastModified"] != before["LastModified"]:
                self.again.add(name)
        return there

    def remember(self) -> None:
        """From now on, watch whether journals that are there are written again."""
        there = self.objects(PACKING)
        done = [name for name in there if any(each.search(name) for each in DONE.values())]
        self._before = {name: there[name] for name in done}

    def until(self, reached: Callable[[], bool]) -> bool:
        """Wait for something; False if the driver has ended before.

        Raises:
            BenchError: the driver has failed, or takes too long.
        """
        if self._process is None:
            raise BenchError(f"{self.name} is not running")
        while not reached():
            code = self._process.poll()
            if code:
                said = self.log.read_text(errors="replace").strip().splitlines() or ["nothing"]
                raise BenchError(f"{self.name}: the driver failed with {code}: {said[-1]} ({self.log})")
            if code == 0:
                return False
            if time.monotonic() > self._deadline:
                self.kill()
                raise BenchError(f"{self.name}: took over {LIMIT_SECONDS:.0f} s: {self.log} has more")
            time.sleep(LOOK_SECONDS)
        return True

    def end(self) -> None:
        """Wait until the driver has ended by itself."""

        def never() -> bool:
            self._look()
            return False

        self.until(never)
        self._process = None

    def kill(self) -> bool:
        """Kill the driver; False if it had just ended by itself."""
        if self._process is None:
            raise BenchError(f"{self.name} is not running")
        os.killpg(self._process.pid, signal.SIGKILL)
        killed = self._process.wait() == -signal.SIGKILL
        self._process = None
        return killed

    def files(self) -> dict[str, str]:
        """SHA-256 of every packed file, by name."""
        names = [name for name in self.objects() if not name.startswith((PACKING, ".prep/"))]
        return {name: digest(self._chunks(name)) for name in names}

    def _chunks(self, name: str) -> Iterator[bytes]:
        body = self.place.client.get_object(Bucket=self.place.bucket, Key=f"{self.name}/{name}")["Body"]
        return body.iter_chunks(1 << 20)

    def left(self) -> list[str]:
        """What should not be there after the end."""
        return list(self.objects(PACKING))

    def uploads(self) -> list[str]:
        """Uploads that are neither completed nor aborted."""
        listed = self.place.client.list_multipart_uploads(Bucket=self.place.bucket, Prefix=f"{self.name}/")
        return [each["UploadId"] for each in listed.get("Uploads", ())]

    def ranges(self) -> int:
        """How many ranges the job had."""
        key = f"{self.name}/.prep/ranges.json"
        return len(json.loads(self.place.client.get_object(Bucket=self.place.bucket, Key=key)["Body"].read()))

    def remove(self) -> None:
        """Give the space back."""
        for name in self.objects():
            self.place.client.delete_object(Bucket=self.place.bucket, Key=f"{self.name}/{name}")
        self.log.unlink()


def digest(chunks: Iterator[bytes]) -> str:
    """SHA-256, hexadecimal."""
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()
