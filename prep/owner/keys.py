"""Keys: with which key a snapshot is encrypted, and whether another account may use it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from botocore.exceptions import ClientError

from prep.aws.errors import DENIED, aws_errors
from prep.owner.account import Account

# What an account needs on the key of a snapshot that is shared with it.
# https://docs.aws.amazon.com/ebs/latest/userguide/share-kms-key.html
USE: Final = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
GRANT: Final = "kms:CreateGrant"
SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
# Kinds of keys.
NONE, DEFAULT, CUSTOMER, UNKNOWN = "none", "default", "customer", "unknown"


@dataclass(frozen=True)
class Key:
    """The key of a snapshot: its ARN, or "", and its kind: none, default (aws/ebs), customer or unknown."""

    arn: str
    kind: str


def kind_of(account: Account, arn: str) -> Key:
    """The kind of a key. It is unknown if these credentials may not look at it."""
    if not arn:
        return Key("", NONE)
    with aws_errors(f"look at the key {arn}"):
        try:
            manager = account.kms.describe_key(KeyId=arn)["KeyMetadata"].get("KeyManager")
        except ClientError as error:
            # A key of another account or a deleted one is not found.
            if error.response["Error"]["Code"] not in DENIED | {"NotFoundException"}:
                raise
            return Key(arn, UNKNOWN)
    return Key(arn, DEFAULT if manager == "AWS" else CUSTOMER)


def unusable(account: Account, arn: str) -> str | None:
    """Why EBS can't encrypt with this key; None if it can, or if these credentials may not look at the key.

    Symmetric only: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyEbsDefaultKmsKeyId.html
    """
    with aws_errors(f"look at the key {arn}"):
        try:
            facts = account.kms.describe_key(KeyId=arn)["KeyMetadata"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NotFoundException":
                return f"there is no such key in {account.region}"
            if error.response["Error"]["Code"] not in DENIED:
                raise
            return None
    if facts.get("KeyState", "Enabled") != "Enabled":
        return f"its state is {facts['KeyState']}"
    spec = facts.get("KeySpec", SYMMETRIC)
    return None if spec == SYMMETRIC else f"it is of the kind {spec}, and EBS takes symmetric keys only"


def missing(account: Account, key: str, other: str) -> list[str] | None:
    """The actions on the key that neither its policy nor a grant gives to the account `other`.

    None if these credentials may not read the policy. Of the conditions, only those on the caller's account
    are evaluated, and no denials: KMS decides.
    """
    with aws_errors(f"read the policy of the key {key}"):
        try:
            policy = json.loads(account.kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED:
                raise
            return None
    given = list(_given(policy, other))
    granted = _granted(account, key, other)
    return [
        action
        for action in (*USE, GRANT)
        if not any(fnmatchcase(action.lower(), pattern.lower()) for pattern in given)
        and action not in granted
    ]


def statements(other: str) -> list[dict[str, Any]]:
    """The statements that a key policy needs, so that the account `other` can use a shared snapshot."""
    whom = {"AWS": f"arn:aws:iam::{other}:root"}
    return [
        {
            "Sid": f"UseOfSnapshotsBy{other}",
            "Effect": "Allow",
            "Principal": whom,
            "Action": list(USE),
            "Resource": "*",
        },
        {
            "Sid": f"GrantsForEbsBy{other}",
            "Effect": "Allow",
            "Principal": whom,
            "Action": GRANT,
            "Resource": "*",
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        },
    ]


def _given(policy: Mapping[str, Any], other: str) -> Iterable[str]:
    """Patterns of the actions that a policy allows to the account, or to somebody in it."""
    for statement in _list(policy["Statement"]):
        principal = statement.get("Principal", {})
        whom = _list(principal.get("AWS", [])) if isinstance(principal, dict) else [principal]
        if (
            statement["Effect"] == "Allow"
            and any(_is_of(name, other) for name in whom)
            and not _is_for_others(statement, other)
        ):
            yield from _list(statement.get("Action", []))


def _is_for_others(statement: Mapping[str, Any], account: str) -> bool:
    """Whether a condition of the statement names accounts, and not this one."""
    named = [
        each
        for keys in statement.get("Condition", {}).values()
        for key, values in keys.items()
        if key.lower() in ("kms:calleraccount", "aws:principalaccount")
        for each in _list(values)
    ]
    return bool(named) and account not in named


def _granted(account: Account, key: str, other: str) -> set[str]:
    """The actions that grants on the key give to somebody in the account."""
    with aws_errors(f"list the grants on the key {key}"):
        try:
            pages = account.kms.get_paginator("list_grants").paginate(KeyId=key)
            grants = [grant for page in pages for grant in page["Grants"]]
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED:
                raise
            return set()
    return {
        f"kms:{operation}"
        for grant in grants
        if _is_of(grant.get("GranteePrincipal", ""), other)
        for operation in grant.get("Operations", [])
    }


def _is_of(principal: str, account: str) -> bool:
    """Whether a principal is the account, somebody in it, or everybody."""
    return principal in ("*", account) or principal.split(":")[4:5] == [account]


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
