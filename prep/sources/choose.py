"""The source that an address names."""

import re
from pathlib import Path

from prep import contract
from prep.aws import clients
from prep.errors import DescriptionError
from prep.progress import Progress
from prep.sources import credentials
from prep.sources.arrival import CONNECTIONS
from prep.sources.folder import FolderSource
from prep.sources.s3 import S3Source
from prep.sources.source import Source


def choose_source(address: str | None, secret: str | None, progress: Progress) -> Source:
    """Return the source that an address names: a bucket, a folder or a web server.

    Args:
        address: `s3://BUCKET/PREFIX`, a folder, a base URL, or None for the URLs of the description.
        secret: name of the Secrets Manager secret with the credentials for a web server, or None.
            Credentials in the environment take precedence.
        progress: shows and counts each call or request that is repeated.

    Raises:
        DescriptionError: the address has none of these forms.
        CredentialsError: the credentials can't be read.
    """
    if address and "://" not in address:
        return FolderSource(Path(address))
    scheme, _, rest = (address or "").partition("://")
    bucket, _, prefix = rest.partition("/")
    if "@" in (bucket if scheme == "s3" else rest):  # left out of the message, as it may hold a password
        raise DescriptionError(
            "source: must hold no @: user name and access key go into the secret, or into "
            f"{contract.ENV_USERNAME} and {contract.ENV_ACCESS_KEY}"
        )
    if scheme == "s3" and bucket:
        return S3Source(clients.s3(progress.repeated), bucket, prefix, progress.repeated)
    if address and (not re.fullmatch(contract.WEB_ADDRESS, address) or {"?", "#"} & {*address}):
        raise DescriptionError(f"source {address}: must be https://…, s3://bucket/prefix or a folder")
    from prep.sources.http import HttpSource  # urllib3 takes long to load

    found = credentials.from_environment()
    if found is None and secret:
        found = credentials.from_secret(clients.secretsmanager(progress.repeated), secret)
    return HttpSource(found, address, CONNECTIONS, note=progress.repeated)
