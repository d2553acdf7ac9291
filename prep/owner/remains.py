"""What stays when the stacks are gone, and what each thing costs a month."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from prep import contract
from prep.aws.errors import DENIED, aws_errors, ignored
from prep.aws.retries import Note
from prep.owner import keys, snapshots
from prep.owner.account import Account
from prep.owner.snapshots import GIB, Snapshot
from prep.owner.stacks import Resource
from prep.prices import Prices

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import VolumeTypeDef

# A page of a bucket's list has 1,000 keys; with loose images there are 1,300 pages. A line after so many.
PAGES_A_LINE = 100
SECRET_NOTE = "you made it; every environment of the data set uses it"  # noqa: S105 - a note, no secret
# What every look finds again; other things are known from stacks or snapshots, which may be gone.
LOOKED_UP = ("bucket", "snapshot", "snapshot to come", "volume", "secret")
NO_BUCKET = {"NoSuchBucket"}
ROLE_RESTORED = "restored"
MISSING = {"ResourceNotFoundException", "InvalidRequestException"}  # the second: marked for deletion


@dataclass(frozen=True)
class Thing:
    """Something that stays. None as its size or its cost a month: not known."""

    what: str
    name: str
    gib: float | None
    month_usd: float | None
    note: str


@dataclass(frozen=True)
class Contents:
    """All versions in a bucket."""

    bytes: int
    versions: int


def find_buckets(account: Account, dataset: str, known: Iterable[str]) -> list[str]:
    """The buckets of backups: those that are known, as a stack names them, and those with its prefix and tag:
    each new deployment makes another one.

    Only those of the account's Region, as a list of buckets has those of all Regions.
    """
    names = list(known)
    prefix = f"{dataset}-dataset-"  # as CloudFormation names it: stack, logical ID, random characters
    with aws_errors("list the buckets"):
        buckets = [each["Name"] for each in account.s3.list_buckets()["Buckets"]]
    names += [
        name
        for name in buckets
        if name not in names and name.startswith(prefix) and _bucket_tag(account, name) == dataset
    ]
    return [name for name in names if _is_here(account, name)]


def _is_here(account: Account, bucket: str) -> bool:
    with aws_errors(f"ask for the Region of the bucket {bucket}"), ignored(NO_BUCKET):
        # us-east-1 has none: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
        location = account.s3.get_bucket_location(Bucket=bucket).get("LocationConstraint")
        return (location or "us-east-1") == account.region
    return False  # it was deleted a moment ago, and is still listed


def _bucket_tag(account: Account, bucket: str) -> str | None:
    with aws_errors(f"read the tags of the bucket {bucket}"):
        try:
            tags = account.s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        except ClientError as error:
            # Of another Region or another owner's rules: not ours.
            if error.response["Error"]["Code"] not in DENIED | NO_BUCKET | {"NoSuchTagSet"}:
                raise
            return None
    return {tag["Key"]: tag["Value"] for tag in tags}.get(contract.TAG_DATASET)


def contents(account: Account, bucket: str, note: Note) -> Contents:
    """Count all versions of all objects: replaced versions cost as well, until they expire."""
    size = count = pages = 0
    with aws_errors(f"list the bucket {bucket}"), ignored(NO_BUCKET):
        for page in account.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            versions = page.get("Versions", [])
            size += sum(each["Size"] for each in versions)
            count += len(versions)
            pages += 1
            if pages % PAGES_A_LINE == 0:
                note(f"destroy: {bucket}: {count:,} objects so far, {size / GIB:,.0f} GiB")
    return Contents(size, count)


def remaining(
    account: Account,
    secret: str,
    buckets: Sequence[str],
    kept: Sequence[Snapshot],
    restored: "Sequence[VolumeTypeDef]",
    retained: Sequence[Resource],
    volumes: Sequence[str],
    prices: Prices,
    note: Note,
) -> list[Thing]:
    """Everything of the data set that the account pays for, or has, after its stacks are gone."""
    things = [_of_bucket(bucket, contents(account, bucket, note), prices) for bucket in buckets]
    things += [_of_snapshot(each) for each in kept]
    things += [_of_volume(each, prices) for each in restored]
    customer = sorted({each.key for each in kept if each.key_kind == keys.CUSTOMER})
    things += [Thing("key", arn, None, prices.month["key"], "encrypts snapshots above") for arn in customer]
    things += _retained(retained, [*buckets, *map(last_part, customer)], prices)
    things += _to_come(account, volumes, prices)
    if _has_secret(account, secret):
        things.append(Thing("secret", secret, None, prices.month["secret"], SECRET_NOTE))
    return things


def _retained(resources: Sequence[Resource], known: Sequence[str | None], prices: Prices) -> list[Thing]:
    """Resources that stacks leave behind, apart from those that are known."""
    return [
        Thing("key", each.physical, None, prices.month["key"], "kept by its stack")
        if each.type == "AWS::KMS::Key"
        else Thing(each.type, each.physical, None, None, "kept by its stack")
        for each in resources
        if each.physical not in known
    ]


def _to_come(account: Account, volumes: Sequence[str], prices: Prices) -> list[Thing]:
    """The last snapshots of the volumes that are to go."""
    if not volumes:
        return []
    with aws_errors("look at the volumes of the stacks"):
        found = account.ec2.describe_volumes(Filters=[{"Name": "volume-id", "Values": list(volumes)}])
    return [
        Thing(
            "snapshot to come",
            each["VolumeId"],
            float(each["Size"]),
            round(each["Size"] * prices.gib_month["snapshot"], 2),
            "last state of the volume, at most",
        )
        for each in found["Volumes"]
    ]


def _of_snapshot(each: Snapshot) -> Thing:
    published = "published" if each.published else ""
    most = "at most" if each.month_is_most else ""
    notes = [
        each.kind,
        published,
        most,
        f"shared with {', '.join(each.shared_with)}" * bool(each.shared_with),
    ]
    gib = round(each.used_gb * snapshots.GB / GIB, 1) if each.used_gb is not None else float(each.volume_gib)
    return Thing("snapshot", each.snapshot, gib, each.month_usd, ", ".join(filter(None, notes)))


def _of_bucket(bucket: str, held: Contents, prices: Prices) -> Thing:
    gib = held.bytes / GIB
    month = round(gib * prices.gib_month["bucket"], 2)
    return Thing("bucket", bucket, round(gib, 1), month, f"{held.versions:,} objects")


def find_restored(account: Account, dataset: str) -> "list[VolumeTypeDef]":
    """Volumes that were made for training instances, and that no instance has or deletes any more."""
    filters = {
        f"tag:{contract.TAG_DATASET}": dataset,
        f"tag:{contract.TAG_ROLE}": ROLE_RESTORED,
        "status": "available",
    }
    with aws_errors("look for volumes of training instances"):
        pages = account.ec2.get_paginator("describe_volumes").paginate(
            Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()]
        )
        return [each for page in pages for each in page["Volumes"]]


def _of_volume(each: "VolumeTypeDef", prices: Prices) -> Thing:
    price = prices.volume_gib_month.get(each["VolumeType"])
    month = None if price is None else round(each["Size"] * price, 2)
    return Thing(
        "volume", each["VolumeId"], float(each["Size"]), month, "of a training instance that is gone"
    )


def last_part(arn: str) -> str:
    """What stands after the last "/": a key's ID, of its ARN."""
    return arn.rpartition("/")[2]


def _has_secret(account: Account, name: str) -> bool:
    """Whether there is a secret of this name; its value is not read."""
    with aws_errors(f"look for the secret {name}"):
        try:
            account.secretsmanager.describe_secret(SecretId=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED | MISSING:
                raise
            return False
    return True


def total(things: Iterable[Thing]) -> float:
    """What all of them cost a month, as far as it is known."""
    return round(sum(each.month_usd or 0.0 for each in things), 2)
