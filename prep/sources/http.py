"""A source that is an HTTP server: authentication, retries, and answers that are not an archive.

Certificates are verified. Credentials are sent with HTTP Basic authentication, only over TLS (or to this
machine itself), and never to another host to which the server redirects. A request that fails is repeated
a limited number of times, after growing random pauses or after the pause that the server asks for.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import urllib3
from urllib3.util import Retry, Timeout, make_headers

from prep.errors import CredentialsError, DescriptionError, SourceError
from prep.sources.credentials import Credentials
from prep.sources.source import SourceChangedError, Version, Wanted

# Attempts for one request, with pauses of 1, 2, 4 … 60 s: about five minutes, longer than a server's restart.
TRIES = 10
LONGEST_PAUSE = 60.0
LONGEST_RETRY_AFTER = 600.0
# A server that has sent nothing for a minute is not expected to continue.
TIMEOUT = Timeout(connect=20, read=60)
# urllib3 follows redirects only. Other failures are retried here, where Retry-After is observed as well.
REDIRECTS = Retry(total=5, connect=0, read=0, status=0, other=0, redirect=5, respect_retry_after_header=False)
PIECE = 1 << 20
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)  # a file has 8 EiB at most
LENGTH = re.compile(r"\d{1,18}", re.ASCII)
POOL = re.compile(r"^HTTPS?Connection(Pool)?\([^)]*\): ")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}

T = TypeVar("T")


class _PassingError(Exception):
    """A failure that may not occur again; `pause` is the pause that the server asks for, in seconds."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class HttpSource:
    """Fetches archives from their own URLs or, if there is a base URL `source`, by file name from there."""

    def __init__(
        self,
        credentials: Credentials | None,
        source: str | None,
        connections: int = 4,
        *,
        tries: int | None = None,
        timeout: Timeout | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._credentials = credentials
        self._source = source
        self._attempts = tries or TRIES
        self._note = note  # gets a line for each request that is repeated
        self._pool = urllib3.PoolManager(maxsize=connections, timeout=timeout or TIMEOUT, retries=REDIRECTS)

    def url(self, wanted: Wanted) -> str:
        """The URL of an archive.

        Raises:
            DescriptionError: the description gives none, and there is no base URL.
        """
        if self._source:
            name = urlsplit(wanted.url).path.rpartition("/")[2] or wanted.file
            return f"{self._source.rstrip('/')}/{name}"
        if not wanted.url:
            raise DescriptionError(
                f"archive {wanted.file}: the description gives no url: give --source, the folder, bucket or "
                "base URL that has it"
            )
        return wanted.url

    def _shown(self, wanted: Wanted) -> str:
        """The URL for messages, without its query: that may be a signature, which lets anyone in."""
        return self.url(wanted).partition("?")[0]

    def version(self, wanted: Wanted) -> Version:
        """Size and ETag of the file on the server.

        Raises:
            CredentialsError: the server refuses the credentials.
            SourceError: the server doesn't have the archive, or doesn't answer.
        """
        return self._tries(wanted, lambda: self._version(wanted), threading.Event())

    def fetch(self, wanted: Wanted, version: Version, start: int, end: int, stop: threading.Event) -> bytes:
        """The bytes [start, end) of that version.

        Raises:
            CredentialsError, SourceError: as in `version`, or the server has another version now.
        """
        return self._tries(wanted, lambda: self._fetch(wanted, version, start, end, stop), stop)

    def _tries(self, wanted: Wanted, attempt: Callable[[], T], stop: threading.Event) -> T:
        reason = ""
        for number in range(self._attempts):
            pause = None
            try:
                return attempt()
            except ValueError as error:  # no URL, perhaps that of a redirect
                raise SourceError(
                    f"{self._shown(wanted)}: {error}: correct the description or --source"
                ) from error
            except urllib3.exceptions.HTTPError as error:
                reason = _plain(error)
                if "CERTIFICATE_VERIFY_FAILED" in reason:
                    raise SourceError(
                        f"{self._shown(wanted)}: its certificate can't be trusted: {reason}: run again when "
                        "the site has corrected it"
                    ) from error
            except _PassingError as error:
                reason, pause = str(error), error.pause
            if number + 1 == self._attempts:
                break
            backoff = min(LONGEST_PAUSE, 2.0**number) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            pause = backoff if pause is None else min(pause, LONGEST_RETRY_AFTER)
            self._note(f"{self._shown(wanted)}: {reason}: trying again in {pause:.0f} s")
            if stop.wait(pause):
                raise SourceError(f"{self._shown(wanted)}: stopped because another range failed")
        raise SourceError(
            f"{self._shown(wanted)}: {reason}, {self._attempts} times: run again later; "
            "it continues where it stopped"
        )

    def _get(self, wanted: Wanted, byte_range: str) -> urllib3.BaseHTTPResponse:
        url = self.url(wanted)
        headers = {"Range": f"bytes={byte_range}", "Accept-Encoding": "identity"}
        if self._credentials:
            parts = urlsplit(url)
            if parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise CredentialsError(
                    f"{self._shown(wanted)}: credentials are sent over https only: correct the URL"
                )
            who = f"{self._credentials.username}:{self._credentials.access_key}"
            headers |= make_headers(basic_auth=who, basic_auth_encoding="utf-8")
        response = self._pool.request("GET", url, headers=headers, preload_content=False)
        if response.status in (200, 206) and "text/html" not in response.headers.get("Content-Type", ""):
            return response
        response.close()
        raise _refusal(self._shown(wanted), response)

    def _version(self, wanted: Wanted) -> Version:
        response = self._get(wanted, "0-0")
        try:
            etag = response.headers.get("ETag", "")
            match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status == 206 and match is not None:
                return Version(int(match.group(3)), etag)
            length = response.headers.get("Content-Length", "")
            if not LENGTH.fullmatch(length):
                raise SourceError(
                    f"{self._shown(wanted)}: the server serves neither ranges nor a length: download the "
                    "file by other means, and give its folder with --source"
                )
            return Version(int(length), etag, partial(self._stream, wanted, int(length)))
        finally:
            response.close()

    def _stream(self, wanted: Wanted, size: int) -> Iterator[bytes]:
        """The whole file over one connection. If the connection breaks, the download can't resume."""
        done = 0
        try:
            response = self._get(wanted, "0-")
            try:
                while piece := response.read(min(PIECE, size - done)):
                    done += len(piece)
                    yield piece
            finally:
                response.close()
        except (_PassingError, urllib3.exceptions.HTTPError, ValueError) as error:
            reason = _plain(error) if isinstance(error, urllib3.exceptions.HTTPError) else str(error)
            raise SourceError(
                f"{self._shown(wanted)}: {reason} after {done} bytes, and the server serves no byte ranges "
                "to resume with: run again; it starts from the beginning"
            ) from error

    def _fetch(self, wanted: Wanted, version: Version, start: int, end: int, stop: threading.Event) -> bytes:
        response = self._get(wanted, f"{start}-{end - 1}")
        try:
            match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status != 206 or match is None:
                raise _PassingError("answered a request for a byte range with the whole file")
            first, last, size = (int(group) for group in match.groups())
            if Version(size, response.headers.get("ETag", "")) != version:
                raise SourceChangedError(
                    f"{self._shown(wanted)}: the server has another version of it now: run again later"
                )
            if (first, last) != (start, end - 1):
                raise _PassingError(f"sent bytes {first}-{last} when asked for {start}-{end - 1}")
            data = bytearray()
            while not stop.is_set() and (piece := response.read(min(PIECE, end - start - len(data)))):
                data += piece
            if len(data) < end - start:
                raise _PassingError(f"sent {len(data)} of {end - start} bytes")
            response.release_conn()
            return bytes(data)
        except BaseException:
            response.close()
            raise


def _refusal(url: str, response: urllib3.BaseHTTPResponse) -> Exception:
    """The exception for an answer that is not an archive."""
    status = response.status
    if status in (401, 403):
        return CredentialsError(
            f"{url}: refused (HTTP {status}): check the user name, the access key and your access"
        )
    if status == 429 or status >= 500:
        return _PassingError(f"HTTP {status}", _retry_after(response.headers.get("Retry-After", "")))
    if status in (404, 410):
        return SourceError(f"{url}: not found (HTTP {status}): check the description or --source")
    if status == 416:
        return SourceChangedError(f"{url}: the server has a shorter version of it now: run again later")
    if status in (200, 206):
        return SourceError(
            f"{url}: the server sent a web page instead of the archive: open the site in a browser and check "
            "whether your account still has access"
        )
    return SourceError(f"{url}: the server answered HTTP {status}: check the description or --source")


def _retry_after(value: str) -> float | None:
    """Seconds to wait, from either form of the header (RFC 9110, 10.2.3)."""
    if LENGTH.fullmatch(value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _plain(error: urllib3.exceptions.HTTPError) -> str:
    """The reason of an error, without the connection objects that urllib3 puts before and after it."""
    reason = getattr(error, "reason", None) or error
    text = str(next(iter(reason.args), "")) or type(reason).__name__
    return POOL.sub("", text).rstrip(".")
