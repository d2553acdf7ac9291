"""The faults of a single command: what fails, what the user sees, what remains on disk, what to do.

In the messages, "…" stands for any text.
"""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from rehearsal.servers.archive import Fault, Plan, Request
from tests.prep import s3_proxy

AGAIN = "run again"
LATER = "run again later"
UNDER_WAY = ("train.tar.journal", "train.tar.partial")
NOTHING: tuple[str, ...] = ()


def matches(words: str, said: str) -> bool:
    """Whether a message has these words, in which "…" stands for any text."""
    return re.fullmatch(".+".join(re.escape(part) for part in words.split("…")), said) is not None


@dataclass(frozen=True)
class ServerFault:
    """A fault of the archive server during `download`.

    `plan` gets the size of the archive. `says` is the error line, or "" if the command succeeds. `left` names
    the files in the archives' folder after a failure. `resumes` tells whether the next run fetches only the
    missing ranges. With `damaged` the server sends other bytes.
    """

    what: str
    plan: Callable[[int], Plan]
    code: int = 0
    says: str = ""
    left: tuple[str, ...] = UNDER_WAY
    remedy: str = LATER
    resumes: bool = True
    damaged: bool = False


class Ranges:
    """A plan that counts requests for ranges of the archive, without the one that asks for its size."""

    def __init__(self, faulty: Callable[[int], bool], fault: Fault) -> None:
        self._faulty = faulty
        self._fault = fault
        self._count = 0

    def __call__(self, request: Request) -> Fault | None:
        if request.range == "bytes=0-0":
            return None
        self._count += 1
        return self._fault if self._faulty(self._count) else None


def _some(fault: Fault) -> Callable[[int], Plan]:
    """Three ranges fail, each once."""
    return lambda _: Ranges(lambda count: count in (2, 5, 9), fault)


def _from_eighth(fault: Fault) -> Callable[[int], Plan]:
    """Every range from the eighth on fails: some have arrived before."""
    return lambda _: Ranges(lambda count: count >= 8, fault)


def _all(fault: Fault) -> Callable[[int], Plan]:
    """Every request fails, also the one for the size."""
    return lambda _: lambda _: fault


def once(fault: Fault) -> Plan:
    """A plan in which only the first range fails."""
    return Ranges(lambda count: count == 1, fault)


def _cut_without_ranges(_: int) -> Plan:
    return lambda asked: Fault(no_ranges=True, cut_after=None if asked.range == "bytes=0-0" else 9000)


def _other_range(size: int) -> Fault:
    return Fault(content_range=f"bytes 0-99/{size}")


def _lastingly(fault: Fault) -> Callable[[int], Plan]:
    """Every request from the eighth on fails, also those for the size."""

    def plan_of(_: int) -> Plan:
        numbers = itertools.count(1)
        return lambda _: fault if next(numbers) >= 8 else None

    return plan_of


def _always_new_etag(_: int) -> Plan:
    numbers = itertools.count()
    return lambda _: Fault(etag=f'"{next(numbers)}"')


