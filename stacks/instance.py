"""The common parts of the prep instance and the training instances: role, root disk, tags, boot settings."""

from collections.abc import Sequence

from aws_cdk import Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import IConstruct

from prep import contract
from stacks import policies
from stacks.policies import Grant


def make_role(stack: Stack, description: str, grants: Sequence[Grant]) -> iam.Role:
    """The role of an instance, which allows a shell through Session Manager, and these grants."""
    role = iam.Role(
        stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"), description=description
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
