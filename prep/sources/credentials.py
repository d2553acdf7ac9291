"""The user name and access key of the data set site, from the environment or from Secrets Manager.

They are never command line options, which other users of the machine can see in the list of processes.
"""

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from prep import contract
from prep.errors import CredentialsError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass(frozen=True)
class Credentials:
    """A user name and an access key. `repr` shows neither, so that no traceback or log can contain them."""

    username: str = field(repr=False)
    access_key: str = field(repr=False)


def from_environment() -> Credentials | None:
    """PREP_USERNAME and PREP_ACCESS_KEY, or None if neither is set.

    Raises:
        CredentialsError: only one of them is set.
    """
    username = os.environ.get(contract.ENV_USERNAME, "")
    access_key = os.environ.get(contract.ENV_ACCESS_KEY, "")
    if not username and not access_key:
        return None
    if not username or not access_key:
        missing = contract.ENV_ACCESS_KEY if username else contract.ENV_USERNAME
        raise CredentialsError(f"credentials: {missing} is not set: set both variables or neither")
    try:
        f"{username}{access_key}".encode()
    except UnicodeEncodeError:  # not chained: it holds them
        raise CredentialsError(
            f"credentials: {contract.ENV_USERNAME} or {contract.ENV_ACCESS_KEY} is not UTF-8: set it again"
        ) from None
    return Credentials(username, access_key)


def from_secret(client: "SecretsManagerClient", name: str) -> Credentials:
    """Read the user name and the access key from a secret.

    Raises:
        CredentialsError: the secret can't be read, or doesn't hold both values.
    """
    shape = json.dumps({contract.SECRET_USERNAME: "…", contract.SECRET_ACCESS_KEY: "…"})
    try:
        text = client.get_secret_value(SecretId=name)["SecretString"]
    except ClientError as error:
        reason = error.response["Error"]
        raise CredentialsError(
            f"secret {name}: {reason['Code']}: {reason['Message']}: create it with `aws secretsmanager "
            f"create-secret --name {name} --secret-string file:///dev/stdin`, which reads {shape}, or allow "
            "this role to read it"
        ) from error
    except (BotoCoreError, KeyError) as error:
        raise CredentialsError(
            f"secret {name}: can't be read: {error}: check the AWS credentials and the Region"
        ) from error
    try:
        values = json.loads(text)
        found = Credentials(str(values[contract.SECRET_USERNAME]), str(values[contract.SECRET_ACCESS_KEY]))
        f"{found.username}{found.access_key}".encode()  # JSON can hold half a character
        return found
    except (ValueError, KeyError, TypeError, RecursionError):
        # Not chained: the parser's message quotes the text.
        raise CredentialsError(f"secret {name}: must be JSON of the form {shape}") from None
