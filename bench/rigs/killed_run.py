"""One run of `prep`, with its own folders and bucket: started, killed at a moment, started again."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import REPOSITORY, BenchError
from bench.rigs import losses as lost
from bench.rigs.losses import Losses, Sizes
from bench.rigs.ours import Place
from bench.rigs.phases import ARRIVE, PHASES, Watch, look
from bench.rigs.scaled import SCALED, SHIPPED
from bench.workloads.workload import Workload
from rehearsal.servers.archive import ArchiveServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROGRAMS = {"prep": SHIPPED, "bench.rigs.scaled": SCALED}  # and their limits
LOOK_SECONDS = 0.002  # often enough for a moment, and no burden on the machine
LIMIT_SECONDS = 300.0  # of one command; it takes ten on a quiet machine
SETTLE_SECONDS = 0.3  # until the archives' server has noticed that nobody listens: its pause, and a bit


@dataclass(frozen=True)
class Aim:
    """A moment: in which phase, and where in it, from 0 (its begin) to 1."""

    phase: str
    where: float


@dataclass(frozen=True)
class Paces:
    """Of an undisturbed run: seconds and journal entries of every phase, and the sizes of its work."""

    seconds: dict[str, float]
    entries: dict[str, int]
    sizes: Sizes


@dataclass(frozen=True)
class Stand:
    """The servers that all runs use, and the data."""

    data: Workload
    site: ArchiveServer
    client: "S3Client"
    environment: dict[str, str]
    folder: Path


@dataclass
class Tally:
    """What came of all kills."""

    aimed: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)
    where: dict[str, list[float]] = field(default_factory=dict)
    identical: int = 0
    runs: int = 0
    different: list[str] = field(default_factory=list)
    orphans: int = 0
    losses: Losses = field(default_factory=Losses)

    @property
    def kills(self) -> int:
        """All of them."""
        return self.aimed.total()


class Run:
    """One run of prep, with its own folders and bucket, started as often as it is killed."""

    def __init__(self, stand: Stand, program: str, name: str) -> None:
        self.stand = stand
        self.program = program
        folder = stand.folder / name
        folder.mkdir()
        self.place = Place(folder / "root", folder / "packed", stand.data.description, folder / "prep.log")
        described = tomllib.loads(stand.data.description.read_text())
        files = [archive["file"] for archive in described["archives"]]
        sizes = {file: (stand.data.archives / file).stat().st_size for file in files}
        images = tuple(split["archive"] for split in described["splits"].values())
        self.watch = Watch(self.place, sizes, images, PROGRAMS[program].range_bytes)
        self.bucket = name
        stand.client.create_bucket(Bucket=name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it is running, or has ended and nobody has asked how."""
        return self._process is not None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The running command."""
        if self._process is None:
            raise BenchError(f"kill: {self.bucket} is not running")
        return self._process

    def start(self) -> None:
        """Start the command."""
        self._sent = self.stand.site.bytes_sent
        self._kept = self.watch.downloaded()
        where = ("--root", str(self.place.root), "--packed", str(self.place.packed))
        what = (
            "--dataset",
            str(self.place.description),
            "--source",
            self.stand.site.url,
            "--bucket",
            self.bucket,
        )
        with self.place.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - commands of this repository
                [sys.executable, "-m", self.program, "run", "--no-progress", *what, *where],
                cwd=REPOSITORY,
                env=self.stand.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                process_group=0,
            )
        self._deadline = time.monotonic() + LIMIT_SECONDS

    def running(self) -> bool:
        """Whether it still runs, after a moment.

        Raises:
            BenchError: it failed, or takes too long.
        """
        time.sleep(LOOK_SECONDS)
        if time.monotonic() > self._deadline:
            self._kill()
            raise BenchError(f"kill: a run took over {LIMIT_SECONDS:.0f} s: {self.place.log} has more")
        code = self.process.poll()
        if code:
            said = self.place.log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise BenchError(f"kill: a run failed with {code}: {said[-1]} ({self.place.log})")
        return code is None

    def end(self) -> None:
        """Wait for its end."""
        while self.running():
            time.sleep(0.01)
        self._process = None

    def _kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._process = None

    def undisturbed(self) -> Paces:
        """Run to the end, and note how long each phase takes."""
        self.start()
        first: dict[str, float] = {}
        last: dict[str, float] = {}
        counts: Counter[str] = Counter()
        while self.running():
            now = time.monotonic()
            seen = look(self.process.pid)
            for phase in PHASES:
                if phase not in last:
                    counts[phase] = max(counts[phase], self.watch.counted(phase))
                    if phase not in first and self.watch.begun(phase, seen):
                        first[phase] = now
                    if phase in first and self.watch.over(phase):
                        last[phase] = now
        now = time.monotonic()
        self._process = None
        missing = [phase for phase in PHASES if phase not in first]
        if missing:
            raise BenchError(f"kill: too quick to be seen: {', '.join(missing)}: take more data")
        return Paces(
            {phase: last.get(phase, now) - first[phase] for phase in PHASES},
            dict(counts),
            self._sizes(),
        )

    def _sizes(self) -> Sizes:
        facts = json.loads((self.place.packed / "MANIFEST.json").read_text())
        recs = {name: fact["bytes"] for name, fact in facts["files"].items() if name.endswith(".rec")}
        return Sizes(*lost.inventoried(self.watch), recs, PROGRAMS[self.program])

    def until_killed(self, waiting: list[Aim], paces: Paces, tally: Tally) -> list[Aim]:
        """Run until the first moment that can be hit, and kill; takes aims from `waiting`.

        Returns those that it was past.
        """
        missed = []
        if not self.alive:
            self.start()
        while waiting:
            aim = waiting.pop(0)
            if self._reach(aim, paces) and self._hit(aim, paces, tally):
                break
            missed.append(aim)
        return missed

    def _reach(self, aim: Aim, paces: Paces) -> bool:
        """Wait for a moment; False if the phase is over before."""
        while not self.watch.begun(aim.phase, look(self.process.pid)):
            if self.watch.over(aim.phase) or not self.running():
                return False
        total = paces.entries.get(aim.phase, 0)
        wanted, rest = divmod(aim.where * (total or 1), 1)
        while total and self.watch.counted(aim.phase) < wanted:
            if self.watch.over(aim.phase) or not self.running():
                return False
        begun = time.monotonic()
        wait = rest * paces.seconds[aim.phase] / (total or 1)
        while time.monotonic() < begun + wait:
            if self.watch.over(aim.phase) or not self.running():
                # It took less than in the undisturbed run: the same moment is reached the next time.
                paces.seconds[aim.phase] *= 0.8
                return False
        return not self.watch.over(aim.phase)

    def _hit(self, aim: Aim, paces: Paces, tally: Tally) -> bool:
        """Kill, and see what it cost; False if it had just ended by itself."""
        seen = look(self.process.pid)
        at = lost.positions(self.process.pid, seen)
        process = self.process
        self._kill()
        if process.returncode != -signal.SIGKILL:
            self._process = process
            return False
        under_way = self.watch.under_way()
        tally.aimed[aim.phase] += 1
        tally.under_way.update(under_way)
        tally.where.setdefault(aim.phase, []).append(aim.where)
        if ARRIVE in under_way:
            time.sleep(SETTLE_SECONDS)
            sent = self.stand.site.bytes_sent - self._sent
            kept = self.watch.downloaded() - self._kept
            lost.fetched(tally.losses, self.watch, paces.sizes.limits, sent, kept)
        lost.after_kill(tally.losses, self.watch, paces.sizes, at)
        tally.orphans += lost.sent(tally.losses, self.watch, paces.sizes, self.stand.client, self.bucket)
        return True

    def contents(self) -> dict[str, str]:
        """What has to be the same each time, by name: digests of all files and objects.

        Journals, receipts and the status say when and how it was done: of these only the names.
        """
        found: dict[str, str] = {}
        for top in (self.place.root, self.place.packed):
            for path in top.rglob("*"):
                name = str(path.relative_to(top.parent))
                if path.is_file():
                    noted = name.startswith("root/.prep/") and path.name != "inventory.tsv"
                    found[name] = "" if noted else _digest(path)
        for key in self._keys():
            body = self.stand.client.get_object(Bucket=self.bucket, Key=key)
            digest = hashlib.sha256()
            for chunk in body["Body"].iter_chunks(1 << 20):
                digest.update(chunk)
            noted = "/receipts/" in key or key.endswith("/status.json")
            found[f"s3/{key}"] = "" if noted else f"{digest.hexdigest()} {sorted(body['Metadata'].items())}"
        return found

    def _keys(self) -> Iterator[str]:
        for page in self.stand.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for entry in page.get("Contents", ()):
                yield entry["Key"]

    def remove(self) -> None:
        """Give the space back; there would be gigabytes in the end."""
        shutil.rmtree(self.place.root.parent)
        for key in list(self._keys()):
            self.stand.client.delete_object(Bucket=self.bucket, Key=key)
        self.stand.client.delete_bucket(Bucket=self.bucket)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
