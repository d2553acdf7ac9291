"""Data set sites for tests: an archive on a server that wants credentials, and the way to fetch it."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from prep.datasets.description import Archive, Description
from prep.progress import Progress
from prep.sources.credentials import Credentials
from prep.sources.http import HttpSource
from prep.stages.download import download
from prep.state.layout import Layout
from prep.state.receipts import Receipt
from rehearsal.servers.archive import ArchiveServer, Fault, Plan, Request

WHO = Credentials("someone", "hush/hush")


@dataclass
class Site:
    """A served archive of random bytes and a folder to fetch it into."""

    server: ArchiveServer
    archive: Archive
    content: bytes
    layout: Layout

    def description(self, **changed: object) -> Description:
        """A data set of this archive; with some of its facts changed."""
        archive = replace(self.archive, **changed)  # type: ignore[arg-type]  # checked by the tests that give them
        return Description("set", "Set", (archive,), 1, None, (), (), "0" * 64)

    def fetch(self, who: Credentials | None = WHO, source: str | None = None, **changed: object) -> Receipt:
        """Download it."""
        progress = Progress(shown=False)
        http = HttpSource(who, source or self.server.url, 2)
        return download(self.description(**changed), self.layout, http, progress)

    @property
    def path(self) -> Path:
        """Where it comes to lie."""
        return self.layout.archives / self.archive.file

    def left(self) -> set[str]:
        """Names of all files that are there."""
        return {path.name for path in self.layout.archives.iterdir()}

    def asked(self) -> list[str]:
        """The ranges that were asked for since the last call, without the one that looks at the size."""
        ranges = [request.range or "" for request in self.server.requests]
        self.server.requests.clear()
        return sorted(given.removeprefix("bytes=") for given in ranges if given != "bytes=0-0")


@contextmanager
def site(folder: Path, size: int, plan: Plan | None = None) -> Iterator[Site]:
    """A site with one archive of that many bytes."""
    content = random.Random(size).randbytes(size)  # noqa: S311 - no secret
    served = folder / "served"
    served.mkdir()
    (served / "a.tar").write_bytes(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    archive = Archive("a.tar", "https://example.invalid/data/a.tar", md5, size)
    with ArchiveServer(served, WHO.username, WHO.access_key, plan=plan) as server:
        yield Site(server, archive, content, Layout(folder / "root", folder / "packed"))


class Faults:
    """A plan: these faults, one a request, in order from the first request for a range; then none."""

    def __init__(self, *faults: Fault | None) -> None:
        self.faults = list(faults)
        self.times: list[float] = []

    def __call__(self, request: Request) -> Fault | None:
        if request.range == "bytes=0-0" or not self.faults:
            return None
        return self.faults.pop(0)
