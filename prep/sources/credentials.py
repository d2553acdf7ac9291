"""The data set site's user name and access key: from Secrets Manager or the environment, never options."""

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
    """Neither field shows in `repr`, so that no trace or log can show them."""

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
        raise CredentialsError(
            f"credentials: {missing} is not set: set both it and its companion, or neither"
        )
    return Credentials(username, access_key)


def from_secret(client: "SecretsManagerClient", name: str) -> Credentials:
    """The two values in a secret.

    Raises:
        CredentialsError: it can't be read, or doesn't hold them.
    """
    shape = json.dumps({contract.SECRET_USERNAME: "…", contract.SECRET_ACCESS_KEY: "…"})
    try:
        text = client.get_secret_value(SecretId=name)["SecretString"]
    except ClientError as error:
        reason = error.response["Error"]
        raise CredentialsError(
            f"secret {name}: {reason['Code']}: {reason['Message']}: make it with `aws secretsmanager "
            f"create-secret --name {name} --secret-string '{shape}'`, or allow this role to read it"
        ) from error
    except (BotoCoreError, KeyError) as error:
        raise CredentialsError(f"secret {name}: can't be read: {error}") from error
    try:
        values = json.loads(text)
        return Credentials(str(values[contract.SECRET_USERNAME]), str(values[contract.SECRET_ACCESS_KEY]))
    except (ValueError, KeyError, TypeError):
        # Not chained: the parser's message quotes the text.
        raise CredentialsError(f"secret {name}: must be JSON of the form {shape}") from None
