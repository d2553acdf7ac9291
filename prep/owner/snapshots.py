"""Snapshots of a data set: which there are, what they cost, and deleting older ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from prep import contract
from prep.aws.errors import aws_errors, ignored
from prep.errors import DescriptionError, PrepError
from prep.owner import keys
from prep.owner.account import Account, published_snapshot
from prep.prices import Prices

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import SnapshotTypeDef

# Tag on a copy: the snapshot that it is a copy of.
TAG_COPY_OF = "dataset-copy-of"
# Kinds: packed data that verify has passed; what CloudFormation kept of the work or of the dataset volume.
DATA, WORK, PACKED, OTHER = "data", "work", "packed", "other"
COMPLETED = "completed"
NOT_FOUND = {"InvalidSnapshot.NotFound"}
GIB = 1 << 30
GB = 10**9


@dataclass(frozen=True)
class Snapshot:
    """A snapshot. `used_gb` is what its blocks hold, or None if EC2 does not tell; the cost is then that of
    the whole volume (`month_is_most`). Blocks that snapshots of one volume share are billed once.
    """

    snapshot: str
    dataset: str
    kind: str
    manifest: str
    volume: str
    copy_of: str
    volume_gib: int
    used_gb: float | None
    started: str
    age_days: float
    state: str
    progress: str
    key: str
    key_kind: str
    shared_with: list[str]
    published: bool
    month_usd: float
    month_is_most: bool


def list_snapshots(account: Account, dataset: str, prices: Prices, now: datetime) -> list[Snapshot]:
    """The data set's snapshots that the account owns in this Region, the newest first.

    Raises:
        AwsError: a call was refused.
    """
    found: list[SnapshotTypeDef] = []
    with aws_errors(f"list the snapshots of {dataset}"):
        for page in account.ec2.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"], Filters=[{"Name": f"tag:{contract.TAG_DATASET}", "Values": [dataset]}]
        ):
            found += page["Snapshots"]
    published = published_snapshot(account, dataset)
    kinds = {arn: keys.kind_of(account, arn) for arn in {each.get("KmsKeyId", "") for each in found}}
    newest_first = sorted(found, key=lambda each: each["StartTime"], reverse=True)
    return [
        _snapshot(each, kinds[each.get("KmsKeyId", "")], shared_with(account, each["SnapshotId"]), published,
                  prices, now)
        for each in newest_first
    ]  # fmt: skip


def _snapshot(
    found: "SnapshotTypeDef",
    key: keys.Key,
    shared: list[str],
    published: str | None,
    prices: Prices,
    now: datetime,
) -> Snapshot:
    tags = tags_of(found)
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Snapshot.html
    full = found.get("FullSnapshotSizeInBytes") or None  # 0 while it is pending
    bytes_billed = full or found["VolumeSize"] * GIB
    return Snapshot(
        snapshot=found["SnapshotId"],
        dataset=tags.get(contract.TAG_DATASET, ""),
        kind=kind_of(tags),
        manifest=tags.get(contract.TAG_MANIFEST, ""),
        volume=found["VolumeId"],
        copy_of=tags.get(TAG_COPY_OF, ""),
        volume_gib=found["VolumeSize"],
        used_gb=round(full / GB, 1) if full else None,
        started=found["StartTime"].isoformat(timespec="seconds"),
        age_days=round((now - found["StartTime"]).total_seconds() / 86400, 1),
        state=found["State"],
        progress=found.get("Progress", ""),
        key=key.arn,
        key_kind=key.kind if found["Encrypted"] else keys.NONE,
        shared_with=shared,
        published=found["SnapshotId"] == published,
        # GB of AWS's bills are GiB: https://aws.amazon.com/ebs/pricing/
        month_usd=round(bytes_billed / GIB * prices.gib_month["snapshot"], 2),
        month_is_most=full is None,
    )


def tags_of(found: "SnapshotTypeDef") -> dict[str, str]:
    """The tags of a snapshot that these credentials see: those of their own account."""
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}


def kind_of(tags: dict[str, str]) -> str:
    """What a snapshot holds, by its tags."""
    if tags.get(contract.TAG_MANIFEST):
        return DATA
    role = tags.get(contract.TAG_ROLE, "")
    return role if role in (WORK, PACKED) else OTHER


def shared_with(account: Account, snapshot: str) -> list[str]:
    """The accounts, or "all", that may make volumes from a snapshot."""
    with aws_errors(f"ask with whom {snapshot} is shared"), ignored(NOT_FOUND):
        given = account.ec2.describe_snapshot_attribute(
            SnapshotId=snapshot, Attribute="createVolumePermission"
        )["CreateVolumePermissions"]
        return sorted(each.get("UserId") or each.get("Group", "") for each in given)
    return []  # it was deleted a moment ago, and is still listed


def look(account: Account, snapshot: str) -> "SnapshotTypeDef | None":
    """A snapshot of this account, or one that is shared with it; None if there is none of this ID."""
    with aws_errors(f"look at snapshot {snapshot}"):
        # A filter, because an unknown ID would be an error.
        found = account.ec2.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": [snapshot]}])
    return found["Snapshots"][0] if found["Snapshots"] else None


def find(account: Account, snapshot: str) -> "SnapshotTypeDef":
    """The same.

    Raises:
        PrepError: there is none of this ID.
    """
    found = look(account, snapshot)
    if found is None:
        raise PrepError(
            f"snapshot {snapshot}: not there in {account.region}, or not shared with account "
            f"{account.number}: `python -m prep.owner snapshots` lists those that are there"
        )
    return found


def check_data(found: "SnapshotTypeDef", dataset: str, operation: str) -> None:
    """Refuse a snapshot of this account whose tags don't say that it holds checked data of the data set.

    Raises:
        DescriptionError: it is of another data set, or it is the last snapshot of a volume.
    """
    tags = tags_of(found)
    lacking = [f"{contract.TAG_DATASET}={dataset}"] * (tags.get(contract.TAG_DATASET) != dataset)
    lacking += [contract.TAG_MANIFEST] * (not tags.get(contract.TAG_MANIFEST))
    if lacking:
        raise DescriptionError(
            f"{operation}: snapshot {found['SnapshotId']} has no tag {' and no tag '.join(lacking)}, so it "
            f"does not hold checked data of {dataset}: `python -m prep.owner snapshots` shows which do: "
            "their kind is data"
        )


def to_prune(snapshots: Sequence[Snapshot], keep: int) -> list[Snapshot]:
    """The data snapshots older than the `keep` newest. Never the published one, nor one that is not complete.

    Snapshots that CloudFormation kept of volumes are not touched: one may be all that is left of a download.
    """
    complete = [each for each in snapshots if each.kind == DATA and each.state == COMPLETED]
    return [each for each in complete[keep:] if not each.published]


def delete(account: Account, snapshot: str) -> None:
    """Delete a snapshot. One that is gone already, perhaps as an answer was lost, is no error.

    Raises:
        AwsError: the call was refused: an image uses the snapshot, it is locked, or permission is missing.
    """
    with aws_errors(f"delete snapshot {snapshot}"), ignored(NOT_FOUND):
        account.ec2.delete_snapshot(SnapshotId=snapshot)
