"""The faults: what goes wrong, what a user sees, what is left, what to do. Tables for tests and for people.

`python -m tests.prep.faults > docs/faults.md` writes what people read. In what is said, "…" stands for
anything.
"""

import io
import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rehearsal.servers.archive import Fault, Plan, Request
from tests.prep import s3_proxy

AGAIN = "run again"
LATER = "run again later"
UNDER_WAY = ("train.tar.journal", "train.tar.partial")
NOTHING: tuple[str, ...] = ()


def matches(words: str, said: str) -> bool:
    """Whether something was said in these words, in which "…" stands for anything."""
    return re.fullmatch(".+".join(re.escape(part) for part in words.split("…")), said) is not None


@dataclass(frozen=True)
class ServerFault:
    """A fault of the archive server during `download`.

    `plan` is given the archive's size. `says` is the line, or "" where the command succeeds; `left` names
    what is in the archives' folder after a failure; `resumes` tells whether a rerun fetches only what is
    missing. `damaged` serves other bytes.
    """

    what: str
    plan: Callable[[int], Plan]
    code: int = 0
    says: str = ""
    left: tuple[str, ...] = UNDER_WAY
    remedy: str = LATER
    resumes: bool = True
    damaged: bool = False


class _Ranges:
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
    """Three ranges, each to be had at the next try."""
    return lambda _: _Ranges(lambda count: count in (2, 5, 9), fault)


def _from_eighth(fault: Fault) -> Callable[[int], Plan]:
    """Every range from the eighth on: some have come."""
    return lambda _: _Ranges(lambda count: count >= 8, fault)


def _all(fault: Fault) -> Callable[[int], Plan]:
    """Every request, that for the size too."""
    return lambda _: lambda _: fault


def once(fault: Fault) -> Plan:
    """A plan for the first range only."""
    return _Ranges(lambda count: count == 1, fault)


def _cut_without_ranges(_: int) -> Plan:
    return lambda asked: Fault(no_ranges=True, cut_after=None if asked.range == "bytes=0-0" else 9000)


def _other_range(size: int) -> Fault:
    return Fault(content_range=f"bytes 0-99/{size}")


def _lastingly(fault: Fault) -> Callable[[int], Plan]:
    """Every request from the eighth on, those for the size too."""

    def plan_of(_: int) -> Plan:
        numbers = itertools.count(1)
        return lambda _: fault if next(numbers) >= 8 else None

    return plan_of


def _always_new_etag(_: int) -> Plan:
    numbers = itertools.count()
    return lambda _: Fault(etag=f'"{next(numbers)}"')


