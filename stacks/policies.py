"""The permissions of the two kinds of instances: pure functions from names and ARNs to grants.

A wildcard is used only if EC2 or S3 allows nothing else. Its grant gives the reason.
Actions, resources and condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from prep import contract
from stacks.acknowledge import acknowledge, wildcard_finding

# Values of the tag contract.TAG_ROLE.
ROLE_PREP: Final = "prep"
ROLE_TRAINING: Final = "training"
ROLE_RESTORED: Final = "restored"

NO_ARN: Final = "EC2 knows no narrower resource for describing."


@dataclass(frozen=True)
class Grant:
    """Actions on ARNs with conditions. `wildcard` is the reason why an ARN ends in an asterisk."""

    actions: Sequence[str]
    resources: Sequence[str]
    conditions: dict[str, Any] | None = None
    wildcard: str = ""


@dataclass(frozen=True)
class Arns:
    """The ARNs that both kinds of instances use. `ec2` and `snapshots` are prefixes, to which the resource's
    type and ID are appended. `parameter` is the parameter that holds the snapshot's ID."""

    ec2: str
    snapshots: str
    parameter: str


def arns(stack: Stack, dataset: str) -> Arns:
    """The ARNs in the account and Region of a stack."""
    return Arns(
        f"arn:{stack.partition}:ec2:{stack.region}:{stack.account}",
        f"arn:{stack.partition}:ec2:{stack.region}::snapshot",
        parameter(stack, dataset),
    )


def parameter(stack: Stack, dataset: str) -> str:
    """The ARN of the parameter that holds the ID of the data set's newest snapshot."""
    name = contract.snapshot_parameter(dataset).removeprefix("/")
    return stack.format_arn(service="ssm", resource="parameter", resource_name=name)


def add_grants(role: iam.Role, grants: Iterable[Grant]) -> None:
    """Writes the grants into the role's policy, and acknowledges the findings about their wildcards."""
    reasons: dict[str, str] = {}
    for grant in grants:
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[*grant.actions], resources=[*grant.resources], conditions=grant.conditions
            )
        )
        if grant.wildcard:
            for resource in grant.resources:
                finding = wildcard_finding(role, resource)
                reason = f"{', '.join(grant.actions)}: {grant.wildcard}"
                reasons[finding] = f"{reasons[finding]} {reason}" if finding in reasons else reason
    acknowledge(role, reasons)


def tagged(dataset: str | Sequence[str], role: str | None = None) -> dict[str, Any]:
    """The condition that a resource has the tag of one of these data sets and, if given, this role's tag."""
    names = dataset if isinstance(dataset, str) else list(dataset)
    tags: dict[str, Any] = {f"aws:ResourceTag/{contract.TAG_DATASET}": names}
    if role is not None:
        tags[f"aws:ResourceTag/{contract.TAG_ROLE}"] = role
    return {"StringEquals": tags}


