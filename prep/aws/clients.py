"""AWS clients. Each calls `note` with a line of text when a call is repeated."""

import os
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import NoRegionError

from prep.aws.errors import aws_errors
from prep.aws.retries import Note, repeat_calls

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

# botocore does not retry: `retries` decides which calls are repeated, and for how long.
OPTIONS: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": 1}}  # of botocore's Config
AT_ONCE: dict[str, Any] = {"connect_timeout": 3, "read_timeout": 5}  # seconds


def silent(_text: str) -> None:
    """Ignore the notes about repeated calls."""


@cache
def _session(profile: str | None = None, region: str | None = None) -> "Session":
    # Imported here: boto3 takes half of the start time of a command, and most commands do not need it.
    from boto3 import Session
    from botocore.config import Config
    from botocore.session import get_session

    core = get_session()
    core.set_default_client_config(Config(**OPTIONS))
    return Session(botocore_session=core, profile_name=profile, region_name=region)


def region_of(profile: str | None = None) -> str:
    """The Region that the environment or the profile names.

    AWS_REGION comes first: boto3 ignores it, but the AWS CLI and the CDK, which made the stacks, prefer it.
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html

    Raises:
        CredentialsError: it names none, or there is no such profile.
    """
    with aws_errors("find the AWS Region"):
        region = os.environ.get("AWS_REGION") or _session(profile).region_name
        if region is None:
            raise NoRegionError
        return region


def client(service: str, region: str, profile: str | None, note: Note | None) -> Any:
    """A client for any service, in a Region, with the credentials of a profile or of the environment.

    Without `note`, it gives up after some seconds and repeats nothing: for who asks again anyway.
    """
    from botocore.config import Config

    with aws_errors(f"make a client for {service}"):
        config = None if note else Config(**AT_ONCE)
        made = cast(Any, _session(profile, region)).client(service, config=config)
    if note:
        repeat_calls(made, note)
    return made


def s3(note: Note = silent) -> "S3Client":
    """A client for S3."""
    with aws_errors("make an S3 client"):
        client = _session().client("s3")
    repeat_calls(client, note)
    return client


def s3_at_once() -> "S3Client":
    """A client for S3 that gives up after some seconds and repeats nothing: for what is soon out of date."""
    from botocore.config import Config

    with aws_errors("make an S3 client"):
        return _session().client("s3", config=Config(**AT_ONCE))


def ec2(note: Note = silent) -> "EC2Client":
    """A client for EC2."""
    with aws_errors("make an EC2 client"):
        client = _session().client("ec2")
    repeat_calls(client, note)
    return client


def ssm(note: Note = silent) -> "SSMClient":
    """A client for Systems Manager."""
    with aws_errors("make an SSM client"):
        client = _session().client("ssm")
    repeat_calls(client, note)
    return client


def secretsmanager(note: Note = silent) -> "SecretsManagerClient":
    """A client for Secrets Manager."""
    with aws_errors("make a Secrets Manager client"):
        client = _session().client("secretsmanager")
    repeat_calls(client, note)
    return client


def sns(note: Note = silent) -> "SNSClient":
    """A client for SNS."""
    with aws_errors("make an SNS client"):
        client = _session().client("sns")
    repeat_calls(client, note)
    return client
