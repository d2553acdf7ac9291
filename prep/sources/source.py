"""Where files come from: an archive server, a bucket or a folder, as far as `download` needs to know."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prep.errors import SourceError


class Wanted(Protocol):
    """A file to fetch. `bytes` is None where its size isn't known beforehand."""

    @property
    def file(self) -> str:
        """Its name, also where it comes from."""

    @property
    def url(self) -> str:
        """Its address on its own site."""

    @property
    def bytes(self) -> int | None:
        """Its size."""

    @property
    def algorithm(self) -> str:
        """The name by which hashlib knows the digest."""

    @property
    def digest(self) -> str:
        """Its digest, hexadecimal."""


@dataclass(frozen=True)
class Version:
    """What there is of a file at present: size in bytes, and ETag or "" where there is none.

    `stream` is None, or, where no ranges can be had, what gives the whole file in one go, piece by piece.
    """

    size: int
    etag: str
    stream: Callable[[], Iterator[bytes]] | None = field(default=None, compare=False)


class SourceChangedError(SourceError):
    """There is another version of the file now than the one that was begun."""


class Source(Protocol):
    """Serves files by ranges. Its methods are called from several threads."""

    def version(self, wanted: Wanted) -> Version:
        """What there is of the file.

        Raises:
            CredentialsError: we are not let in.
            SourceError: the file isn't there, or there is no answer.
        """

    def fetch(self, wanted: Wanted, version: Version, start: int, end: int, stop: threading.Event) -> bytes:
        """The bytes [start, end) of that version; gives up soon after `stop` is set.

        Raises:
            SourceChangedError: there is another version now.
            CredentialsError, SourceError: as above.
        """
