"""What a job on a cluster makes, and the names of the objects that keep what is done.

The objects are listed in docs/cluster.md. Those under `.packing` are removed when all is packed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prep.aws.clients import silent
from prep.cluster.place import Place, client
from prep.datasets.classes import Devkit
from prep.datasets.description import Archive, Split
from prep.records.dealing import PackSettings
from prep.sources.s3 import S3Source
from prep.sources.source import Version

PACKING = ".packing/"
KEPT = ".prep/"
PLAN = f"{PACKING}plan.json"
RANGES = f"{KEPT}ranges.json"
MANIFEST = "MANIFEST.json"
CLASSES = "classes.tsv"
# S3 serves 5,500 GET requests a second for each prefix of keys, once it has noticed that there are many.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
PREFIXES = 16


def packing(split: str) -> str:
    """The beginning of the names, below `Work.doing`, of what is kept of a split while it is packed."""
    return f"{split}/"


def unit_name(split: str, number: int, kind: str) -> str:
    """A unit's journal ("json") or its entries ("entries")."""
    return f"{packing(split)}{number % PREFIXES:x}/unit-{number:05d}.{kind}"


def range_name(split: str, number: int, kind: str) -> str:
    """A range's journal ("json"), or its piece of the index ("idx") or of the list ("lst")."""
    return f"{packing(split)}{number % PREFIXES:x}/range-{number:05d}.{kind}"


def units_name(split: str) -> str:
    """Where the units of an archive end, and whether its headers were read one by one: {"ends", "walked"}."""
    return f"{packing(split)}units.json"


def digest_name(split: str, file: str) -> str:
    """The state of the digest of an archive or a file: {"through", "state"}, and the "upload" of the file."""
    return f"{packing(split)}digest-{file}.json"


def upload_name(part: str) -> str:
    """The upload of a `.rec` file: {"upload"}."""
    return f"{part}.upload.json"


def inventory_name(split: str, number: int) -> str:
    """The originals of the images of a range, for verify."""
    return f"{KEPT}inventory/{split}-{number:05d}.tsv"


def devkit_name(file: str) -> str:
    """The copy of the devkit, for verify."""
    return f"{KEPT}devkit/{file}"


def receipt_name(stage: str) -> str:
    """The receipt of a stage."""
    return f"{KEPT}{stage}.json"


@dataclass(frozen=True)
class RemoteArchive:
    """The archive of a split in S3, of which every read must get the same version."""

    source: Place
    archive: Archive
    size: int
    etag: str

    @property
    def path(self) -> Path:
        """What messages call it."""
        return Path(f"{self.source.bucket}/{self.source.key(self.archive.file)}")

    @property
    def url(self) -> str:
        """Its address."""
        return self.source.url(self.archive.file)

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end).

        Raises:
            SourceChangedError: the archive has been replaced.
            AwsError: S3 refuses or fails.
        """
        return self._opened().read(self.archive, self._version, start, end)

    def read_into(self, start: int, target: memoryview) -> None:
        """Fill `target` with the bytes from `start` on.

        Raises:
            SourceChangedError: the archive has been replaced.
            AwsError: S3 refuses or fails.
        """
        self._opened().read_into(self.archive, self._version, start, target)

    @property
    def _version(self) -> Version:
        return Version(self.size, self.etag)

    def _opened(self) -> S3Source:
        return S3Source(client(), self.source.bucket, self.source.prefix, silent)


@dataclass(frozen=True)
class Work:
    """What every task of a job gets: it is sent to the cluster once.

    `plan` names the job by all that its files depend on. What is kept while it runs lies below that name, so
    that a task of another job, which may still run after its driver was killed, can't change what this one
    makes.

    `buckets` is the number of buckets of each split. `made_with` are the settings and the codec of the
    machine that began the job: a worker with another codec would make other bytes. A range has about
    `range_bytes` of records.
    """

    packed: Place
    plan: str
    splits: Mapping[str, Split]
    archives: Mapping[str, RemoteArchive]
    buckets: Mapping[str, int]
    settings: PackSettings
    made_with: Mapping[str, Any]
    devkit: Devkit | None
    range_bytes: int

    @property
    def doing(self) -> Place:
        """Where the job keeps what it has done."""
        return Place(self.packed.bucket, f"{self.packed.prefix}{PACKING}{self.plan}/")
