"""AWS clients, and AWS failures as one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from prep.errors import AwsError, CredentialsError, PrepError

if TYPE_CHECKING:
    from boto3 import Session
    from boto3.exceptions import Boto3Error
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

# Standard mode: bounded tries, throttling counted in. Its pauses are short, some seconds in all: a longer gap
# ends the stage, and the service's restart goes on.
OPTIONS: dict[str, Any] = {"retries": {"mode": "standard", "max_attempts": 8}}  # of botocore's Config
# A try of its own later will do: the service was busy, lost something, or got damaged bytes.
PASSING = {
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "NoSuchUpload",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "XAmzContentSHA256Mismatch",
}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403"}


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


@contextmanager
def aws_errors(operation: str) -> Iterator[None]:
    """Turn what boto3 raises into one line that begins with `operation`.

    Raises:
        CredentialsError: there is no AWS identity or Region.
        AwsError: the call was refused or failed.
    """
    try:
        yield
    except PrepError:
        raise
    except NoCredentialsError as error:
        raise CredentialsError(
            f"{operation}: no AWS credentials: run `aws configure`, or use a role"
        ) from error
    except NoRegionError as error:
        raise CredentialsError(f"{operation}: no AWS Region: set AWS_DEFAULT_REGION") from error
    except ClientError as error:
        raise AwsError(f"{operation}: {_reason(error)}") from error
    except _transfer_error() as error:  # the cause is in the chain
        cause = error.__context__
        raise AwsError(
            f"{operation}: {_reason(cause) if isinstance(cause, ClientError) else error}"
        ) from error
    except BotoCoreError as error:
        reason = str(error).rstrip(".")
        raise AwsError(f"{operation}: {reason}: run again, it goes on where it was") from error


def _transfer_error() -> "type[Boto3Error]":
    from boto3.exceptions import Boto3Error  # looked up when something was raised

    return Boto3Error


def _reason(error: ClientError) -> str:
    code = error.response["Error"].get("Code", "")
    message = error.response["Error"].get("Message", "")
    remedy = ""
    if code in DENIED:
        remedy = f": allow this role to call {error.operation_name}"
    elif code in PASSING:
        remedy = ": run again, it goes on where it was"
    return f"{error.operation_name}: {code}: {message.rstrip('.')}{remedy}"
