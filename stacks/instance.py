"""The common parts of the instances: role, root disk, tags, boot settings, package, topic, logs."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, RemovalPolicy, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import IConstruct

from prep import contract
from stacks import policies
from stacks.policies import Grant
from stacks.settings import PACKAGE, Dataset, Settings

APP = "/opt/dataset-prep"


def make_role(
    stack: Stack, description: str, grants: Sequence[Grant], construct_id: str = "Role"
) -> iam.Role:
    """The role of an instance, which allows a shell through Session Manager, and these grants."""
    role = iam.Role(
        stack, construct_id, assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"), description=description
    )
    policies.add_grants(role, [*policies.session_manager(), *grants])
    return role


def root_disk(gib: int, key: kms.IKey | None = None) -> ec2.BlockDevice:
    """The disk that an instance starts from, encrypted by this key, or by EBS's default key."""
    return ec2.BlockDevice(
        device_name="/dev/xvda",
        volume=ec2.BlockDeviceVolume.ebs(
            gib, encrypted=True, kms_key=key, volume_type=ec2.EbsDeviceVolumeType.GP3
        ),
    )


def tag_role(construct: IConstruct, role: str) -> None:
    """Tag an instance or a launch template with its role, which the conditions of the policies use."""
    Tags.of(construct).add(contract.TAG_ROLE, role)


def common_exports(stack: Stack) -> dict[str, str]:
    """The settings in the user data of every instance."""
    return {"AWS_DEFAULT_REGION": stack.region}


def make_package(stack: Stack) -> assets.Asset:
    """The package prep as an object in S3."""
    return assets.Asset(stack, "Package", path=str(PACKAGE), exclude=["**/__pycache__"])


def make_description(stack: Stack, dataset: Dataset) -> assets.Asset | None:
    """The description of the data set as an object in S3; None if the package contains it."""
    if dataset.shipped:
        return None
    return assets.Asset(stack, "Description", path=str(dataset.path.resolve()))


def description_place(dataset: Dataset) -> str:
    """The description's name, or its path on the instance; contract.ENV_DATASET has it there."""
    return dataset.own_name if dataset.shipped else f"{APP}/{dataset.own_name}.toml"


def arns_of(fetched: Sequence[assets.Asset | None]) -> list[str]:
    """The ARNs of the objects of assets."""
    return [each.bucket.arn_for_objects(each.s3_object_key) for each in fetched if each is not None]


def make_topic(stack: Stack, name: str, settings: Settings, key: kms.IKey | None) -> sns.Topic | None:
    """The topic that is told the end of the work; SNS asks the address to confirm once."""
    if settings.notify is None:
        return None
    topic = sns.Topic(stack, "Notices", display_name=f"Data set {name}", enforce_ssl=True, master_key=key)
    topic.add_subscription(subscriptions.EmailSubscription(settings.notify))
    return topic


def make_log_group(stack: Stack, name: str, days: int) -> logs.CfnLogGroup | None:
    """The log group of instances; None for 0 days."""
    if not days:
        return None
    group = logs.CfnLogGroup(stack, "Logs", log_group_name=name, retention_in_days=days)
    group.apply_removal_policy(RemovalPolicy.DESTROY)
    return group


def log_grants(stack: Stack, group: logs.CfnLogGroup | None) -> list[Grant]:
    """Allows to write into the log group, if there is one."""
    if group is None:
        return []
    arn = stack.format_arn(
        service="logs",
        resource="log-group",
        resource_name=group.log_group_name,
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    return policies.logs(arn)