SERVER: dict[str, ServerFault] = {
    "cut": ServerFault(
        "Some connections break in the middle of a range", _some(Fault(cut_after=1000))),
    "cut for good": ServerFault(
        "All connections break", _from_eighth(Fault(cut_after=1000)), 4,
        "…/train.tar: …, 10 times: run again later; it continues where it stopped"),
    "stall": ServerFault(
        "The server sometimes stops sending", _some(Fault(stall_after=1000, stall_seconds=30))),
    "stall for good": ServerFault(
        "The server stops sending for good", _from_eighth(Fault(stall_after=0, stall_seconds=30)), 4,
        "…/train.tar: Read timed out, 10 times: run again later; it continues where it stopped"),
    "429": ServerFault(
        "HTTP 429 with Retry-After: `download` waits as long as the server asks",
        _some(Fault(status=429, retry_after=1))),
    "500": ServerFault("HTTP 500, 502 or 503, some of the time", _some(Fault(status=500))),
    "503 for good": ServerFault(
        "HTTP 503 for every request", _from_eighth(Fault(status=503)), 4,
        "…/train.tar: HTTP 503, 10 times: run again later; it continues where it stopped"),
    "other range": ServerFault(
        "Sometimes another range than the requested one", lambda size: _some(_other_range(size))(size)),
    "other range for good": ServerFault(
        "Always another range than the requested one", lambda size: _from_eighth(_other_range(size))(size), 4,
        "…/train.tar: sent bytes 0-99 when asked for …, 10 times: run again later; it continues "
        "where it stopped"),
    "no ranges": ServerFault(
        "The server serves no ranges: one connection fetches the whole file", _all(Fault(no_ranges=True))),
    "no ranges, cut": ServerFault(
        "The same, and the connection breaks", _cut_without_ranges, 4,
        "…/train.tar: … after … bytes, and the server serves no byte ranges to resume with: run again; it "
        "starts from the beginning",
        remedy=AGAIN, resumes=False),
    "whole file once": ServerFault(
        "Sometimes the whole file instead of a range", _some(Fault(no_ranges=True))),
    "changed": ServerFault(
        "The file is replaced on the server (its ETag changes): the download starts from the beginning, and "
        "never mixes two versions",
        _lastingly(Fault(etag='"new"'))),
    "changes for ever": ServerFault(
        "The file is replaced again and again", _always_new_etag, 4,
        "…/train.tar: the server has another version of it now: run again later", resumes=False),
    "web page": ServerFault(
        "A web page with HTTP status 200", _all(Fault(html=True)), 4,
        "…/train.tar: the server sent a web page instead of the archive: open the site in a browser and "
        "check whether your account still has access", NOTHING, "as the message says"),
    "web page later": ServerFault(
        "The same in the middle of the download", _from_eighth(Fault(html=True)), 4,
        "…/train.tar: the server sent a web page instead of the archive: …", remedy="as the message says"),
    "truncated": ServerFault(
        "The file on the server is incomplete", _all(Fault(truncated_to=5000)), 5,
        "train.tar: has 5000 bytes on the server, the description says …: correct the description or the "
        "source",
        NOTHING, "as the message says"),
    "truncated later": ServerFault(
        "It becomes shorter in the middle of the download", _lastingly(Fault(truncated_to=5000)), 5,
        "train.tar: has 5000 bytes on the server, the description says …: correct the description or the "
        "source",
        remedy="as the message says"),
    "damaged": ServerFault(
        "The right number of bytes, but other bytes", lambda _: lambda _: None, 5,
        "train.tar: its MD5 is …, should be …; the file was removed: run again to fetch it again, or correct "
        "the description", NOTHING, "as the message says", resumes=False, damaged=True),
    "expired": ServerFault(
        "The credentials expire in the middle of the download (HTTP 401)", _from_eighth(Fault(status=401)), 3,
        "…/train.tar: refused (HTTP 401): check the user name, the access key and your access",
        remedy="correct the credentials, then run again"),
    "gone": ServerFault(
        "The file disappears in the middle of the download (HTTP 404)", _from_eighth(Fault(status=404)), 4,
        "…/train.tar: not found (HTTP 404): check the description or --source", remedy="as the message says"),
}  # fmt: skip


@dataclass(frozen=True)
class S3Fault:
    """A fault of S3 during `backup`.

    `plan` gets a function that aborts the upload on the server. `kept` tells whether the next run sends only
    the missing parts. With `ended` the upload is aborted between the two runs.
    """

    what: str
    plan: Callable[[Callable[[], None]], s3_proxy.Plan]
    code: int = 0
    says: str = ""
    kept: bool = True
    remedy: str = AGAIN
    ended: bool = False


def _parts(fault: s3_proxy.Fault, of: Callable[[int], bool]) -> Callable[[Callable[[], None]], s3_proxy.Plan]:
    def plan(request: s3_proxy.Request) -> s3_proxy.Fault | None:
        return fault if request.operation == "UploadPart" and of(request.number) else None

    return lambda _: plan


def _now_and_then(number: int) -> bool:
    return number in (0, 2, 3)


def _from_second(number: int) -> bool:
    return number >= 1


def _ends(end: Callable[[], None]) -> s3_proxy.Plan:
    def plan(request: s3_proxy.Request) -> s3_proxy.Fault | None:
        if request.operation == "UploadPart" and request.number == 1:
            end()
        return None

    return plan


def _denied(_: Callable[[], None]) -> s3_proxy.Plan:
    return lambda request: s3_proxy.Fault.DENIED if request.operation == "CompleteMultipartUpload" else None


