"""Status: how far the run on the prep instance is, and whether the instance is alive."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from prep import contract
from prep.aws.errors import aws_errors
from prep.owner.account import Account, find_stack, output
from prep.reporting import places, verdict
from prep.reporting.costs import cost_of
from prep.reporting.verdict import Instance, Place
from prep.reporting.view import Report

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-describing-stacks.html
DEPLOYING = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}
GONE = {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}


class Look:
    """Looks at a data set's run, again and again."""

    def __init__(self, account: Account, dataset: str) -> None:
        """Find the bucket.

        Raises:
            DescriptionError: there is no Dataset stack.
        """
        self._account = account
        self._dataset = dataset
        self.bucket = output(account, dataset, "dataset", "BucketName")

    def __call__(self) -> Report:
        """What there is to be told now.

        Raises:
            AwsError, IntegrityError: a call was refused, or the object is no status.
        """
        account = self._account
        found = places.fetch_from(account.s3, self.bucket, self._dataset)
        document, age = found or (None, 0.0)
        stack = find_stack(account, contract.stack_name(self._dataset, "prep"))
        name = _instance_of(stack) if stack else ""
        deploying = stack is not None and stack["StackStatus"] in DEPLOYING
        instance = describe(account, name) if name else None
        place = Place(self._dataset, region=account.region)
        return Report(
            dataset=self._dataset,
            verdict=verdict.from_outside(document, age, instance, place, deploying),
            document=document,
            age=age,
            cost=cost_of(document, age, _idle(instance)) if document else None,
            stages=document.stages if document else {},
            instance=instance,
            region=account.region,
        )


def _instance_of(stack: "StackTypeDef") -> str:
    """The ID of the prep instance; "" until the Prep stack is complete: no output is there before."""
    outputs = stack.get("Outputs", [])
    return next((each["OutputValue"] for each in outputs if each["OutputKey"] == "InstanceId"), "")


def describe(account: Account, instance: str) -> Instance | None:
    """The instance as EC2 has it now; None if it is gone for longer than EC2 remembers."""
    with aws_errors(f"look at the instance {instance}"):
        try:
            answer = account.ec2.describe_instances(InstanceIds=[instance])
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            return None
    found = [each for made in answer["Reservations"] for each in made["Instances"]]
    if not found:
        return None
    up = (places.time_of(answer) - found[0]["LaunchTime"]).total_seconds()
    return Instance(instance, found[0]["State"]["Name"], _checks(account, instance), round(max(0.0, up), 1))


def _checks(account: Account, instance: str) -> str:
    """The worse of EC2's two status checks; "" unless the instance is running."""
    with aws_errors(f"look at the status checks of {instance}"):
        found = account.ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
    told = [each[kind]["Status"] for each in found for kind in ("SystemStatus", "InstanceStatus")]
    return next((word for word in told if word != "ok"), told[0] if told else "")


def _idle(instance: Instance | None) -> float | None:
    """For how long the instance has run since it was started last; None unless it runs."""
    return instance.up_seconds if instance and instance.state == "running" else None
