"""Packing on one machine and on Ray, each run and measured as a user runs it, on the same S3 server."""

import json
import os
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import boto3

from bench.report import BenchError
from bench.rigs import ours
from bench.rigs.process import peak_memory, run
from bench.rigs.process_tree import Memory, TreeWatch, busy_seconds
from bench.rigs.ray_head import is_worker, pinned, ray_head
from bench.workloads.workload import Workload, scratch
from rehearsal.servers.s3 import REGION, S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ARCHIVES = "archives"  # the bucket that has the archives, and their prefix there
PACKED = "packed"  # the prefix of packed files in a bucket
FOLDER = "cluster"  # of the scratch folder
Files = dict[str, dict[str, Any]]
"""The files of a manifest: {name: {"bytes", "sha256"}}."""


@dataclass(frozen=True)
class Packed:
    """One packing: how many images, and what it took.

    Attributes:
        seconds: by the clock, the start of the commands included, that of Ray's cluster not.
        inner: the same without the start of the commands.
        ray_start: until Ray's cluster was there; 0 without Ray.
        ours: processor seconds of our processes and Ray's.
        server: processor seconds of the S3 server meanwhile.
        others: processor seconds of everything else on this machine meanwhile.
        workers: the most memory of each process that has run tasks; without Ray, of the command `pack`.
        steps: seconds of each command, its start not included, by name.
        files: what the manifest says of the packed files.
    """

    images: int
    seconds: float
    inner: float
    ray_start: float
    ours: float
    server: float
    others: float
    workers: tuple[Memory, ...]
    steps: Mapping[str, float]
    files: Files


@dataclass
class Store:
    """The S3 server as the commands see it, with the archives in it."""

    server: S3Server
    client: "S3Client"
    used: int = field(default=0)

    @contextmanager
    def bucket(self) -> Iterator[str]:
        """A new bucket, which goes with all that is in it."""
        self.used += 1
        name = f"packed-{self.used}"
        self.client.create_bucket(Bucket=name)
        try:
            yield name
        finally:
            self.client.delete_bucket(Bucket=name)


def store(server: S3Server, *workloads: Workload) -> Store:
    """The store, with the archives of these workloads sent to it."""
    client = client_of(server.endpoint, server)
    client.create_bucket(Bucket=ARCHIVES)
    for path in sorted(path for data in workloads for path in data.archives.iterdir()):
        client.upload_file(str(path), ARCHIVES, f"{ARCHIVES}/{path.name}")
    return Store(server, client)


def client_of(endpoint: str, server: S3Server) -> "S3Client":
    """A client of a server, at that endpoint."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
    )


@dataclass(frozen=True)
class Task:
    """What is to be packed, how, and on which cores (None: on all)."""

    data: Workload
    options: tuple[str, ...]
    cores: set[int] | None


def on_disk(there: Store, task: Task, threads: int) -> Packed:
    """Local `pack`: archives and packed files on this machine's disk."""
    place = ours.beside(scratch(FOLDER), task.data.archives, task.data.description)
    with Meter(there) as meter:
        step = _prep(place, task, "pack", *_local(place), "--threads", str(threads))
    return _packed({"pack": step}, meter, _manifest_on(place))


def through_s3(there: Store, task: Task, threads: int) -> Packed:
    """The same work as on Ray: archives from S3, packed files to S3. Three commands, one after the other."""
    place = _place(task)
    environment = there.server.environment()
    local, source = _local(place), ("--source", f"s3://{ARCHIVES}/{ARCHIVES}")
    with there.bucket() as bucket:
        with Meter(there) as meter:
            steps = {
                "download": _prep(place, task, "download", *local, *source, environment=environment),
                "pack": _prep(place, task, "pack", *local, "--threads", str(threads)),
                "send": _send(place, task, bucket, environment),
            }
        manifest = _manifest_on(place)
        _check(there, bucket, manifest["files"])
    return _packed(steps, meter, manifest)


def on_ray(there: Store, task: Task, cpus: int, endpoint: str | None = None) -> Packed:
    """`pack --on ray` on a new cluster of that many CPUs; `endpoint` is a proxy before the S3 server."""
    place = _place(task)
    environment = there.server.environment() | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})
    with there.bucket() as bucket, ray_head(cpus, environment, task.cores) as head:
        on = ("--on", "ray", "--address", head.address, *_in_s3(bucket))
        with Meter(there, head.pids) as meter:
            step = _prep(place, task, "pack", *on, environment=environment | dict(head.environment))
        manifest = _manifest_in(there, bucket)
    return _packed({"pack": step}, meter, manifest, head.seconds)


