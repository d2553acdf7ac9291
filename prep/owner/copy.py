"""Copy: a snapshot into another Region or under another key, or one that is shared into one's own account.

A copy has no client token, so the tag TAG_COPY_OF is what a second run finds it by.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prep import contract
from prep.aws.errors import aws_errors
from prep.errors import DescriptionError
from prep.owner import keys, snapshots
from prep.owner.account import Account, publish, published_snapshot
from prep.prices import Prices
from prep.progress import Progress
from prep.stages.snapshot import wait_until_complete

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import SnapshotTypeDef


@dataclass(frozen=True)
class Order:
    """What is to be copied where. `key`: the key's ARN there, or "" for the account's default key.

    `manifest`: the SHA-256 for the copy's tag, if the source's tags are not seen: they are another account's.
    """

    dataset: str
    snapshot: str
    source_region: str
    to: str
    key: str
    manifest: str
    description: str
    volume_gib: int


@dataclass(frozen=True)
class Copied:
    """A copy. Its ID is "" if it was only planned; `resumed`: another run began it."""

    snapshot: str
    region: str
    source: str
    source_region: str
    key: str
    resumed: bool
    published_before: str | None
    once_usd: float
    month_usd: float


def make_order(
    source: Account, dataset: str, snapshot: str | None, to: str, key: str, manifest: str
) -> Order:
    """Look at the snapshot, by default the published one, and check that a copy makes sense.

    Raises:
        DescriptionError: nothing is published, it isn't complete, or not checked data, or the copy would
            change nothing.
        PrepError: the snapshot is not there, or not shared with these credentials.
    """
    name = snapshot or published_snapshot(source, dataset)
    if name is None:
        raise DescriptionError(
            f"copy: {contract.snapshot_parameter(dataset)} names no snapshot in {source.region}: "
            "give --snapshot, or wait until the prep instance is done"
        )
    found = snapshots.find(source, name)
    own = found["OwnerId"] == source.number
    if own:
        snapshots.check_data(found, dataset, "copy")
    if found["State"] != snapshots.COMPLETED:
        raise DescriptionError(f"copy: snapshot {name} is {found['State']}: wait until it is complete")
    if own and to == source.region and not key:
        raise DescriptionError(
            f"copy: snapshot {name} is in {to} already: give another Region with --to, or a --key"
        )
    tags = snapshots.tags_of(found)
    return Order(
        dataset=dataset,
        snapshot=name,
        source_region=source.region,
        to=to,
        key=key,
        manifest=manifest or tags.get(contract.TAG_MANIFEST, ""),
        description=found.get("Description", ""),
        volume_gib=found["VolumeSize"],
    )


def check_key(there: Account, key: str) -> None:
    """Refuse a key with which the copy would fail: EC2 finds that out only after the call.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopySnapshot.html

    Raises:
        DescriptionError: EBS can't encrypt with it in that Region.
    """
    if not key:
        return
    region = there.region
    parts = key.split(":")
    # A copy is found again by its key's ARN, which is not that of an alias.
    if len(parts) != 6 or parts[2] != "kms" or parts[3] != region or not parts[5].startswith("key/"):
        raise DescriptionError(
            f"copy: --key {key}: give the ARN of a key in {region}: arn:aws:kms:{region}:ACCOUNT:key/…"
        )
    reason = keys.unusable(there, key)
    if reason is not None:
        raise DescriptionError(f"copy: --key {key}: {reason}: give another key of {region}")


def copy(there: Account, order: Order, prices: Prices, progress: Progress) -> Copied:
    """Make the copy, or find the one that another run began; wait for it, and publish it there.

    Raises:
        AwsError: a call was refused, or the copy failed: often because of its key.
    """
    name = under_way(there, order)
    resumed = name is not None
    if name is None:
        name = _begin(there, order)
    progress.note(f"copy: {name} in {order.to} of {order.snapshot} in {order.source_region}")
    wait_until_complete(there.ec2, name, progress)
    before = publish(there, order.dataset, name)
    if before not in (None, name):
        progress.note(
            f"copy: {contract.snapshot_parameter(order.dataset)} in {order.to} named {before} before"
        )
    return planned(order, prices, name, resumed, before)


def planned(
    order: Order, prices: Prices, name: str = "", resumed: bool = False, before: str | None = None
) -> Copied:
    """The result, also of a copy that is only planned; the costs are for a full volume."""
    crosses = order.to != order.source_region
    return Copied(
        snapshot=name,
        region=order.to,
        source=order.snapshot,
        source_region=order.source_region,
        key=order.key,
        resumed=resumed,
        published_before=before,
        once_usd=round(order.volume_gib * prices.gib_once["copy"], 2) if crosses else 0.0,
        month_usd=round(order.volume_gib * prices.gib_month["snapshot"], 2),
    )


def under_way(there: Account, order: Order) -> str | None:
    """The copy that another run began, with the same key, pending or complete; None if there is none."""
    filters = {f"tag:{snapshots.TAG_COPY_OF}": order.snapshot, f"tag:{contract.TAG_DATASET}": order.dataset}
    with aws_errors(f"look for copies of {order.snapshot} in {order.to}"):
        found = there.ec2.describe_snapshots(
            OwnerIds=["self"],
            Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()],
        )["Snapshots"]
    usable = [
        each
        for each in found
        if each["State"] in ("pending", snapshots.COMPLETED)
        and (not order.key or each.get("KmsKeyId") == order.key)
    ]
    return max(usable, key=_start)["SnapshotId"] if usable else None


def _start(found: "SnapshotTypeDef") -> Any:
    return found["StartTime"]


def _begin(there: Account, order: Order) -> str:
    # Tags of the source are not copied: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-copy-snapshot.html
    tags = {
        "Name": order.dataset,
        contract.TAG_DATASET: order.dataset,
        snapshots.TAG_COPY_OF: order.snapshot,
    } | ({contract.TAG_MANIFEST: order.manifest} if order.manifest else {})
    # Encrypted without a key means: with the account's default key in that Region.
    encryption: dict[str, Any] = {"Encrypted": True} | ({"KmsKeyId": order.key} if order.key else {})
    with aws_errors(f"copy snapshot {order.snapshot} from {order.source_region} to {order.to}"):
        return there.ec2.copy_snapshot(
            SourceRegion=order.source_region,
            SourceSnapshotId=order.snapshot,
            Description=order.description,
            TagSpecifications=[
                {
                    "ResourceType": "snapshot",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
            **encryption,
        )["SnapshotId"]
