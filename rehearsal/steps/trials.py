"""Forbidden calls, made for real with the credentials of each role: every one must be refused."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from rehearsal.cloud.gate import TRIAL
from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import Cloud
from rehearsal.preparation import Road
from rehearsal.steps.cluster import Cluster
from rehearsal.steps.forbidden.cluster import HEAD, WORKER
from rehearsal.steps.forbidden.prep import PREP
from rehearsal.steps.forbidden.scene import ClusterScene, Forbidden, Scene
from rehearsal.steps.forbidden.training import TRAINING

REFUSED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")


def refuse_forbidden_calls(
    road: Road, prep: str, gpus: Sequence[str], cluster: Cluster | None = None
) -> None:
    """Makes every call of the table as the role would; one row of the result for each role.

    The judge is asked before anything is done, so a refused call has changed nothing.
    """
    with (
        road.narrator.step("Calls that the roles must not be able to make"),
        _scene(road, prep, gpus, cluster) as scene,
    ):
        rows: list[dict[str, str]] = []
        instances = [
            ("prep", PREP, prep, scene.prep_role),
            ("training", TRAINING, gpus[0], scene.training_role),
        ]
        if cluster:
            there = scene.cluster
            instances += [("head", HEAD, there.head, there.head_role)]
            instances += [("worker", WORKER, there.worker, there.worker_role)]
        for kind, table, instance, role in instances:
            session = road.cloud.as_role(scene.role_arn(role), instance)
            made = [_try(session, call, scene, kind) for call in table]
            passed = [f"{row['call']} on {row['on']}" for row in made if row["refused"] == "no"]
            figure = f"not refused: {'; '.join(passed)}" if passed else f"{len(made)} calls refused"
            road.narrator.check(f"forbidden calls of the {kind} role", not passed, figure)
            rows += made
        road.narrator.note(f"{len(rows)} calls")
    (road.wishes.output / "logs" / "forbidden.json").write_text(json.dumps(rows, indent=1))
    if any(row["refused"] == "no" for row in rows):
        raise RehearsalError("a forbidden call was not refused, and has changed what is there")


def _try(session: Cloud, call: Forbidden, scene: Scene, kind: str) -> dict[str, str]:
    config = Config(user_agent_extra=TRIAL, retries={"max_attempts": 1})
    client = session.client(call.service, config)
    name = f"{call.service}:{client.meta.method_to_api_mapping[call.method]}"
    row = {"role": kind, "call": name, "on": call.on, "refused": "no"}
    try:
        getattr(client, call.method)(**call.parameters(scene))
    except ClientError as error:
        if error.response["Error"]["Code"] in REFUSED:
            row["refused"] = str(session.judged_calls()[-1]["permission"])
    return row


@contextmanager
def _scene(road: Road, prep: str, gpus: Sequence[str], cluster: Cluster | None) -> Iterator[Scene]:
    """The data set's own things, and things of somebody else, made by the operator and removed again."""
    cloud, name = road.cloud, road.name
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    secrets, parameters = cloud.client("secretsmanager"), cloud.client("ssm")
    neighbour = gpus[1] if len(gpus) > 1 else prep
    volume = ec2.create_volume(AvailabilityZone=f"{cloud.region}a", Size=1)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    bucket = "other-data"
    place = {} if cloud.region == "us-east-1" else {"LocationConstraint": cloud.region}
    s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": place} if place else {}))
    s3.put_object(Bucket=bucket, Key="a", Body=b"a")
    secrets.create_secret(Name="other/credentials", SecretString="{}")
    parameters.put_parameter(Name="/other/snapshot-id", Value=snapshot, Type="String")
    roles = [role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]]
    try:
        yield Scene(
            dataset=name,
            region=cloud.region,
            account=cloud.account,
            prep=prep,
            training=gpus[0],
            neighbour=neighbour,
            work=road.output("prep", "WorkVolumeId"),
            packed=road.output("prep", "PackedVolumeId"),
            restored=_restored(ec2, gpus[0]),
            neighbours=_restored(ec2, neighbour),
            foreign_volume=volume,
            snapshot=road.subject.published(),
            foreign_snapshot=snapshot,
            key=ec2.describe_snapshots(SnapshotIds=[road.subject.published()])["Snapshots"][0]["KmsKeyId"],
            bucket=road.output("dataset", "BucketName"),
            foreign_bucket=bucket,
            foreign_secret="other/credentials",  # noqa: S106 (a name)
            foreign_parameter="/other/snapshot-id",
            prep_role=next(role for role in roles if role.startswith(f"{name}-prep-")),
            training_role=next(role for role in roles if role.startswith(f"{name}-training-")),
            cluster=_cluster_scene(road, cluster, roles) if cluster else ClusterScene(),
        )
    finally:
        parameters.delete_parameter(Name="/other/snapshot-id")
        secrets.delete_secret(SecretId="other/credentials", ForceDeleteWithoutRecovery=True)
        s3.delete_object(Bucket=bucket, Key="a")
        s3.delete_bucket(Bucket=bucket)
        ec2.delete_snapshot(SnapshotId=snapshot)
        ec2.delete_volume(VolumeId=volume)


def _cluster_scene(road: Road, cluster: Cluster, roles: Sequence[str]) -> ClusterScene:
    cloud, name = road.cloud, road.name
    ec2, stacks = cloud.client("ec2"), cloud.client("cloudformation")

    def made(part: str, kind: str, begins: str = "") -> str:
        """The physical id of a stack's resource of a kind."""
        listed = stacks.list_stack_resources(StackName=f"{name}-{part}")["StackResourceSummaries"]
        return next(
            str(each["PhysicalResourceId"])
            for each in listed
            if each["ResourceType"] == kind and each["LogicalResourceId"].startswith(begins)
        )

    default = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
    return ClusterScene(
        head=cluster.heads[-1],
        worker=cluster.workers[-1],
        head_role=next(role for role in roles if role.startswith(f"{name}-cluster-HeadRole")),
        worker_role=next(role for role in roles if role.startswith(f"{name}-cluster-WorkerRole")),
        prep_profile=made("prep", "AWS::IAM::InstanceProfile"),
        head_template=road.output("cluster", "HeadTemplateId"),
        workers_template=made("cluster", "AWS::EC2::LaunchTemplate", "Workers"),
        training_template=road.output("training", "LaunchTemplateId"),
        token=made("cluster", "AWS::SecretsManager::Secret"),
        topic=made("cluster", "AWS::SNS::Topic"),
        subnet=road.output("dataset", "SubnetIds").split(",")[0],
        foreign_subnet=default["Subnets"][0]["SubnetId"],
        foreign_group=road.output("dataset", "SecurityGroupId"),
    )


def _restored(ec2: Any, instance: str) -> str:
    """The volume of the data set that an instance has; of a prep instance any one."""
    attached = [{"Name": "attachment.instance-id", "Values": [instance]}]
    volumes = ec2.describe_volumes(Filters=attached)["Volumes"]
    tagged = [each for each in volumes if any(tag["Key"] == "dataset-role" for tag in each.get("Tags", []))]
    return str(tagged[0]["VolumeId"])
