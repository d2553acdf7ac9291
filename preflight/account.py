"""The AWS account as its clients. No call takes longer than some seconds."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from boto3 import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

# The CDK command line takes this Region if none is configured (`region` in its lib/api/aws-auth).
# https://github.com/aws/aws-cdk-cli/blob/main/packages/%40aws-cdk/toolkit-lib/lib/api/aws-auth/awscli-compatible.ts
DEFAULT_REGION: Final = "us-east-1"

CONFIG: Final = Config(
    connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
)


@dataclass(frozen=True)
class Account:
    """One client for each service, all in one Region."""

    region: str
    cloudformation: "CloudFormationClient"
    ec2: "EC2Client"
    kms: "KMSClient"
    quotas: "ServiceQuotasClient"
    s3: "S3Client"
    secrets: "SecretsManagerClient"
    ssm: "SSMClient"
    sts: "STSClient"


def region_in_use(given: str | None) -> str:
    """This Region, or else the one that is configured.

    Raises:
        BotoCoreError: the configuration is wrong.
    """
    # boto3 itself does not read AWS_REGION.
    return given or os.environ.get("AWS_REGION") or Session().region_name or DEFAULT_REGION


def explain(error: BotoCoreError) -> str:
    """What is wrong with the configuration, for a person."""
    return f"AWS configuration: {str(error).rstrip('.')}: correct it, or unset AWS_PROFILE"


def open_account(region: str | None) -> Account:
    """Clients with the caller's credentials, in this Region or else in the Region that is configured.

    Raises:
        BotoCoreError: the configuration is wrong.
    """
    session, where = Session(), region_in_use(region)

    def client(service: str) -> Any:
        # The stubs have an overload for each service's name, none for a variable.
        made: Any = session.client(service, region_name=where, config=CONFIG)  # type: ignore[call-overload]
        made.meta.events.register("after-call", _name_action)
        return made

    return Account(
        region=where,
        cloudformation=client("cloudformation"),
        ec2=client("ec2"),
        kms=client("kms"),
        quotas=client("service-quotas"),
        s3=client("s3"),
        secrets=client("secretsmanager"),
        ssm=client("ssm"),
        sts=client("sts"),
    )


def _name_action(parsed: dict[str, Any], model: Any, **_: object) -> None:
    """Adds to an error the IAM action of its call, such as `servicequotas:GetServiceQuota`."""
    if "Error" in parsed:
        parsed["Error"]["Action"] = f"{model.service_model.signing_name}:{model.name}"
