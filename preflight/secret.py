"""The secret with the user name and the access key of the data set's site. No value is ever shown."""

from typing import Final

from botocore.exceptions import ClientError

from preflight.account import Account
from preflight.findings import Finding, fails, is_denied, not_checked, ok, warning
from prep import contract
from prep.errors import CredentialsError
from prep.sources.credentials import Credentials, from_secret

CHECK: Final = "secret"


def check(account: Account, name: str) -> tuple[Finding, Credentials | None]:
    """Whether the secret has both values; the credentials, if the caller may read them."""
    try:
        found = from_secret(account.secrets, name)
    except CredentialsError as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and is_denied(cause):
            return not_checked(CHECK, cause), None
        if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ResourceNotFoundException":
            return fails(CHECK, f"{name} does not exist", "create it as in step 1 of README.md"), None
        return fails(CHECK, str(error)), None
    pairs = {contract.SECRET_USERNAME: found.username, contract.SECRET_ACCESS_KEY: found.access_key}
    remedy = f"write it again with `aws secretsmanager put-secret-value --secret-id {name}`"
    for key, value in pairs.items():
        if not value.strip():
            return fails(CHECK, f"{name}: {key} is empty", remedy), None
        if value != value.strip():
            return fails(CHECK, f"{name}: {key} begins or ends with a space or a line break", remedy), None
    return _check_key(account, name), found


def _check_key(account: Account, name: str) -> Finding:
    """A secret with a key of its own: the prep instance's role may use only the key aws/secretsmanager.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    found = f"{name} has both values"
    try:
        key = account.secrets.describe_secret(SecretId=name).get("KmsKeyId", "")
    except ClientError as error:
        if not is_denied(error):
            raise
        return ok(CHECK, found)
    if key and not key.endswith("alias/aws/secretsmanager"):
        return warning(
            CHECK,
            f"{found}; it is encrypted with {key}",
            "let the key's policy allow kms:Decrypt to the prep instance's role, or encrypt the secret with "
            "aws/secretsmanager",
        )
    return ok(CHECK, found)
