"""What moto lacks of sharing: the other account sees a shared snapshot, but not its owner's tags."""

import copy
from pathlib import Path

import boto3
from moto.ec2.models import ec2_backends

from tests.conftest import REGION
from tests.prep.owner.conftest import ACCOUNT, OTHER

PROFILE = "colleague"


def lend(snapshot: str) -> None:
    """Let the other account see a snapshot that is shared with it."""
    held = ec2_backends[ACCOUNT][REGION].snapshots[snapshot]
    assert OTHER in held.create_volume_permission_userids
    seen = copy.copy(held)
    seen.ec2_backend = ec2_backends[OTHER][REGION]  # whose tags are shown
    ec2_backends[OTHER][REGION].snapshots[snapshot] = seen


def write_profile(endpoint: str, credentials: Path) -> None:
    """Credentials of the other account, as `aws configure` stores them."""
    sts = boto3.client("sts", endpoint_url=endpoint)
    made = sts.assume_role(RoleArn=f"arn:aws:iam::{OTHER}:role/owner", RoleSessionName="test")["Credentials"]
    credentials.write_text(
        f"[{PROFILE}]\naws_access_key_id={made['AccessKeyId']}\n"
        f"aws_secret_access_key={made['SecretAccessKey']}\naws_session_token={made['SessionToken']}\n"
    )
