"""Everything that an account has, and what of it may be left when the stacks are gone."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rehearsal.narrator import Narrator
from rehearsal.operator.account import Cloud

Item = tuple[str, str]  # what it is, and its name
Names = Callable[[Cloud], Iterator[str]]


def listing(cloud: Cloud) -> set[Item]:
    """Everything in one account and Region, of all services that the stacks, prep and CDK use."""
    return {(kind, name) for kind, names in _LISTS.items() for name in names(cloud)}


def _pages(cloud: Cloud, service: str, operation: str, key: str, field: str, **more: Any) -> Iterator[str]:
    client = cloud.client(service)
    if client.can_paginate(operation):
        answers: Iterable[Any] = client.get_paginator(operation).paginate(**more)
    else:
        answers = [getattr(client, operation)(**more)]
    for answer in answers:
        for item in answer.get(key, []):
            yield str(item[field])


def _list(
    service: str, operation: str, key: str, field: str, **more: Any
) -> Callable[[Cloud], Iterator[str]]:
    return lambda cloud: _pages(cloud, service, operation, key, field, **more)


def instances(cloud: Cloud) -> Iterator[str]:
    for reservation in cloud.client("ec2").describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] != "terminated":  # AWS lists those for an hour
                yield instance["InstanceId"]


def _snapshots(cloud: Cloud) -> Iterator[str]:
    for snapshot in cloud.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        if snapshot["OwnerId"] == cloud.account:  # moto does not look at OwnerIds
            yield snapshot["SnapshotId"]


def _stacks(cloud: Cloud) -> Iterator[str]:
    for stack in cloud.client("cloudformation").describe_stacks()["Stacks"]:
        yield stack["StackName"]


def _endpoints(cloud: Cloud) -> Iterator[str]:
    for endpoint in cloud.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]:
        if endpoint["State"] != "deleted":
            yield endpoint["VpcEndpointId"]


def _parameters(cloud: Cloud) -> Iterator[str]:
    for name in _pages(cloud, "ssm", "describe_parameters", "Parameters", "Name"):
        if not name.startswith("/aws/service/"):  # AWS's own, which it does not list
            yield name


def _keys(cloud: Cloud) -> Iterator[str]:
    client = cloud.client("kms")
    for name in _pages(cloud, "kms", "list_keys", "Keys", "KeyId"):
        if client.describe_key(KeyId=name)["KeyMetadata"]["KeyManager"] == "CUSTOMER":
            yield name


def _uploads(cloud: Cloud) -> Iterator[str]:
    s3 = cloud.client("s3")
    for bucket in _pages(cloud, "s3", "list_buckets", "Buckets", "Name"):
        for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            yield f"{bucket}/{upload['Key']}"


_LISTS: dict[str, Names] = {
    "stack": _stacks,
    "instance": instances,
    "volume": _list("ec2", "describe_volumes", "Volumes", "VolumeId"),
    "snapshot": _snapshots,
    "image": _list("ec2", "describe_images", "Images", "ImageId", Owners=["self"]),
    "network interface": _list(
        "ec2", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"
    ),
    "address": _list("ec2", "describe_addresses", "Addresses", "AllocationId"),
    "security group": _list("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    "VPC": _list("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    "subnet": _list("ec2", "describe_subnets", "Subnets", "SubnetId"),
    "route table": _list("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    "network ACL": _list("ec2", "describe_network_acls", "NetworkAcls", "NetworkAclId"),
    "internet gateway": _list("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "VPC endpoint": _endpoints,
    "launch template": _list("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateName"),
    "key pair": _list("ec2", "describe_key_pairs", "KeyPairs", "KeyName"),
    "role": _list("iam", "list_roles", "Roles", "RoleName"),
    "policy": _list("iam", "list_policies", "Policies", "PolicyName", Scope="Local"),
    "instance profile": _list("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    "user": _list("iam", "list_users", "Users", "UserName"),
    "parameter": _parameters,
    "secret": _list("secretsmanager", "list_secrets", "SecretList", "Name"),
    "bucket": _list("s3", "list_buckets", "Buckets", "Name"),
    "upload": _uploads,
    "topic": _list("sns", "list_topics", "Topics", "TopicArn"),
    "subscription": _list("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    "log group": _list("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "key": _keys,
    "repository": _list("ecr", "describe_repositories", "repositories", "repositoryName"),
    "function": _list("lambda", "list_functions", "Functions", "FunctionName"),
}


def nothing_else(cloud: Cloud, dataset: str, before: set[Item], narrator: Narrator, *, keys: int = 0) -> None:
    """Compares what is there now with what was there before the first step, and with what may stay.

    keys: how many keys of its own the deployment had.
    """
    left = sorted(listing(cloud) - before)
    tagged = _tagged_snapshots(cloud, dataset)
    unexpected: list[str] = []
    kept: list[str] = []
    for kind, name in left:
        reason = _reason(kind, name, dataset, tagged)
        (kept if reason else unexpected).append(f"{kind} {name}")
    wrong_keys = sum(kind == "key" for kind, _ in left) != keys
    figure = f"left over: {', '.join(unexpected)}" if unexpected else f"{len(kept)} things, each for a reason"
    what = f"nothing else is left in {cloud.account}, {cloud.region}"
    narrator.check(what, not unexpected and not wrong_keys, figure)


def _reason(kind: str, name: str, dataset: str, tagged: set[str]) -> str:
    """Why this may stay; empty if it must not."""
    if "hnb659fds" in name or name == "CDKToolkit":  # the qualifier of CDK's own resources
        return "`make bootstrap` made it for all CDK apps of the account; it costs nothing while it is empty"
    return {
        ("secret", f"{dataset}/credentials"): "the operator made it, before the stacks",
        (
            "parameter",
            f"/{dataset}/snapshot-id",
        ): "training instances of a later deployment look there",
        ("bucket", name if name.startswith(f"{dataset}-dataset-") else ""): "the backup",
        ("snapshot", name if name in tagged else ""): "the data set, or the last state of a volume",
        ("key", name): "the snapshots and the backup can't be read without it",
    }.get((kind, name), "")


def _tagged_snapshots(cloud: Cloud, dataset: str) -> set[str]:
    filters = [{"Name": "tag:dataset", "Values": [dataset]}]
    return set(_pages(cloud, "ec2", "describe_snapshots", "Snapshots", "SnapshotId", Filters=filters))
