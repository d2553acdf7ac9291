"""An AWS account in one Region: its clients, and what the stacks have put there."""

from functools import cached_property
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from prep import contract
from prep.aws import clients
from prep.aws.errors import aws_errors
from prep.aws.retries import Note
from prep.errors import DescriptionError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient


class Account:
    """The clients of an account in one Region, each made when it is first used.

    `profile` names credentials of `aws configure`; without it, they come from the environment. `patient` is
    False for who asks again anyway: the clients repeat no call then, and wait only seconds for an answer.
    """

    def __init__(
        self,
        region: str | None = None,
        profile: str | None = None,
        note: Note = clients.silent,
        patient: bool = True,
    ) -> None:
        self.region = region or clients.region_of(profile)
        self.profile = profile
        self.note = note
        self._repeated = note if patient else None

    def elsewhere(self, region: str) -> "Account":
        """The same account in another Region."""
        return (
            self
            if region == self.region
            else Account(region, self.profile, self.note, self._repeated is not None)
        )

    @cached_property
    def number(self) -> str:
        """The account's twelve digits."""
        with aws_errors("ask whose credentials these are"):
            return self.sts.get_caller_identity()["Account"]

    @cached_property
    def ec2(self) -> "EC2Client":
        """Instances, volumes, snapshots."""
        client: EC2Client = clients.client("ec2", self.region, self.profile, self._repeated)
        return client

    @cached_property
    def ssm(self) -> "SSMClient":
        """The parameter that publishes a snapshot."""
        client: SSMClient = clients.client("ssm", self.region, self.profile, self._repeated)
        return client

    @cached_property
    def s3(self) -> "S3Client":
        """The bucket of the backup."""
        client: S3Client = clients.client("s3", self.region, self.profile, self._repeated)
        return client

    @cached_property
    def kms(self) -> "KMSClient":
        """Keys."""
        client: KMSClient = clients.client("kms", self.region, self.profile, self._repeated)
        return client

    @cached_property
    def secretsmanager(self) -> "SecretsManagerClient":
        """The secret with the site's credentials; its value is never read."""
        client: SecretsManagerClient = clients.client(
            "secretsmanager", self.region, self.profile, self._repeated
        )
        return client

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """Stacks."""
        client: CloudFormationClient = clients.client(
            "cloudformation", self.region, self.profile, self._repeated
        )
        return client

    @cached_property
    def sts(self) -> "STSClient":
        """Whose credentials these are."""
        client: STSClient = clients.client("sts", self.region, self.profile, self._repeated)
        return client


def find_stack(account: Account, name: str) -> "StackTypeDef | None":
    """The stack of this name or ID, or None if there is none."""
    with aws_errors(f"look at the stack {name}"):
        try:
            return account.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            # The one code for an unknown stack, and for a malformed name, which this is not.
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            return None


def output(account: Account, dataset: str, part: str, key: str, default: str | None = None) -> str:
    """An output of one of the data set's stacks, or the default.

    Raises:
        DescriptionError: there is no such stack, or it has no such output, and there is no default.
    """
    name = contract.stack_name(dataset, part)
    stack = find_stack(account, name)
    if stack is None:
        raise DescriptionError(
            f"no stack {name} in {account.region}: run `make deploy`, or give another --dataset or --region"
        )
    for found in stack.get("Outputs", []):
        if found["OutputKey"] == key:
            return found["OutputValue"]
    if default is not None:
        return default
    raise DescriptionError(
        f"stack {name} ({stack['StackStatus']}) has no output {key}: run `make deploy` again"
    )


def published_snapshot(account: Account, dataset: str) -> str | None:
    """The ID that the data set's parameter holds, or None if nothing is published."""
    name = contract.snapshot_parameter(dataset)
    with aws_errors(f"read the parameter {name}"):
        try:
            return account.ssm.get_parameter(Name=name)["Parameter"]["Value"]
        except account.ssm.exceptions.ParameterNotFound:
            return None


def publish(account: Account, dataset: str, snapshot: str) -> str | None:
    """Write the snapshot's ID into the data set's parameter; return the one that was there, or None."""
    before = published_snapshot(account, dataset)
    name = contract.snapshot_parameter(dataset)
    if before != snapshot:
        with aws_errors(f"write the parameter {name}"):
            account.ssm.put_parameter(
                Name=name,
                Value=snapshot,
                Type="String",
                Overwrite=True,
                Description=f"Newest snapshot of {dataset} for training instances",
            )
    return before
