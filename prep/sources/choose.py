"""The source that an address names."""

from pathlib import Path

from prep.aws import clients
from prep.errors import DescriptionError
from prep.progress import Progress
from prep.sources import credentials
from prep.sources.arrival import CONNECTIONS
from prep.sources.folder import FolderSource
from prep.sources.s3 import S3Source
from prep.sources.source import Source


def choose_source(address: str | None, secret: str | None, progress: Progress) -> Source:
    """A bucket, a folder or a web server.

    Args:
        address: `s3://BUCKET/PREFIX`, a folder, a base URL, or None for the URLs of the description.
        secret: name of the Secrets Manager secret with the credentials for a web server. Without one they are
            taken from the environment, if they are there.
        progress: is told of calls to AWS that are repeated.

    Raises:
        DescriptionError: the address is none of these.
        CredentialsError: the credentials can't be read.
    """
    scheme, _, rest = (address or "").partition("://")
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        return S3Source(clients.s3(progress.note), bucket, prefix, progress.note)
    if address and not rest:
        return FolderSource(Path(address))
    if address and scheme not in ("http", "https"):
        raise DescriptionError(f"source {address}: must be https://…, s3://bucket/prefix or a folder")
    from prep.sources.http import HttpSource  # urllib3 takes long to load

    found = credentials.from_environment()
    if found is None and secret:
        found = credentials.from_secret(clients.secretsmanager(progress.note), secret)
    return HttpSource(found, address, CONNECTIONS)
