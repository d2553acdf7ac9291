"""The KMS keys that encrypt the volumes."""

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from preflight.account import Account
from preflight.findings import Finding, fails, ok, warning

if TYPE_CHECKING:
    from mypy_boto3_kms.type_defs import KeyMetadataTypeDef

DEFAULT_KEY: Final = "alias/aws/ebs"


def check_setting(account: Account, key: str) -> Finding:
    """The key of the setting `key`: enabled, symmetric, in this Region."""
    title = "key"
    region = key.split(":")[3] if key.count(":") >= 5 else ""
    if region != account.region:
        return fails(title, f"{key} is not a key of {account.region}", "set key to a key of this Region")
    return _fault(title, key, _describe(account, key)) or ok(title, f"{key} is enabled")


def check_default(account: Account) -> Finding:
    """The key that EBS takes for volumes without one: the account may have chosen a key of its own.

    The roles of the instances have no permission to use such a key.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyEbsDefaultKmsKeyId.html
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
    """
    title = "default EBS key"
    key = account.ec2.get_ebs_default_kms_key_id()["KmsKeyId"]
    if key.endswith(DEFAULT_KEY):
        return ok(title, "aws/ebs")
    facts = _describe(account, key)
    if _is_of_aws(facts):
        return ok(title, "aws/ebs")
    return _fault(title, key, facts) or warning(
        title,
        f"volumes would be encrypted with {key}, which the instances may not be allowed to use",
        "set key to the ARN of this key, so that the stacks allow it",
    )


def is_default(account: Account, key: str) -> bool:
    """Whether the key is one that AWS manages, such as aws/ebs, which needs no permission."""
    return _is_of_aws(_describe(account, key))


def _describe(account: Account, key: str) -> "KeyMetadataTypeDef | None":
    try:
        return account.kms.describe_key(KeyId=key)["KeyMetadata"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "NotFoundException":
            raise
        return None


def _is_of_aws(facts: "KeyMetadataTypeDef | None") -> bool:
    return facts is not None and facts.get("KeyManager") == "AWS"


def _fault(title: str, key: str, facts: "KeyMetadataTypeDef | None") -> Finding | None:
    """What makes a key useless for volumes; None if nothing does."""
    remedy = "enable it, or set key to another key"
    if facts is None:
        return fails(title, f"{key} does not exist", "set key to a key that exists")
    if facts.get("KeyState") != "Enabled":
        return fails(title, f"{key} is in the state {facts.get('KeyState')}", remedy)
    if facts.get("KeySpec") != "SYMMETRIC_DEFAULT":
        return fails(title, f"{key} is not symmetric, which EBS requires", "set key to a symmetric key")
    return None