def session_manager() -> list[Grant]:
    """Allows a shell through Session Manager, and nothing else of Systems Manager.

    The managed policy AmazonSSMManagedInstanceCore would also let the instance read every parameter.
    https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-add-permissions-to-existing-profile.html
    """
    return [
        Grant(
            [
                "ssm:UpdateInstanceInformation",
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            ["*"],
            wildcard="Channels have no ARN of their own.",
        )
    ]


def _itself(ec2: str) -> dict[str, Any]:
    """The condition that an instance is the one that calls. A condition key with one value may be a variable:

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    AWS has a policy of its own in this form:
    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSEC2VssSnapshotPolicy.html
    """
    return {"ArnLike": {"ec2:SourceInstanceARN": f"{ec2}:instance/${{ec2:InstanceID}}"}}


def prep_boot(
    ec2: str, dataset: str, volumes: Sequence[str], stack_id: str, assets: Sequence[str]
) -> list[Grant]:
    """Allows to attach the stack's volumes, to fetch the package, and to tell the stack the boot's result.

    ec2: `arn:aws:ec2:<region>:<account>`; volumes, assets: ARNs.
    """
    return [
        Grant(["ec2:DescribeTags", "ec2:DescribeVolumes"], ["*"], wildcard=NO_ARN),
        Grant(["ec2:AttachVolume"], volumes),
        Grant(
            ["ec2:AttachVolume"],
            [f"{ec2}:instance/*"],
            {**tagged(dataset, ROLE_PREP), **_itself(ec2)},
            wildcard="The instance can't be named in a policy that has to exist before it; only to itself.",
        ),
        Grant(["cloudformation:SignalResource"], [stack_id]),
        Grant(["s3:GetObject"], assets),
    ]


def prep_service(snapshots: str, dataset: str, volume: str, secret: str, parameter: str) -> list[Grant]:
    """Allows to read the site's credentials, to take the snapshot, and to publish its ID.

    snapshots: `arn:aws:ec2:<region>::snapshot`; volume: the one that the snapshot is of; the rest: ARNs.
    """
    return [
        # Six question marks: Secrets Manager appends six characters to each ARN.
        Grant(["secretsmanager:GetSecretValue"], [f"{secret}-??????"]),
        Grant(["ec2:CreateSnapshot"], [volume]),
        Grant(
            ["ec2:CreateSnapshot"],
            [f"{snapshots}/*"],
            {"StringEquals": {f"aws:RequestTag/{contract.TAG_DATASET}": dataset}},
            wildcard="A snapshot has no id before it is made; it must be given the data set's tag.",
        ),
        Grant(
            ["ec2:CreateTags"],
            [f"{snapshots}/*"],
            {"StringEquals": {"ec2:CreateAction": "CreateSnapshot"}},
            wildcard="As above; only while it is being made.",
        ),
        Grant(["ec2:DescribeSnapshots"], ["*"], wildcard=NO_ARN),
        Grant(["ssm:PutParameter"], [parameter]),
    ]


def backup(bucket: str, dataset: str) -> list[Grant]:
    """Allows to write and to read the data set's objects, but not to delete them. bucket: its ARN."""
    return [
        Grant(
            ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"],
            [f"{bucket}/{dataset}/*"],
            wildcard="The keys are the data set's files.",
        ),
        # No condition on the prefix: HeadObject has no prefix, and would return 403 for a missing object.
        Grant(["s3:ListBucket"], [bucket]),
    ]


def notices(topic: str) -> list[Grant]:
    """Allows to publish to the topic. topic: its ARN."""
    return [Grant(["sns:Publish"], [topic])]


def logs(group: str) -> list[Grant]:
    """Allows to write streams of the log group, which the stack makes. group: its ARN, without ":*".

    The same as CDK's `LogGroup.grantWrite`:
    https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_logs.LogGroup.html
    """
    return [
        Grant(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [f"{group}:*"],
            wildcard="A stream carries the id of the instance, which is not known yet.",
        )
    ]


def attach_by_key(key: str, region: str) -> list[Grant]:
    """Allows EC2 to attach volumes that are encrypted by the key, whose ARN this is.

    CDK's own `Volume.grantAttachVolume` needs no more: https://github.com/aws/aws-cdk/pull/8219
    """
    return [
        Grant(
            ["kms:CreateGrant"],
            [key],
            {"Bool": {"kms:GrantIsForAWSResource": "true"}, **_through(f"ec2.{region}.amazonaws.com")},
        )
    ]


def use_key(key: str, region: str) -> list[Grant]:
    """Allows to create volumes from snapshots that are encrypted by the key, and to attach them.

    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html (Permissions for users)
    """
    actions = ["Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"]
    return [
        Grant([f"kms:{action}" for action in actions], [key], _through(f"ec2.{region}.amazonaws.com")),
        *attach_by_key(key, region),
    ]


def data_keys(key: str, region: str, services: Sequence[str]) -> list[Grant]:
    """Allows to encrypt and to decrypt by the key what passes through these services, such as "s3".

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    through = _through(*(f"{service}.{region}.amazonaws.com" for service in services))
    return [Grant(["kms:Decrypt", "kms:GenerateDataKey"], [key], through)]


def _through(*services: str) -> dict[str, Any]:
    return {"StringEquals": {"kms:ViaService": [*services] if len(services) > 1 else services[0]}}


def s3_source(partition: str, source: str | None) -> list[Grant]:
    """Allows to read the archives from `s3://bucket/prefix`, if that is the source.

    Without s3:ListBucket, S3 answers HTTP 403 both for a missing object and for one that may not be read.
    """
    if source is None or not source.startswith("s3://"):
        return []
    place = source.removeprefix("s3://").rstrip("/")
    return [
        Grant(
            ["s3:GetObject"],
            [f"arn:{partition}:s3:::{place}/*"],
            wildcard="The keys are the archives' file names.",
        )
    ]


def training(
    arns: Arns, dataset: str, mounted: Sequence[str], parameters: Sequence[str], *, copies: bool
) -> list[Grant]:
    """Allows to create volumes from the data sets' snapshots, to attach them, to delete them after a failure.

    dataset: in the instances' tag; mounted: the data sets that they mount; parameters: the ARN of the
    parameter of each. With `copies`, a volume may also be a copy of a restored one.
    """
    newest = "The newest snapshot is known at boot only; its tag tells that it is the data set's."
    return [
        Grant(["ssm:GetParameter"], parameters),
        Grant(["ec2:DescribeVolumes"], ["*"], wildcard=NO_ARN),
        Grant(["ec2:CreateVolume"], [f"{arns.snapshots}/*"], tagged(mounted), newest),
        *_own_volumes(arns, mounted, copies=copies),
        *_own_instance(arns, dataset),
        *(_copies(arns, mounted) if copies else ()),
    ]


def _own_volumes(arns: Arns, mounted: Sequence[str], *, copies: bool) -> list[Grant]:
    """What an instance may do with a volume, if the volume's tag tells that it has made it for itself."""
    volumes = [f"{arns.ec2}:volume/*"]
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    caller = "${ec2:SourceInstanceARN}"
    new = {
        f"aws:RequestTag/{contract.TAG_DATASET}": list(mounted),
        f"aws:RequestTag/{contract.TAG_ROLE}": ROLE_RESTORED,
        f"aws:RequestTag/{contract.TAG_INSTANCE}": caller,
    }
    own = {
        f"aws:ResourceTag/{contract.TAG_ROLE}": ROLE_RESTORED,
        f"aws:ResourceTag/{contract.TAG_INSTANCE}": caller,
    }
    ways = ["CreateVolume", "CopyVolumes"] if copies else ["CreateVolume"]
    not_yet = "The volume has no id before it is made; it must be given the tags that the third asks for."
    made = "Volumes that the calling instance made for itself, as their tags tell."
    return [
        Grant([f"ec2:{way}" for way in ways], volumes, {"StringEquals": new}, not_yet),
        Grant(["ec2:CreateTags"], volumes, {"StringEquals": {"ec2:CreateAction": ways}}, not_yet),
        Grant(
            ["ec2:AttachVolume", "ec2:DeleteVolume", "ec2:DetachVolume", "ec2:ModifyInstanceAttribute"],
            volumes,
            {"StringEquals": own},
            made,
        ),
    ]


def _own_instance(arns: Arns, dataset: str) -> list[Grant]:
    """What an instance may do to an instance: only to itself."""
    instances = [f"{arns.ec2}:instance/*"]
    # In the form of AWS's own policy AWSEC2VssSnapshotPolicy:
    # https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSEC2VssSnapshotPolicy.html
    itself = tagged(dataset, ROLE_TRAINING) | {
        "ArnLike": {"ec2:SourceInstanceARN": f"{arns.ec2}:instance/${{ec2:InstanceID}}"}
    }
    tags = {"aws:TagKeys": [contract.TAG_STATE, contract.TAG_REASON]}
    # AWS lists the key for this action, but documents neither its value here nor whether it is always there.
    devices = {"ec2:Attribute": ["BlockDeviceMapping", "BlockDeviceMappings"]}
    reason = "The instance has no id yet; it may do this only to itself."
    return [
        Grant(["ec2:AttachVolume", "ec2:DetachVolume"], instances, itself, reason),
        # On volume and instance: marks the volume to be deleted with the instance.
        Grant(
            ["ec2:ModifyInstanceAttribute"],
            instances,
            itself | {"StringEqualsIgnoreCaseIfExists": devices},
            reason,
        ),
        Grant(["ec2:CreateTags"], instances, itself | {"ForAllValues:StringEquals": tags}, reason),
    ]


def _copies(arns: Arns, mounted: Sequence[str]) -> list[Grant]:
    """Allows to copy restored volumes. "ec2:ResourceTag", as in AWS's own AmazonEBSCSIDriverPolicyV2.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEBSCSIDriverPolicyV2.html
    """
    restored = {
        f"ec2:ResourceTag/{contract.TAG_DATASET}": list(mounted),
        f"ec2:ResourceTag/{contract.TAG_ROLE}": ROLE_RESTORED,
    }
    sources = "Any restored volume of the data sets; which are there is known at boot only."
    return [
        Grant(["ec2:CopyVolumes"], [f"{arns.ec2}:volume/vol-*"], {"StringEquals": restored}, sources),
        Grant(["ec2:DescribeVolumeStatus"], ["*"], wildcard=NO_ARN),
    ]