SERVER: dict[str, ServerFault] = {
    "cut": ServerFault(
        "Connections cut in the middle of a range, now and then", _some(Fault(cut_after=1000))),
    "cut for good": ServerFault(
        "All connections cut", _from_eighth(Fault(cut_after=1000)), 4,
        "…/train.tar: …, 10 times: run again later, it goes on where it was"),
    "stall": ServerFault(
        "The server falls silent, now and then", _some(Fault(stall_after=1000, stall_seconds=30))),
    "stall for good": ServerFault(
        "The server is silent", _from_eighth(Fault(stall_after=0, stall_seconds=30)), 4,
        "…/train.tar: Read timed out, 10 times: run again later, it goes on where it was"),
    "429": ServerFault(
        "429 with Retry-After: it is waited for as long as the server asks",
        _some(Fault(status=429, retry_after=1))),
    "500": ServerFault("500, 502, 503, now and then", _some(Fault(status=500))),
    "503 for good": ServerFault(
        "503 on and on", _from_eighth(Fault(status=503)), 4,
        "…/train.tar: HTTP 503, 10 times: run again later, it goes on where it was"),
    "other range": ServerFault(
        "Another range than the one asked for, now and then", lambda size: _some(_other_range(size))(size)),
    "other range for good": ServerFault(
        "Always another range", lambda size: _from_eighth(_other_range(size))(size), 4,
        "…/train.tar: sent bytes 0-99 when asked for …, 10 times: run again later, it goes on where it was"),
    "no ranges": ServerFault(
        "The server knows no ranges: one connection takes it all", _all(Fault(no_ranges=True))),
    "no ranges, cut": ServerFault(
        "The same, and the connection is cut", _cut_without_ranges, 4,
        "…/train.tar: … after … bytes, and the server serves no ranges to go on with: run again, it begins "
        "anew",
        remedy=AGAIN, resumes=False),
    "whole file once": ServerFault(
        "The whole file instead of a range, now and then", _some(Fault(no_ranges=True))),
    "changed": ServerFault(
        "The file is replaced on the server (another ETag): it is begun anew, two versions are never mixed",
        _lastingly(Fault(etag='"new"'))),
    "changes for ever": ServerFault(
        "The file is replaced again and again", _always_new_etag, 4,
        "…/train.tar: the server has another version of it now", resumes=False),
    "web page": ServerFault(
        "A web page with status 200", _all(Fault(html=True)), 4,
        "…/train.tar: the server sent a web page instead of the archive: open the site in a browser and see "
        "whether your account still has access", NOTHING, "as it says"),
    "web page later": ServerFault(
        "The same in the middle of the download", _from_eighth(Fault(html=True)), 4,
        "…/train.tar: the server sent a web page instead of the archive: …", remedy="as it says"),
    "truncated": ServerFault(
        "The file on the server is cut short", _all(Fault(truncated_to=5000)), 5,
        "train.tar: the server's has 5000 bytes, the description says …: mend the description, or the source",
        NOTHING, "as it says"),
    "truncated later": ServerFault(
        "It becomes shorter in the middle of the download", _lastingly(Fault(truncated_to=5000)), 5,
        "train.tar: the server's has 5000 bytes, the description says …: mend the description, or the source",
        remedy="as it says"),
    "damaged": ServerFault(
        "Other bytes of the right number", lambda _: lambda _: None, 5,
        "train.tar: its MD5 is …, should be …; the file was removed: run again to fetch it anew, or mend the "
        "description", NOTHING, "as it says", resumes=False, damaged=True),
    "expired": ServerFault(
        "The credentials expire in the middle (401)", _from_eighth(Fault(status=401)), 3,
        "…/train.tar: refused (HTTP 401): check user name and access key, and your access",
        remedy="mend the credentials, run again"),
    "gone": ServerFault(
        "The file is gone in the middle (404)", _from_eighth(Fault(status=404)), 4,
        "…/train.tar: not there (HTTP 404): check the description, or --source", remedy="as it says"),
}  # fmt: skip


