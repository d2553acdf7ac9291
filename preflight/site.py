"""Whether the source of the archives answers, and lets these credentials in. Nothing is downloaded."""

from typing import Final

from botocore.exceptions import ClientError
from urllib3.util import Timeout

from preflight.account import Account
from preflight.findings import Finding, fails, is_denied, ok, warning
from prep.datasets.description import Archive, Description
from prep.errors import AwsError, PrepError
from prep.sources.credentials import Credentials
from prep.sources.http import HttpSource
from prep.sources.s3 import S3Source
from prep.sources.source import Source, Version

CHECK: Final = "data set site"

TIMEOUT: Final = Timeout(connect=3, read=5)
TRIES: Final = 2


def is_in_s3(source: str | None) -> bool:
    """Whether the archives come from a bucket, which needs no credentials of the site."""
    return source is not None and source.startswith("s3://")


def web_source(source: str | None, credentials: Credentials) -> Source:
    """The data set's site, or the base URL that replaces it."""
    return HttpSource(credentials, source, connections=1, tries=TRIES, timeout=TIMEOUT)


def bucket_source(account: Account, source: str) -> Source:
    """The bucket of `s3://bucket/prefix`."""
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    return S3Source(account.s3, bucket, prefix)


def smallest(description: Description) -> Archive:
    """The archive to ask for: any of them shows whether the credentials are right."""
    return min(description.archives, key=lambda archive: archive.bytes or float("inf"))


def check(source: Source, description: Description) -> Finding:
    """Asks for the size of one archive."""
    archive = smallest(description)
    try:
        version = source.version(archive)
    except AwsError as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and is_denied(cause):
            # With the prep instance's role it may be allowed.
            return warning(CHECK, f"{archive.file}: not checked: you may not call s3:GetObject", "allow it")
        return fails(CHECK, str(error))
    except PrepError as error:
        return fails(CHECK, str(error))
    return _check_version(archive, version)


def _check_version(archive: Archive, version: Version) -> Finding:
    if archive.bytes is not None and version.size != archive.bytes:
        return fails(
            CHECK,
            f"{archive.file} has {version.size} bytes there, but {archive.bytes} in the description",
            "correct the description, or set another source",
        )
    found = f"{archive.file}: {version.size} bytes"
    if version.stream is not None:
        return warning(
            CHECK,
            f"{found}; the server serves no byte ranges, so that an interrupted download begins again",
            "set a source that does, if the connection is not reliable",
        )
    return ok(CHECK, found)
