"""The faults of a whole `run`: what fails, what the user sees, what to do."""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rehearsal.servers.archive import Fault, Plan
from tests.prep import s3_proxy
from tests.prep.faults import AGAIN, FULL, LATER, Ranges


@dataclass(frozen=True)
class RunFault:
    """A fault during `run`: while the archives arrive or, with `tail`, while it merges, verifies and sends.

    `served` names another version of `train.tar`, which the server has up to the range number `good_from`.
    `plan` and `s3` make what the two servers do wrong. `disk` names the folder whose disk fills up. With
    `stops` the download ends long before the whole archive has arrived.
    """

    what: str
    code: int = 0
    says: str = ""
    served: str = ""
    good_from: int | None = None
    plan: Callable[[], Plan] = lambda: lambda _: None
    s3: Callable[[], s3_proxy.Plan] = lambda: lambda _: None
    disk: str = ""
    remedy: str = AGAIN
    tail: bool = False
    stops: bool = True


class _Away:
    """A plan: S3 is not there for so many seconds, from the first part of each of these files on."""

    def __init__(self, seconds: float, *files: str) -> None:
        self._seconds = seconds
        self._since = dict.fromkeys(files, math.inf)

    def __call__(self, request: s3_proxy.Request) -> s3_proxy.Fault | None:
        now, file = time.monotonic(), request.key.rpartition("/")[2]
        if request.operation == "UploadPart" and file in self._since:
            self._since[file] = min(self._since[file], now)
        away = any(since <= now < since + self._seconds for since in self._since.values())
        return s3_proxy.Fault.CUT if away else None


def _always_new_version() -> Plan:
    numbers = itertools.count()
    return lambda asked: Fault(etag=f'"{next(numbers) // 50}"') if asked.file == "train.tar" else None


def _expired() -> s3_proxy.Plan:
    def plan(asked: s3_proxy.Request) -> s3_proxy.Fault | None:
        of_train = asked.operation == "UploadPart" and asked.key.endswith("/train.tar")
        return s3_proxy.Fault.EXPIRED if of_train else None

    return plan


RUN: dict[str, RunFault] = {
    "last byte": RunFault(
        "One wrong byte at the very end of an archive: what was made of it is forgotten", 5,
        "train.tar: its MD5 is …, should be …; the file was removed: run again to fetch it again, or correct "
        "the description", served="last byte", stops=False),
    "changed": RunFault(
        "An archive is replaced on the server when most of it has arrived: what was made of it is forgotten, "
        "and it arrives anew", served="image", good_from=90),
    "changes for ever": RunFault(
        "An archive is replaced again and again", 4,
        "…/train.tar: the server has another version of it now: run again later",
        plan=_always_new_version, remedy=LATER, stops=False),
    "hostile": RunFault(
        "An archive with a hostile name in its middle", 5, "archive …/train.tar: '../evil.jpg' …",
        served="hostile", remedy="as the message says"),
    "refused": RunFault(
        "The site's credentials expire (HTTP 401)", 3,
        "…/train.tar: refused (HTTP 401): check the user name, the access key and your access",
        plan=lambda: Ranges(lambda count: count >= 80, Fault(status=401)),
        remedy="correct the credentials, then run again"),
    "no ETag": RunFault(
        "The server sends no ETag: each archive is read when it is whole",
        plan=lambda: lambda _: Fault(etag="")),
    "no ranges": RunFault(
        "The server serves no ranges: each archive is read when it is whole",
        plan=lambda: lambda _: Fault(no_ranges=True)),
    "S3 away": RunFault(
        "S3 is away for a while, when units are sent and again when packed files are",
        s3=lambda: _Away(1.0, "train.tar", "train.rec")),
    "S3 away for long": RunFault(
        "S3 is away for longer than ten minutes while the archives arrive", 7,
        "upload bytes … of s3://…: …: run again; it continues where it stopped",
        s3=lambda: _Away(math.inf, "train.tar"), remedy=LATER),
    "S3 away for long at the end": RunFault(
        "The same while the packed files are sent", 7,
        "upload bytes … of s3://…: …: run again; it continues where it stopped",
        s3=lambda: _Away(math.inf, "train.rec"), remedy=LATER, tail=True),
    "AWS login": RunFault(
        "The login to AWS expires", 3,
        "upload bytes … of s3://…: UploadPart: ExpiredToken: The provided token has expired: log in to AWS "
        "again, then run again; it continues where it stopped",
        s3=_expired, remedy="as the message says"),
    "work volume": RunFault(
        "The work volume fills up while images are written", 6, FULL, disk="root",
        remedy="as the message says"),
    "dataset volume": RunFault(
        "The dataset volume fills up while images are distributed over the buckets", 6, FULL, disk="packed",
        remedy="as the message says"),
}  # fmt: skip
