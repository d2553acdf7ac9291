"""Failures of AWS calls as one line of text."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from prep.errors import AwsError, CredentialsError, PrepError

if TYPE_CHECKING:
    from boto3.exceptions import Boto3Error

# The service is overloaded, or fails for a moment.
BUSY = {
    "InternalError",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}
# The request arrived damaged, or did not arrive.
DAMAGED = {"BadDigest", "IncompleteBody", "RequestTimeout", "XAmzContentSHA256Mismatch"}
PASSING = BUSY | DAMAGED | {"NoSuchUpload"}  # running again helps
# Credentials of a role or of a login, which last for hours.
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403"}


@contextmanager
def aws_errors(operation: str) -> Iterator[None]:
    """Turn the exceptions of boto3 into one line that begins with `operation`.

    Raises:
        CredentialsError: no AWS credentials or no Region are configured, or the credentials have expired.
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
    except ProfileNotFound as error:
        raise CredentialsError(
            f"{operation}: {error}: run `aws configure list-profiles` to see those that are there"
        ) from error
    except NoRegionError as error:
        raise CredentialsError(f"{operation}: no AWS Region: set AWS_DEFAULT_REGION") from error
    except ClientError as error:
        kind = CredentialsError if error.response["Error"].get("Code") in EXPIRED else AwsError
        raise kind(f"{operation}: {_reason(error)}") from error
    except _transfer_error() as error:  # the ClientError is its context
        cause = error.__context__
        raise AwsError(
            f"{operation}: {_reason(cause) if isinstance(cause, ClientError) else f'{error}: run again'}"
        ) from error
    except BotoCoreError as error:
        reason = str(error).rstrip(".")
        raise AwsError(f"{operation}: {reason}: run again; it continues where it stopped") from error


@contextmanager
def ignored(codes: Collection[str]) -> Iterator[None]:
    """Ignore refusals with one of these codes. It belongs inside `aws_errors`."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"].get("Code") not in codes:
            raise


def _transfer_error() -> "type[Boto3Error]":
    from boto3.exceptions import Boto3Error  # imported only after an exception

    return Boto3Error


def _reason(error: ClientError) -> str:
    code = error.response["Error"].get("Code", "")
    message = error.response["Error"].get("Message", "")
    if code in DENIED:
        remedy = f": allow this role to call {error.operation_name}"
    elif code in EXPIRED:
        remedy = ": log in to AWS again, then run again; it continues where it stopped"
    elif code in PASSING:
        remedy = ": run again; it continues where it stopped"
    else:
        remedy = ": check the names and options that were given, then run again"
    return f"{error.operation_name}: {code}: {message.rstrip('.')}{remedy}"