@dataclass(frozen=True)
class S3Fault:
    """A fault of S3 during `backup`.

    `plan` is given what ends the upload on the server. `kept` tells whether a rerun sends only what is
    missing; with `ended` the upload is ended between the two runs.
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


_S3_AGAIN = "upload bytes … of s3://…: …: run again, it goes on where it was"
_SLOW_DOWN = (
    "upload bytes … of s3://…: UploadPart: SlowDown: Please reduce your request rate: run again, it goes on "
    "where it was"
)
S3: dict[str, S3Fault] = {
    "SlowDown": S3Fault("503 SlowDown, now and then", _parts(s3_proxy.Fault.SLOW_DOWN, _now_and_then)),
    "SlowDown for good": S3Fault(
        "503 SlowDown on and on", _parts(s3_proxy.Fault.SLOW_DOWN, _from_second), 7,
        _SLOW_DOWN, remedy=LATER),
    "cut": S3Fault(
        "Connections cut in the middle of a part, now and then",
        _parts(s3_proxy.Fault.CUT, _now_and_then)),
    "cut for good": S3Fault(
        "All connections cut", _parts(s3_proxy.Fault.CUT, _from_second), 7, _S3_AGAIN),
    "silence": S3Fault("S3 falls silent, now and then", _parts(s3_proxy.Fault.SILENCE, lambda n: n == 1)),
    "no reply": S3Fault(
        "A part arrives, its acknowledgement doesn't", _parts(s3_proxy.Fault.NO_REPLY, _now_and_then)),
    "no reply at the end": S3Fault(
        "The upload is completed, the acknowledgement doesn't arrive",
        lambda _: lambda request: (
            s3_proxy.Fault.NO_REPLY
            if (request.operation, request.number) == ("CompleteMultipartUpload", 0) else None)),
    "damaged": S3Fault(
        "A part is damaged on its way: S3 refuses it by its checksum",
        _parts(s3_proxy.Fault.DAMAGED, lambda n: n == 1)),
    "lost": S3Fault(
        "S3 acknowledges a part and loses it", _parts(s3_proxy.Fault.LOST, lambda n: n == 1), 7,
        "complete the upload of s3://…: S3 has lost parts of it: run again, it is sent anew", kept=False),
    "ended between": S3Fault(
        "The upload is ended on the server between two runs, as by a lifecycle rule",
        _parts(s3_proxy.Fault.SLOW_DOWN, _from_second), 7,
        _SLOW_DOWN, kept=False, ended=True),
    "ended": S3Fault(
        "The same while it is under way", _ends, 7, _S3_AGAIN,
        kept=False),
    "denied": S3Fault(
        "The role may not complete an upload", _denied, 7,
        "complete the upload of s3://…: CompleteMultipartUpload: AccessDenied: Access Denied: allow this "
        "role to call CompleteMultipartUpload", remedy="as it says"),
}  # fmt: skip


@dataclass(frozen=True)
class DiskFault:
    """A full disk: the stage, which of the two folders lies on it, its free bytes, and what is left.

    `first` are the stages before it; with `unknown_size` the description doesn't give the archive's size.
    """

    what: str
    stage: str
    disk: str
    leave: int
    says: str
    left: str
    first: tuple[str, ...] = ()
    unknown_size: bool = False


_FULL = "writing to …: the disk is full; make room or grow the volume, then run again: what is done is kept"
_MB = 1 << 20
DISK: dict[str, DiskFault] = {
    "before download": DiskFault(
        "Too small for the archives", "download", "root", 3 * _MB,
        "…/archives: … GB free, … GB needed for what is to be fetched: grow the volume, or give another "
        "folder", "nothing was fetched"),
    "download": DiskFault(
        "Full when an archive whose size was not known is begun", "download", "root", 3 * _MB, _FULL,
        "an empty journal, and what could be reserved", unknown_size=True),
    "organize": DiskFault(
        "Full while images are written", "organize", "root", 3 * _MB, _FULL,
        "images, of which the journal names those that are whole"),
    "inventory": DiskFault(
        "Work volume without a free block when packing begins", "pack", "root", 0, _FULL, "nothing"),
    "deal": DiskFault(
        "Dataset volume full while images are dealt into buckets", "pack", "packed", 3 * _MB, _FULL,
        "buckets and their journal"),
    "merge": DiskFault(
        "Dataset volume full while buckets are merged", "pack", "packed", 7 * _MB, _FULL,
        "buckets, the beginning of the RecordIO file, and their journal"),
    "receipt": DiskFault(
        "Work volume without a free block when the receipt is written", "pack", "root", 0, _FULL,
        "the packed files, whole", ("organize",)),
    "verify": DiskFault(
        "Work volume without a free block when the receipt is written", "verify", "root", 0, _FULL,
        "everything; the check is made again", ("pack",)),
    "backup": DiskFault(
        "Work volume without a free block when the backup's journal is begun", "backup", "root", 0, _FULL,
        "nothing was sent", ("pack",)),
}  # fmt: skip


def _table(out: io.StringIO, title: str, heads: str, rows: Iterable[tuple[str, ...]]) -> None:
    out.write(f"\n## {title}\n\n| {heads.replace(', ', ' | ')} |\n|{'---|' * (heads.count(', ') + 1)}\n")
    for row in rows:
        out.write(f"| {' | '.join(row)} |\n")


def _seen(says: str) -> str:
    return f"`error: {says}`" if says else "nothing: it is tried again"


def _files(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def document() -> str:
    """The tables for people, as Markdown."""
    out = io.StringIO()
    out.write(
        "# Faults: what is seen, what is left, what to do\n\n"
        "Written by `python -m tests.prep.faults`; `tests/prep/test_faults_*.py` make every one of them "
        "happen to the real command line: a real archive server, a real S3 server behind a proxy, real full "
        "disks. After the remedy the same command is run again, and its files are those of an undisturbed "
        "run, byte for byte. “…” stands for names and numbers.\n"
    )
    _table(
        out, "The archive server, during `download`", "fault, the user sees, exit code, left, then",
        ((f.what, _seen(f.says), str(f.code), _files(f.left) if f.code else "the archive, checked",
          (f.remedy + (": only what is missing is fetched" if f.resumes and f.left else ""))
          if f.code else "") for f in SERVER.values()),
    )  # fmt: skip
    _table(
        out, "S3, during `backup`", "fault, the user sees, exit code, then",
        ((f.what, _seen(f.says), str(f.code), (f.remedy + (
            ": only what is missing is sent" if f.kept else ": that file is sent anew")) if f.code else "")
         for f in S3.values()),
    )  # fmt: skip
    _table(
        out, "A full disk", "stage, fault, the user sees, exit code, left",
        ((f"`{f.stage}`", f.what, _seen(f.says), "6", f.left) for f in DISK.values()),
    )  # fmt: skip
    return out.getvalue()


if __name__ == "__main__":
    print(document(), end="")
