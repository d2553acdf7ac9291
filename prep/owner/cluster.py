"""Cluster: launch the head of a Ray cluster, which launches the workers by itself, and end them all."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prep import contract, prices
from prep.aws.errors import aws_errors, ignored
from prep.aws.retries import Note
from prep.errors import AwsError, DescriptionError, PrepError
from prep.interrupt import stopping
from prep.owner import ec2
from prep.owner.account import Account, find_stack, output
from prep.progress import duration

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

# How often machines that end are looked at, and for how long: an instance takes a minute or two.
PAUSE = 5.0
LONGEST_SECONDS = 600.0
THERE = (*ec2.ALIVE, "shutting-down")


@dataclass(frozen=True)
class Plan:
    """What is launched: the head, from its template, in one of these zones (zone → subnet).

    `hour_usd`: the head and all workers at on-demand prices, with disks and addresses; None if not known.
    """

    dataset: str
    region: str
    template: str
    head_type: str
    worker_type: str
    most_workers: int
    market: str
    subnets: Mapping[str, str]
    bucket: str
    hour_usd: float | None


@dataclass(frozen=True)
class Head:
    """A launched head. `watch`: commands that show how far it is, and what it said at its end."""

    instance: str
    zone: str
    watch: tuple[str, ...]


def make_plan(account: Account, dataset: str) -> Plan:
    """Find the launch template and the zones; check what can be checked before money is spent.

    Raises:
        DescriptionError: there is no Cluster stack, no zone has the head's type, or there is a head already.
        AwsError: a call was refused.
    """
    name = contract.stack_name(dataset, "cluster")
    if find_stack(account, name) is None:
        raise DescriptionError(
            f"cluster: there is no stack {name} in {account.region}: deploy with the setting "
            'cluster_workers, such as make deploy SETTINGS="cluster_workers=4"'
        )
    heads = ec2.instances_of(account, dataset, [contract.ROLE_HEAD])
    if heads:
        raise DescriptionError(
            f"cluster: {heads[0]['InstanceId']} is the head already: two would write the same files: wait "
            "until it has ended, or give --stop"
        )
    template = output(account, dataset, "cluster", "HeadTemplateId")
    head_type = ec2.type_of(account, template)
    worker_type = output(account, dataset, "cluster", "WorkerType")
    count = int(output(account, dataset, "cluster", "MostWorkers"))
    return Plan(
        dataset,
        account.region,
        template,
        head_type,
        worker_type,
        count,
        output(account, dataset, "cluster", "Market"),
        _subnets(account, dataset, head_type, worker_type),
        output(account, dataset, "dataset", "BucketName"),
        _hour(account.region, head_type, worker_type, count),
    )


def _subnets(account: Account, dataset: str, head_type: str, worker_type: str) -> dict[str, str]:
    """The subnet of each zone that offers the head's type; those that offer the workers' as well come first,
    as traffic between zones costs.
    """
    there = ec2.subnets(account, output(account, dataset, "dataset", "SubnetIds").split(","))
    usable = sorted(set(there) & ec2.zones_with(account, head_type))
    if not usable:
        raise DescriptionError(
            f"cluster: no zone of {account.region} with a subnet offers {head_type}: deploy with another "
            "cluster_head_type"
        )
    both = ec2.zones_with(account, worker_type)
    if not both & set(there):
        raise DescriptionError(
            f"cluster: no zone of {account.region} with a subnet offers {worker_type}: deploy with another "
            "cluster_instance_type"
        )
    return {zone: there[zone] for zone in sorted(usable, key=lambda zone: zone not in both)}


def _hour(region: str, head_type: str, worker_type: str, count: int) -> float | None:
    head = prices.machine_hour(f"{head_type},gp3={contract.CLUSTER_HEAD_ROOT_GIB}")
    worker = prices.machine_hour(f"{worker_type},gp3={contract.CLUSTER_ROOT_GIB}")
    if head is None or worker is None:
        return None
    return round(head + count * worker + (count + 1) * prices.load(region).hour["address"], 2)


def launch(account: Account, plan: Plan, note: Note) -> Head:
    """Launch the head, in the first zone that has room.

    Raises:
        AwsError: EC2 refuses; or no zone has room.
        KeyboardInterrupt: Ctrl-C, held back until the call at hand is answered.
    """
    refusals = []
    for zone, subnet in plan.subnets.items():
        try:
            return _head(account, plan, _run_instance(account, plan, subnet), zone)
        except PrepError as error:
            if ec2.code(error) not in ec2.ZONE_REFUSES:
                raise
            refusals.append(str(error))
            note(f"{error}: trying the next zone")
    raise AwsError("; ".join(refusals))


def _run_instance(account: Account, plan: Plan, subnet: str) -> str:
    """Launch the head; a repeat of the call with its token makes no second one."""
    token = uuid.uuid4().hex
    try:
        with ec2.answered(), aws_errors(f"launch the head, {plan.head_type}"):
            made = account.ec2.run_instances(
                LaunchTemplate={"LaunchTemplateId": plan.template, "Version": ec2.VERSION},
                SubnetId=subnet,
                MinCount=1,
                MaxCount=1,
                ClientToken=token,
            )
    except PrepError:
        lost = _lost(account, token)
        if lost is None:
            raise
        return lost
    return made["Instances"][0]["InstanceId"]


def _lost(account: Account, token: str) -> str | None:
    """The instance of a call whose answer was lost; None also if EC2 does not answer now."""
    stopping.set()  # one attempt is enough: somebody waits for the message
    try:
        return next((each["InstanceId"] for each in ec2.described(account, "client-token", [token])), None)
    except PrepError:
        return None  # the first error is the one to be told
    finally:
        stopping.clear()


def _head(account: Account, plan: Plan, instance: str, zone: str) -> Head:
    region = f"--region {account.region}"
    notice = f"s3://{plan.bucket}/{contract.packed_prefix(plan.dataset)}.prep/notice.txt"
    return Head(
        instance,
        zone,
        (
            f"aws ssm start-session {region} --target {instance}",
            f"journalctl --follow --unit {contract.CLUSTER_SERVICE}",
            f"aws s3 cp {region} {notice} -",
        ),
    )


def machines(account: Account, dataset: str) -> "list[InstanceTypeDef]":
    """The head and the workers that are not gone, the head first."""
    found = ec2.instances_of(account, dataset, [contract.ROLE_HEAD, contract.ROLE_WORKER], THERE)
    return sorted(found, key=lambda each: (_role(each) != contract.ROLE_HEAD, each["InstanceId"]))


def _role(instance: "InstanceTypeDef") -> str:
    return next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == contract.TAG_ROLE)


def stop(
    account: Account,
    dataset: str,
    note: Note,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> list[str]:
    """End the head and the workers, and wait until they are gone; returns their IDs.

    The head goes first. Until it is gone it may launch another worker, which is then ended as well.

    Raises:
        AwsError: EC2 refuses, or they are not gone after ten minutes.
    """
    ended: dict[str, None] = {}
    begun = clock()
    while found := machines(account, dataset):
        for role in (contract.ROLE_HEAD, contract.ROLE_WORKER):
            names = [
                each["InstanceId"]
                for each in found
                if _role(each) == role and each["InstanceId"] not in ended
                and each["State"]["Name"] != "shutting-down"
            ]  # fmt: skip
            if names:
                _terminate(account, names)
                note(f"cluster: ending {' '.join(names)}")
            ended |= dict.fromkeys(names)
        ended |= dict.fromkeys(each["InstanceId"] for each in found)
        if clock() - begun >= LONGEST_SECONDS:
            raise AwsError(
                f"cluster: {len(found)} machines are not gone after {duration(LONGEST_SECONDS)}: run again "
                "to go on waiting"
            )
        pause(PAUSE)
    return list(ended)


def _terminate(account: Account, names: list[str]) -> None:
    # One that has just ended by itself may be unknown already.
    with aws_errors(f"end {' '.join(names)}"), ignored({"InvalidInstanceID.NotFound"}):
        account.ec2.terminate_instances(InstanceIds=names)
