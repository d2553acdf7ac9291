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
        stack.format_arn(
            service="ssm",
            resource="parameter",
            resource_name=contract.snapshot_parameter(dataset).removeprefix("/"),
        ),
    )


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


def _tagged(dataset: str, role: str | None = None) -> dict[str, Any]:
    """The condition that a resource has this data set's tag and, if given, this role's tag."""
    tags = {f"aws:ResourceTag/{contract.TAG_DATASET}": dataset}
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
            {**_tagged(dataset, ROLE_PREP), **_itself(ec2)},
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


def training(ec2: str, snapshots: str, dataset: str, parameter: str) -> list[Grant]:
    """Allows to create a volume from the data set's snapshot, to attach it, and to delete it after a failure.

    ec2: `arn:aws:ec2:<region>:<account>`; snapshots: `arn:aws:ec2:<region>::snapshot`; parameter: ARN.
    """
    volumes, instances = f"{ec2}:volume/*", f"{ec2}:instance/*"
    request_tags = {
        f"aws:RequestTag/{contract.TAG_DATASET}": dataset,
        f"aws:RequestTag/{contract.TAG_ROLE}": ROLE_RESTORED,
    }
    newest = "The newest snapshot is known at boot only; its tag tells that it is the data set's."
    not_yet = (
        "The volume has no id before it is made; it must be given the tags that the next grants ask for."
    )
    own_volumes = "Volumes that such instances made themselves, as their tags tell."
    own_instances = "Instances of the launch template have no ids yet; its tags tell which are meant."
    return [
        Grant(["ssm:GetParameter"], [parameter]),
        Grant(["ec2:DescribeVolumes"], ["*"], wildcard=NO_ARN),
        Grant(["ec2:CreateVolume"], [f"{snapshots}/*"], _tagged(dataset), newest),
        Grant(["ec2:CreateVolume"], [volumes], {"StringEquals": request_tags}, not_yet),
        Grant(["ec2:CreateTags"], [volumes], {"StringEquals": {"ec2:CreateAction": "CreateVolume"}}, not_yet),
        # ModifyInstanceAttribute on volume and instance marks the volume to be deleted with the instance.
        Grant(
            ["ec2:AttachVolume", "ec2:DeleteVolume", "ec2:DetachVolume", "ec2:ModifyInstanceAttribute"],
            [volumes],
            _tagged(dataset, ROLE_RESTORED),
            own_volumes,
        ),
        Grant(
            ["ec2:AttachVolume", "ec2:DetachVolume", "ec2:ModifyInstanceAttribute"],
            [instances],
            _tagged(dataset, ROLE_TRAINING),
            own_instances,
        ),
        Grant(
            ["ec2:CreateTags"],
            [instances],
            {
                **_tagged(dataset, ROLE_TRAINING),
                "ForAllValues:StringEquals": {"aws:TagKeys": [contract.TAG_STATE]},
            },
            own_instances,
        ),
    ]
