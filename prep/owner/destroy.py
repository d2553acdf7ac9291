"""Destroy: delete the stacks, say what stays and what it costs; the data goes only on an explicit word."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from prep import contract
from prep.aws.errors import aws_errors, ignored
from prep.aws.retries import Note
from prep.errors import AwsError, DescriptionError
from prep.owner import cluster, ec2, remains, snapshots, stacks
from prep.owner.account import Account, find_stack
from prep.owner.remains import Thing
from prep.owner.snapshots import Snapshot
from prep.owner.stacks import Stack
from prep.prices import Prices

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

ROLE_TRAINING = "training"
BATCH = 1000  # the most that one DeleteObjects takes


@dataclass(frozen=True)
class Wish:
    """What is to go: `parts` of the stacks of `dataset`. `own_name`: the same name without an environment."""

    dataset: str
    own_name: str
    parts: Collection[str]


@dataclass(frozen=True)
class Plan:
    """What there is of a data set. `remaining`: what stays without the stacks. `prep`: the Prep stack is
    there, also if it is not to go. `restored`: volumes that training instances have left.
    """

    wish: Wish
    stacks: list[Stack]
    prep: bool
    buckets: list[str]
    snapshots: list[Snapshot]
    restored: list[str]
    remaining: list[Thing]

    @property
    def dataset(self) -> str:
        """The name that the resources carry."""
        return self.wish.dataset


def make_plan(
    account: Account, wish: Wish, prices: Prices, now: datetime, note: Note, known: Sequence[str] = ()
) -> Plan:
    """Look at everything of the data set. `known`: buckets that an earlier plan has found.

    Raises:
        DescriptionError: instances still use what these stacks have.
        AwsError: a call was refused.
    """
    dataset = wish.dataset
    _check_nothing_runs(account, wish)
    there = stacks.find_stacks(account, dataset, wish.parts)
    retained = [each for stack in there for each in stack.resources if each.action == stacks.RETAIN]
    named = [each.physical for each in retained if each.type == "AWS::S3::Bucket"]
    buckets = remains.find_buckets(account, dataset, dict.fromkeys([*named, *known]))
    kept = snapshots.list_snapshots(account, dataset, prices, now)
    restored = remains.find_restored(account, dataset)
    things = remains.remaining(
        account,
        f"{wish.own_name}/credentials",
        buckets,
        kept,
        restored,
        retained,
        list(_volumes(there)),
        prices,
        note,
    )
    prep = find_stack(account, contract.stack_name(dataset, "prep")) is not None
    return Plan(wish, there, prep, buckets, kept, [each["VolumeId"] for each in restored], things)


def make_plan_after(
    account: Account, before: Plan, deleted: Collection[str], prices: Prices, now: datetime, note: Note
) -> Plan:
    """Look again. Things that only the deleted stacks or snapshots had led to, such as a key, are kept in.
    What was deleted is left out, although lists of AWS may have it for some time.
    """
    known = [name for name in before.buckets if name not in deleted]
    plan = make_plan(account, before.wish, prices, now, note, known)
    # A key is known by its ARN or by its ID.
    names = {remains.last_part(each.name) for each in plan.remaining}
    lost = [
        each
        for each in before.remaining
        if each.what not in remains.LOOKED_UP and remains.last_part(each.name) not in names
    ]
    return replace(
        plan,
        buckets=[name for name in plan.buckets if name not in deleted],
        snapshots=[each for each in plan.snapshots if each.snapshot not in deleted],
        remaining=[each for each in [*plan.remaining, *lost] if each.name not in deleted],
    )


def _volumes(there: Sequence[Stack]) -> dict[str, str]:
    """The volumes of which CloudFormation takes a last snapshot, with their role."""
    return {
        each.physical: snapshots.WORK if each.logical.startswith("Work") else snapshots.PACKED
        for stack in there
        for each in stack.resources
        if each.action == stacks.SNAPSHOT and each.type == "AWS::EC2::Volume"
    }


def _check_nothing_runs(account: Account, wish: Wish) -> None:
    """Instances cost money, and hold the network: they are named, not ended.

    Raises:
        DescriptionError: there are instances of a stack that is to go.
    """
    place = f"--region {account.region}"
    training = ec2.instances_of(account, wish.dataset, [ROLE_TRAINING]) if _goes(wish, "training") else []
    if training:
        names = " ".join(each["InstanceId"] for each in training)
        raise DescriptionError(
            f"destroy: {len(training)} training instances are still there: end them first: "
            f"aws ec2 terminate-instances {place} --instance-ids {names}"
        )
    if _goes(wish, "cluster") and (there := cluster.machines(account, wish.dataset)):
        names = " ".join(each["InstanceId"] for each in there)
        raise DescriptionError(
            f"destroy: {len(there)} machines of the cluster are still there ({names}): end them first: "
            f"python -m prep.owner cluster --dataset {wish.dataset} {place} --stop"
        )


def _goes(wish: Wish, part: str) -> bool:
    """Whether a stack is to go, or the network of its instances."""
    return bool({part, "dataset"} & set(wish.parts))


def delete_stacks(account: Account, plan: Plan, note: Note) -> None:
    """Delete the stacks, and tag the snapshots that CloudFormation took of their volumes.

    Raises:
        AwsError: a stack could not be deleted; those before it are gone.
    """
    volumes = _volumes(plan.stacks)
    try:
        for stack in plan.stacks:
            stacks.delete(account, stack, note)
    finally:
        _tag(account, plan.dataset, volumes)


def _tag(account: Account, dataset: str, volumes: dict[str, str]) -> None:
    """Whether CloudFormation's snapshots get the volumes' tags is not documented; lists go by these."""
    if not volumes:
        return
    with aws_errors("tag the snapshots of the volumes"):
        found = account.ec2.describe_snapshots(
            OwnerIds=["self"], Filters=[{"Name": "volume-id", "Values": list(volumes)}]
        )["Snapshots"]
        for each in found:
            if contract.TAG_DATASET not in snapshots.tags_of(each):
                tags = {contract.TAG_DATASET: dataset, contract.TAG_ROLE: volumes[each["VolumeId"]]}
                account.ec2.create_tags(
                    Resources=[each["SnapshotId"]],
                    Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
                )


def spare_snapshot(account: Account, plan: Plan) -> Snapshot | None:
    """The newest snapshot of the work volume, if nobody needs it: there is no Prep stack, the data set's
    snapshot is published and complete, and the backup in S3 has been finished. Else None.
    """
    if plan.prep:
        return None
    done = any(each.published and each.state == snapshots.COMPLETED for each in plan.snapshots)
    work = [each for each in plan.snapshots if each.kind == snapshots.WORK]
    if done and work and any(_backed_up(account, bucket, plan.dataset) for bucket in plan.buckets):
        return work[0]
    return None


def _backed_up(account: Account, bucket: str, dataset: str) -> bool:
    """Whether the receipt of the backup is in the bucket: it is sent last."""
    key = f"{contract.receipts_prefix(dataset)}backup.json"
    with aws_errors(f"look at s3://{bucket}/{key}"):
        try:
            account.s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
                raise
            return False
    return True


def delete_data(account: Account, plan: Plan, note: Note) -> list[str]:
    """Delete the buckets with all versions, all snapshots of the data set, volumes that training instances
    have left, and the parameter.

    Returns:
        The names of what was deleted. Keys and the secret stay: copies elsewhere may need them.

    Raises:
        AwsError: a call was refused; what was deleted before is gone, and another run does the rest.
    """
    deleted = []
    name = contract.snapshot_parameter(plan.dataset)
    with aws_errors(f"delete the parameter {name}"):
        if account.ssm.delete_parameters(Names=[name])["DeletedParameters"]:
            deleted.append(name)
    for each in plan.snapshots:
        snapshots.delete(account, each.snapshot)
        deleted.append(each.snapshot)
        note(f"destroy: {each.snapshot}: deleted")
    for volume in plan.restored:
        with aws_errors(f"delete volume {volume}"), ignored({"InvalidVolume.NotFound"}):
            account.ec2.delete_volume(VolumeId=volume)
        deleted.append(volume)
    for bucket in plan.buckets:
        # After a lost answer, the repeated call finds no bucket.
        with aws_errors(f"delete the bucket {bucket}"), ignored(remains.NO_BUCKET):
            _empty(account, bucket, note)
            account.s3.delete_bucket(Bucket=bucket)
        deleted.append(bucket)
    return deleted


def _empty(account: Account, bucket: str, note: Note) -> None:
    count = 0
    with aws_errors(f"empty the bucket {bucket}"), ignored(remains.NO_BUCKET):
        for page in account.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            for first in range(0, len(found), BATCH):
                batch: list[ObjectIdentifierTypeDef] = [
                    {"Key": each["Key"], "VersionId": each["VersionId"]}
                    for each in found[first : first + BATCH]
                ]
                answer = account.s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
                if answer.get("Errors"):
                    reason = answer["Errors"][0].get("Message", "")
                    raise AwsError(f"empty the bucket {bucket}: {reason}: remove the cause, then run again")
                count += len(batch)
                note(f"destroy: {bucket}: {count:,} objects deleted")
        for uploads in account.s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in uploads.get("Uploads", []):
                account.s3.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
