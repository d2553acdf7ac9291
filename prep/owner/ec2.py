"""What `launch` and `cluster` ask of EC2."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from prep import contract
from prep.aws.errors import aws_errors
from prep.errors import PrepError
from prep.interrupt import stopping
from prep.owner.account import Account

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

# CloudFormation makes a new version at an update, but leaves the default version as it is.
# https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1518
VERSION = "$Latest"
# Refusals that concern one zone: the next may have what this one lacks. A quota is one of the Region.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
ZONE_REFUSES = {
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientInstanceCapacity",
    "UnfulfillableCapacity",
    "Unsupported",
}
# The states in which an instance, or its disk, costs money.
ALIVE = ("pending", "running", "stopping", "stopped")
# A filter takes 200 values at most: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
FILTER_VALUES = 200


def subnets(account: Account, ids: Sequence[str]) -> dict[str, str]:
    """The subnet of each zone."""
    with aws_errors("look at the subnets"):
        found = account.ec2.describe_subnets(SubnetIds=list(ids))["Subnets"]
    return {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in found}


def type_of(account: Account, template: str) -> str:
    """The instance type of a launch template."""
    with aws_errors(f"look at the launch template {template}"):
        found = account.ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=[VERSION])
    return found["LaunchTemplateVersions"][0]["LaunchTemplateData"]["InstanceType"]


def zones_with(account: Account, instance_type: str) -> set[str]:
    """The zones of the Region that offer the type."""
    zones: set[str] = set()
    with aws_errors(f"look for zones with {instance_type}"):
        for page in account.ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [instance_type]}],
        ):
            zones |= {offering["Location"] for offering in page["InstanceTypeOfferings"]}
    return zones


def described(account: Account, name: str, values: Sequence[str]) -> "Iterator[InstanceTypeDef]":
    """The instances that pass a filter."""
    for first in range(0, len(values), FILTER_VALUES):
        wanted: Any = {"Name": name, "Values": list(values[first : first + FILTER_VALUES])}
        with aws_errors("look at the instances"):
            for page in account.ec2.get_paginator("describe_instances").paginate(Filters=[wanted]):
                yield from (each for made in page["Reservations"] for each in made["Instances"])


def instances_of(
    account: Account, dataset: str, roles: Sequence[str], states: Sequence[str] = ALIVE
) -> "list[InstanceTypeDef]":
    """The instances of a data set whose tag names one of these roles, in these states."""
    filters = {
        f"tag:{contract.TAG_DATASET}": [dataset],
        f"tag:{contract.TAG_ROLE}": list(roles),
        "instance-state-name": list(states),
    }
    with aws_errors(f"look for instances of {dataset}"):
        pages = account.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": name, "Values": values} for name, values in filters.items()]
        )
        return [each for page in pages for made in page["Reservations"] for each in made["Instances"]]


@contextmanager
def answered() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until a call is answered: a lost answer hides instances that cost money.

    A call that is being repeated is not repeated any more.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if stopping.is_set():
            stopping.clear()
            raise KeyboardInterrupt


def code(error: PrepError) -> str:
    """AWS's code of the refusal that an error was made of."""
    cause = error.__cause__
    return str(cause.response["Error"].get("Code", "")) if isinstance(cause, ClientError) else ""
