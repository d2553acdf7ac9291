"""How much of the account's quotas is in use in this Region."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from preflight.account import Account

# Each page has a thousand snapshots and may take a second. More pages are not counted.
SNAPSHOT_PAGES: Final = 5


def running_types(account: Account, spot: bool = False) -> list[str]:
    """The type of each On-Demand Instance that runs, or of each Spot Instance. Stopped ones do not count."""
    pages = account.ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    )
    return [
        instance["InstanceType"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if (instance.get("InstanceLifecycle") == "spot") == spot
    ]


def vcpus(account: Account, types: Iterable[str]) -> dict[str, int]:
    """The number of vCPUs of each type.

    Raises:
        ClientError: the Region has no such type (InvalidInstanceType), or the call was refused.
    """
    pages = account.ec2.get_paginator("describe_instance_types").paginate(
        InstanceTypes=sorted(types)  # type: ignore[arg-type]  # the stubs list the types of their day
    )
    return {
        each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"]
        for page in pages
        for each in page["InstanceTypes"]
    }


def volume_gib(account: Account) -> Counter[str]:
    """GiB of all volumes, by their type."""
    gib: Counter[str] = Counter()
    for page in account.ec2.get_paginator("describe_volumes").paginate(PaginationConfig={"PageSize": 500}):
        for volume in page["Volumes"]:
            gib[volume["VolumeType"]] += volume["Size"]
    return gib


def snapshots(account: Account) -> tuple[int, bool]:
    """The number of the account's snapshots, and whether all of them were counted."""
    pages = account.ec2.get_paginator("describe_snapshots").paginate(
        OwnerIds=["self"], PaginationConfig={"PageSize": 1000, "MaxItems": SNAPSHOT_PAGES * 1000}
    )
    count = sum(len(page["Snapshots"]) for page in pages)
    return count, pages.resume_token is None


def vpcs(account: Account) -> int:
    """The number of VPCs."""
    pages = account.ec2.get_paginator("describe_vpcs").paginate()
    return sum(len(page["Vpcs"]) for page in pages)
