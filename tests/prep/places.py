"""Places where runs work, with a server for the archives and S3 behind a proxy, and what goes wrong there."""

import contextlib
import hashlib
import itertools
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3

from prep import contract
from prep.archives.journal import UnitJournal
from rehearsal.servers.archive import ArchiveServer, Fault, Request
from tests.prep.bulk import bulky
from tests.prep.commands import run, start
from tests.prep.hasty import RANGE_BYTES
from tests.prep.overlapping import OVERLAPPING
from tests.prep.run_faults import RunFault
from tests.prep.s3_proxy import S3Proxy
from tests.prep.small_sets import Images
from tests.prep.tars import header_offsets

BUCKET = "overlap"
SITE = {contract.ENV_USERNAME: "someone", contract.ENV_ACCESS_KEY: "hush/hush"}
AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
IMAGE_BYTES = 130_000
IMAGES = {"validation": 10, "train": 60}
SPLITS: dict[str, Images] = {
    split: {
        name: {f"{number}.jpg": bulky(IMAGE_BYTES, number + count) for number in range(first, count, 2)}
        for first, name in enumerate(("cat", "dog"))
    }
    for split, count in IMAGES.items()
}
MB = 1 << 20
PACKED = {"MANIFEST.json", *(f"{split}.{kind}" for split in IMAGES for kind in ("rec", "idx", "lst"))}
Files = dict[str, str]


def changed(data: bytes, member: int) -> bytes:
    """Another byte in the image that is the archive's n-th member."""
    place = header_offsets(data)[member] + tarfile.BLOCKSIZE + 1000
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def hostile(data: bytes) -> bytes:
    """Another name for a member in the middle."""
    place = header_offsets(data)[30]
    info = tarfile.TarInfo.frombuf(data[place : place + tarfile.BLOCKSIZE], "utf-8", "strict")
    info.name = "../evil.jpg"
    return data[:place] + info.tobuf(tarfile.GNU_FORMAT) + data[place + tarfile.BLOCKSIZE :]


OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "last byte": lambda data: changed(data, -1),
    "image": lambda data: changed(data, 1),
    "hostile": hostile,
}


class Place:
    """Where a run works: its folders, the server with the archives, and S3 behind a proxy."""

    def __init__(self, toml: Path, folder: Path, server: ArchiveServer, proxy: S3Proxy) -> None:
        self.root, self.packed = folder / "root", folder / "packed"
        self.toml, self.server, self.proxy = toml, server, proxy
        self.env = SITE | AWS | {"AWS_ENDPOINT_URL": proxy.endpoint}
        self.s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{proxy.backend}",  # past the proxy, which may do harm
            region_name=AWS["AWS_DEFAULT_REGION"],
            aws_access_key_id=AWS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=AWS["AWS_SECRET_ACCESS_KEY"],
        )
        self.s3.create_bucket(Bucket=BUCKET)

    @property
    def command(self) -> list[str]:
        where = ["--root", str(self.root), "--packed", str(self.packed), "--source", self.server.url]
        return ["run", "--dataset", str(self.toml), *where, "--bucket", BUCKET]

    def run(self, *more: str, **env: str) -> Any:
        return run(*self.command, *more, env=self.env | env, program=OVERLAPPING)

    def start(self, **env: str) -> Any:
        return start(*self.command, env=self.env | env, program=OVERLAPPING)

    def asked(self, file: str) -> list[int]:
        """The beginnings of the ranges of a file that were asked for."""
        ranges = [asked.range or "" for asked in self.server.requests if asked.file == file]
        return [int(given[6:].partition("-")[0]) for given in ranges if given != "bytes=0-0"]

    def has_asked(self, times: int) -> bool:
        """Whether the server was asked more often than that."""
        return len(self.server.requests) > times

    def ranges(self, file: str) -> int:
        """How many ranges a file has."""
        return -(-(self.toml.parent / "archives" / file).stat().st_size // RANGE_BYTES)

    def bytes_packed(self) -> int:
        """Bytes of the units that pack has finished."""
        journal = self.packed / ".packing" / "journal.jsonl"
        return UnitJournal.peek(journal) if journal.exists() else 0

    def published(self) -> set[str]:
        """What others would take for done."""
        receipts = {path.stem for path in (self.root / ".prep").glob("*.json")}
        files = {path.name for path in self.packed.iterdir()} & PACKED
        listed = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return receipts | files | {entry["Key"] for entry in listed if not _says_how_far(entry["Key"])}

    def result(self) -> Files:
        """SHA-256 of every file and object but receipts, journals and the status."""
        folders = [self.packed, *(self.root / name for name in ("archives", *IMAGES))]
        found = {
            f"{folder.name}/{path.relative_to(folder)}": path.read_bytes()
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file()
        }
        keys = [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
        found |= {
            f"s3/{key}": self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            for key in keys
            if "/receipts/" not in key and not _says_how_far(key)
        }
        assert "Uploads" not in self.s3.list_multipart_uploads(Bucket=BUCKET)
        return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def _says_how_far(key: str) -> bool:
    return key.endswith("/status.json")


@contextlib.contextmanager
def place_at(toml: Path, folder: Path, endpoint: str) -> Iterator[Place]:
    """A place where nothing goes wrong yet."""
    with ArchiveServer(toml.parent / "archives", *SITE.values()) as server, S3Proxy(endpoint) as proxy:
        yield Place(toml, folder, server, proxy)


def disturb(place: Place, fault: RunFault) -> None:
    """Have the servers do what goes wrong."""
    good, plan, count = place.server.archives, fault.plan(), itertools.count(1)
    if fault.served:
        place.server.archives = place.root.parent / "other"
        shutil.copytree(good, place.server.archives)
        other = place.server.archives / "train.tar"
        other.write_bytes(OTHERS[fault.served](other.read_bytes()))
        if fault.served == "last byte":  # a mistake on the way, of the same version
            os.utime(other, ns=(0, (good / "train.tar").stat().st_mtime_ns))

    def planned(asked: Request) -> Fault | None:
        if next(count) == fault.good_from:
            place.server.archives = good
        return plan(asked)

    place.server.plan, place.proxy.plan = planned, fault.s3()
    place.server.requests.clear()
    place.proxy.requests.clear()


def mend(place: Place) -> None:
    """Have the servers do nothing wrong any more."""
    place.server.plan = place.proxy.plan = None
    place.server.archives = place.toml.parent / "archives"
