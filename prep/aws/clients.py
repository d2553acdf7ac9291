"""AWS clients, and AWS failures as one line."""

from functools import cache
from typing import TYPE_CHECKING, Any

from prep.aws.errors import aws_errors

if TYPE_CHECKING:
    from boto3 import Session
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

# Standard mode: bounded tries, throttling counted in. Its pauses are short, some seconds in all: a longer gap
# ends the stage, and the service's restart goes on.
OPTIONS: dict[str, Any] = {"retries": {"mode": "standard", "max_attempts": 8}}  # of botocore's Config


@cache
def _session() -> "Session":
    # Half of the time that a command takes to start, and most do without.
    from boto3 import Session
    from botocore.config import Config
    from botocore.session import get_session

    core = get_session()
    core.set_default_client_config(Config(**OPTIONS))
    return Session(botocore_session=core)


def s3() -> "S3Client":
    """A client for S3."""
    with aws_errors("make an S3 client"):
        return _session().client("s3")


def ec2() -> "EC2Client":
    """A client for EC2."""
    with aws_errors("make an EC2 client"):
        return _session().client("ec2")


def ssm() -> "SSMClient":
    """A client for Systems Manager."""
    with aws_errors("make an SSM client"):
        return _session().client("ssm")


def secretsmanager() -> "SecretsManagerClient":
    """A client for Secrets Manager."""
    with aws_errors("make a Secrets Manager client"):
        return _session().client("secretsmanager")
