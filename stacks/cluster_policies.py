"""The permissions of the cluster's head and of its workers, as policies.py has those of other instances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from prep import contract
from stacks.policies import NO_ARN, Grant, tagged

PACKED: Final = "The keys are the packed files, and what is kept until they are done."


@dataclass(frozen=True)
class Launch:
    """What the head may launch: the ARNs of the workers' launch template, security group, subnets and role.

    `ec2` is `arn:aws:ec2:<region>:<account>`, `images` `arn:aws:ec2:<region>::image`.
    """

    ec2: str
    images: str
    template: str
    instance_type: str
    group: str
    subnets: Sequence[str]
    role: str


def machine(bucket: str, dataset: str, archives: str, token: str, assets: Sequence[str]) -> list[Grant]:
    """Allows what every machine of the cluster does: to read archives, to write and to read packed files, to
    fetch the package, and to read Ray's token.

    bucket, token, assets: ARNs; archives: the ARN of the folder that they are in, without "/*".
    """
    return [
        Grant(["s3:GetObject", "s3:PutObject"], [packed(bucket, dataset)], wildcard=PACKED),
        Grant(["s3:GetObject"], [f"{archives}/*"], wildcard="The keys are the archives' file names."),
        Grant(["s3:GetObject"], assets),
        Grant(["secretsmanager:GetSecretValue"], [token]),
    ]


def packed(bucket: str, dataset: str) -> str:
    """The ARN of the packed files, and of what is kept until they are done. bucket: its ARN."""
    return f"{bucket}/{contract.packed_prefix(dataset)}*"


def driver(bucket: str, dataset: str) -> list[Grant]:
    """Allows what the head does besides: to find what is done, and to clear up. bucket: its ARN."""
    return [
        Grant(
            ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListMultipartUploadParts"],
            [packed(bucket, dataset)],
            wildcard=PACKED,
        ),
        # No condition on the prefix: HeadObject has no prefix, and would return 403 for a missing object.
        Grant(["s3:ListBucket"], [bucket]),
    ]


def head(dataset: str, launch: Launch) -> list[Grant]:
    """Allows what Ray's autoscaler does: to look at instances, to launch workers and to end them."""
    mine = tagged(dataset, contract.ROLE_WORKER)
    return [
        # To find its workers, and how many cores they have. There is no narrower resource.
        Grant(["ec2:DescribeInstanceTypes", "ec2:DescribeInstances"], ["*"], wildcard=NO_ARN),
        *_run_workers(dataset, launch),
        Grant(
            ["ec2:CreateTags"],
            [f"{launch.ec2}:{kind}/*" for kind in ("instance", "volume")],
            {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
            "The worker has no id before it is launched; only while it is being launched.",
        ),
        Grant(
            ["ec2:TerminateInstances"],
            [f"{launch.ec2}:instance/*"],
            mine,
            "Workers of the data set, as their tags tell.",
        ),
        Grant(
            ["iam:PassRole"], [launch.role], {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
        ),
    ]


def _run_workers(dataset: str, launch: Launch) -> list[Grant]:
    """Allows to launch instances of one type from one launch template, if they get the tags of a worker.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html (Launch templates)
    """
    template: dict[str, Any] = {"ArnEquals": {"ec2:LaunchTemplate": launch.template}}
    tags = {
        f"aws:RequestTag/{contract.TAG_DATASET}": dataset,
        f"aws:RequestTag/{contract.TAG_ROLE}": contract.ROLE_WORKER,
    }
    new = "It has no id before it is launched; it must be of the workers' launch template"
    run = ["ec2:RunInstances"]
    return [
        Grant(run, [launch.template]),
        Grant(
            run,
            [f"{launch.ec2}:instance/*"],
            template | {"StringEquals": tags | {"ec2:InstanceType": launch.instance_type}},
            f"{new}, of their type, and get their tags.",
        ),
        Grant(
            run, [f"{launch.ec2}:volume/*"], template | {"StringEquals": tags}, f"{new}, and get their tags."
        ),
        Grant(run, [f"{launch.ec2}:network-interface/*"], template, f"{new}."),
        Grant(run, [launch.group, *launch.subnets], template),
        Grant(
            run,
            [f"{launch.images}/*"],
            template | {"Bool": {"ec2:IsLaunchTemplateResource": "true"}},
            "The image that the launch template names.",
        ),
    ]


def spot(partition: str) -> list[Grant]:
    """Allows to create the role that EC2 needs for the first Spot Instance of an account.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/service-linked-roles-spot-instance-requests.html
    """
    role = "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
    return [
        Grant(
            ["iam:CreateServiceLinkedRole"],
            [f"arn:{partition}:iam::*:{role}"],
            {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
            "The form that AWS documents; the role is in the account of the caller.",
        )
    ]