def without_ray(there: Store, task: Task, _cores: int) -> Packed:
    """The tasks of `pack --on ray` in one process, one after the other."""
    place = _place(task)
    environment = there.server.environment()
    with there.bucket() as bucket:
        words = [
            "bench.rigs.without_ray",
            "--dataset",
            str(place.description),
            *_in_s3(bucket),
            *task.options,
        ]
        with Meter(there) as meter:
            step = _run(place, task, words, environment, None)
        manifest = _manifest_in(there, bucket)
    return _packed({"pack": step}, meter, manifest)


@dataclass(frozen=True)
class _Step:
    """A command: its seconds, those without its start, and the most memory of its process."""

    seconds: float
    inner: float
    memory: int


class Meter:
    """What our commands, Ray's nodes and the S3 server use, for the length of a `with` block.

    `nodes` are the first processes of Ray's nodes. Afterwards, `ours`, `server` and `others` are processor
    seconds, and `workers` the most memory of each process of Ray's that ran tasks.
    """

    def __init__(self, there: Store, nodes: Sequence[int] = ()) -> None:
        self.ours = self.server = self.others = 0.0
        self.workers: tuple[Memory, ...] = ()
        self._ray = TreeWatch(nodes, is_worker)
        self._server = TreeWatch([there.server.pid])

    def __enter__(self) -> Self:
        os.sync()  # what the one before left to be written is not this one's to wait for
        self._before, self._busy = _commands(), busy_seconds()
        self._ray.__enter__()
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(None, None, None)
        self._ray.__exit__(None, None, None)
        self.ours = _commands() - self._before + self._ray.seconds
        self.server = self._server.seconds
        self.others = max(0.0, busy_seconds() - self._busy - self.ours - self.server)
        self.workers = tuple(self._ray.peaks.values())


def _commands() -> float:
    """Processor seconds of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _place(task: Task) -> ours.Place:
    folder = scratch(FOLDER)
    return ours.Place(folder / "root", folder / "packed", task.data.description, folder / "prep.log")


def _local(place: ours.Place) -> tuple[str, ...]:
    return ("--root", str(place.root), "--packed", str(place.packed))


def _prep(
    place: ours.Place, task: Task, stage: str, *options: str, environment: Mapping[str, str] | None = None
) -> _Step:
    """Run a command of `prep`; `pack` with the options of the task."""
    packing = task.options if stage == "pack" else ()
    words = ["prep", stage, "--dataset", str(place.description), "--no-progress", "--json"]
    return _run(place, task, [*words, *packing, *options], environment or {}, stage)


def _send(place: ours.Place, task: Task, bucket: str, environment: Mapping[str, str]) -> _Step:
    """Send the packed files to S3."""
    words = ["bench.rigs.sending", str(place.packed), bucket, f"{PACKED}/"]
    return _run(place, task, words, environment, None)


def _run(
    place: ours.Place, task: Task, words: Sequence[str], environment: Mapping[str, str], stage: str | None
) -> _Step:
    """Run a module of ours; its seconds are in its receipt of that stage, or in what it prints."""
    memory = [0]

    def look(pid: int) -> None:
        memory[0] = max(memory[0], peak_memory(pid))

    command = [*pinned(task.cores), sys.executable, "-m", *words]
    ran = run(command, place.log, environment=environment, watch=look)
    told = ours.receipts(ran)[stage] if stage else json.loads(ran.output)
    return _Step(ran.seconds, float(told["seconds"]), memory[0])


def _manifest_on(place: ours.Place) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((place.packed / "MANIFEST.json").read_text())
    return document


def _in_s3(bucket: str) -> tuple[str, ...]:
    return ("--source", f"s3://{ARCHIVES}/{ARCHIVES}", "--packed", f"s3://{bucket}/{PACKED}")


def _manifest_in(there: Store, bucket: str) -> dict[str, Any]:
    """The manifest in a bucket, whose files are there."""
    answer = there.client.get_object(Bucket=bucket, Key=f"{PACKED}/MANIFEST.json")
    document: dict[str, Any] = json.loads(answer["Body"].read())
    _check(there, bucket, document["files"])
    return document


def _check(there: Store, bucket: str, files: Files) -> None:
    """Every file of the manifest is in the bucket, with its size."""
    for name, facts in files.items():
        size = there.client.head_object(Bucket=bucket, Key=f"{PACKED}/{name}")["ContentLength"]
        if size != facts["bytes"]:
            raise BenchError(
                f"cluster: {PACKED}/{name} has {size} bytes in S3, its manifest says {facts['bytes']}"
            )


def _packed(
    steps: Mapping[str, _Step], meter: Meter, manifest: Mapping[str, Any], ray_start: float = 0.0
) -> Packed:
    resident = steps["pack"].memory
    return Packed(
        sum(int(split["records"]) for split in manifest["splits"].values()),
        sum(step.seconds for step in steps.values()),
        sum(step.inner for step in steps.values()),
        ray_start,
        meter.ours,
        meter.server,
        meter.others,
        meter.workers or (Memory(resident, resident),),
        {name: step.inner for name, step in steps.items()},
        manifest["files"],
    )