_S3_AGAIN = "upload bytes … of s3://…: …: run again; it continues where it stopped"
_SLOW_DOWN = (
    "upload bytes … of s3://…: UploadPart: SlowDown: Please reduce your request rate: run again; it "
    "continues where it stopped"
)
S3: dict[str, S3Fault] = {
    "SlowDown": S3Fault("HTTP 503 SlowDown for some parts", _parts(s3_proxy.Fault.SLOW_DOWN, _now_and_then)),
    "SlowDown for good": S3Fault(
        "HTTP 503 SlowDown for every part", _parts(s3_proxy.Fault.SLOW_DOWN, _from_second), 7,
        _SLOW_DOWN, remedy=LATER),
    "cut": S3Fault(
        "Some connections break in the middle of a part",
        _parts(s3_proxy.Fault.CUT, _now_and_then)),
    "cut for good": S3Fault(
        "All connections break", _parts(s3_proxy.Fault.CUT, _from_second), 7, _S3_AGAIN),
    "silence": S3Fault("S3 sometimes stops answering", _parts(s3_proxy.Fault.SILENCE, lambda n: n == 1)),
    "no reply": S3Fault(
        "A part arrives, but its acknowledgement does not", _parts(s3_proxy.Fault.NO_REPLY, _now_and_then)),
    "no reply at the end": S3Fault(
        "The upload is completed, but the acknowledgement does not arrive",
        lambda _: lambda request: (
            s3_proxy.Fault.NO_REPLY
            if (request.operation, request.number) == ("CompleteMultipartUpload", 0) else None)),
    "damaged": S3Fault(
        "A part is damaged on its way: S3 detects it by its checksum and refuses it",
        _parts(s3_proxy.Fault.DAMAGED, lambda n: n == 1)),
    "lost": S3Fault(
        "S3 acknowledges a part and loses it", _parts(s3_proxy.Fault.LOST, lambda n: n == 1), 7,
        "complete the upload of s3://…: S3 has lost parts of it: run again; it is sent again", kept=False),
    "ended between": S3Fault(
        "The upload is aborted on the server between two runs, for example by a lifecycle rule",
        _parts(s3_proxy.Fault.SLOW_DOWN, _from_second), 7,
        _SLOW_DOWN, kept=False, ended=True),
    "ended": S3Fault(
        "The upload is aborted while it is under way", _ends, 7, _S3_AGAIN,
        kept=False),
    "denied": S3Fault(
        "The role may not complete an upload", _denied, 7,
        "complete the upload of s3://…: CompleteMultipartUpload: AccessDenied: Access Denied: allow this "
        "role to call CompleteMultipartUpload", remedy="as the message says"),
}  # fmt: skip


@dataclass(frozen=True)
class DiskFault:
    """A full disk: the stage, which of the two folders is on it, its free bytes, and what remains.

    `first` are the stages done before. With `unknown_size` the description gives no size for the archive.
    """

    what: str
    stage: str
    disk: str
    leave: int
    says: str
    left: str
    first: tuple[str, ...] = ()
    unknown_size: bool = False


FULL = "writing to …: the disk is full: make room or grow the volume, then run again; finished work is kept"
_MB = 1 << 20
DISK: dict[str, DiskFault] = {
    "before download": DiskFault(
        "The disk is too small for the archives", "download", "root", 3 * _MB,
        "…/archives: … GB free, … GB needed for the files to fetch: grow the volume, or give another folder",
        "nothing was fetched"),
    "download": DiskFault(
        "The disk fills up at the start of an archive whose size the description does not give",
        "download", "root", 3 * _MB, FULL,
        "an empty journal, and the space that could be reserved", unknown_size=True),
    "organize": DiskFault(
        "The disk fills up while images are written", "organize", "root", 3 * _MB, FULL,
        "images; the journal names those that are complete"),
    "inventory": DiskFault(
        "The work volume has no free block when packing begins", "pack", "root", 0, FULL, "nothing"),
    "deal": DiskFault(
        "The dataset volume fills up while images are distributed over the buckets",
        "pack", "packed", 3 * _MB, FULL,
        "buckets and their journal"),
    "merge": DiskFault(
        "The dataset volume fills up while the buckets are merged", "pack", "packed", 7 * _MB, FULL,
        "buckets, the beginning of the RecordIO file, and their journal"),
    "receipt": DiskFault(
        "The work volume has no free block when the receipt is written", "pack", "root", 0, FULL,
        "the complete packed files", ("organize",)),
    "verify": DiskFault(
        "The work volume has no free block when the receipt is written", "verify", "root", 0, FULL,
        "everything; the next run checks again", ("pack",)),
    "backup": DiskFault(
        "The work volume has no free block when the backup creates its journal", "backup", "root", 0, FULL,
        "nothing was sent", ("pack",)),
}  # fmt: skip
