"""The interface of sources: an archive server, a bucket or a folder, as `download` sees it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prep.errors import SourceError


class Wanted(Protocol):
    """A file to fetch. `bytes` is None if its size isn't known in advance."""

    @property
    def file(self) -> str:
        """Its file name, which is the same at the source."""

    @property
    def url(self) -> str:
        """Its URL on the site of the data set, or "" if there is none."""

    @property
    def bytes(self) -> int | None:
        """Its size."""

    @property
    def algorithm(self) -> str:
        """The name of the digest's algorithm in hashlib."""

    @property
    def digest(self) -> str:
        """Its digest, hexadecimal."""


@dataclass(frozen=True)
class Version:
    """The present version of a file at its source: its size in bytes, and its ETag or "" if it has none.

    `stream` is None if the source serves byte ranges. If not, it is a function that returns the whole file,
    piece by piece.
    """

    size: int
    etag: str
    stream: Callable[[], Iterator[bytes]] | None = field(default=None, compare=False)


class SourceChangedError(SourceError):
    """The file has changed at its source since its download began."""


class Source(Protocol):
    """Serves files by ranges. Its methods are called from several threads."""

    def version(self, wanted: Wanted) -> Version:
        """The present version of the file.

        Raises:
            CredentialsError: the source refuses the credentials.
            SourceError: the file doesn't exist, or the source doesn't answer.
        """

    def fetch(self, wanted: Wanted, version: Version, start: int, end: int, stop: threading.Event) -> bytes:
        """The bytes [start, end) of that version; stops soon after `stop` is set.

        Raises:
            SourceChangedError: the file has another version now.
            CredentialsError, SourceError: as in `version`.
        """
