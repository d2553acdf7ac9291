"""What AWS says becomes one line: the operation, the reason, and what to do where we know it."""

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from prep.aws import clients
from prep.aws.errors import aws_errors
from prep.errors import AwsError, CredentialsError, IntegrityError, PrepError


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "because"}}, "CreateSnapshot")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (NoCredentialsError(), CredentialsError, "do it: no AWS credentials: run `aws configure`"),
        (NoRegionError(), CredentialsError, "do it: no AWS Region: set AWS_DEFAULT_REGION"),
        (refused("UnauthorizedOperation"), AwsError, "because: allow this role to call CreateSnapshot"),
        (refused("AccessDenied"), AwsError, "because: allow this role to call CreateSnapshot"),
        (refused("ExpiredToken"), CredentialsError, "because: log in to AWS again, then run again"),
        (
            refused("InvalidVolume.NotFound"),
            AwsError,
            "^do it: CreateSnapshot: InvalidVolume.NotFound: because: check the names .* then run again$",
        ),
        (EndpointConnectionError(endpoint_url="x"), AwsError, "run again; it continues where it stopped"),
        (IntegrityError("as it was"), IntegrityError, "^as it was$"),
    ],
)
def test_one_line(error: Exception, kind: type[PrepError], message: str) -> None:
    with pytest.raises(kind, match=message), aws_errors("do it"):
        raise error


def test_other_errors_are_no_aws_errors() -> None:
    with pytest.raises(ZeroDivisionError), aws_errors("do it"):
        raise ZeroDivisionError


def test_without_a_region(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert aws
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(CredentialsError, match="make an EC2 client: no AWS Region"):
        clients.ec2()
