"""What stays when the stacks are gone, and what each thing costs a month."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from prep import contract
from prep.aws.errors import DENIED, aws_errors
from prep.aws.retries import Note
from prep.owner import keys, snapshots
from prep.owner.account import Account
from prep.owner.snapshots import GIB, Snapshot
from prep.owner.stacks import Resource
from prep.prices import Prices

# A page of a bucket's list has 1,000 keys; with loose images there are 1,300 pages. A line after so many.
PAGES_A_LINE = 100
# What every look finds again; other things are known from stacks or snapshots, which may be gone.
LOOKED_UP = ("bucket", "snapshot", "snapshot to come", "secret")
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


def find_bucket(account: Account, dataset: str, known: Iterable[str]) -> str | None:
    """The backup's bucket: the one the stack names, or after its deletion the one with its prefix and tag.

    Only one of the account's Region, as a list of buckets has those of all Regions.
    """
    names = list(known)
    if names:
        return names[0]
    prefix = f"{dataset}-dataset-"  # as CloudFormation names it: stack, logical ID, random characters
    with aws_errors("list the buckets"):
        buckets = [each["Name"] for each in account.s3.list_buckets()["Buckets"]]
    for name in buckets:
        if name.startswith(prefix) and _is_here(account, name) and _bucket_tag(account, name) == dataset:
            return name
    return None


def _is_here(account: Account, bucket: str) -> bool:
    with aws_errors(f"ask for the Region of the bucket {bucket}"):
        # us-east-1 has none: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
        location = account.s3.get_bucket_location(Bucket=bucket).get("LocationConstraint")
    return (location or "us-east-1") == account.region


def _bucket_tag(account: Account, bucket: str) -> str | None:
    with aws_errors(f"read the tags of the bucket {bucket}"):
        try:
            tags = account.s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        except ClientError as error:
            # Of another Region or another owner's rules: not ours.
            if error.response["Error"]["Code"] not in DENIED | {"NoSuchTagSet", "NoSuchBucket"}:
                raise
            return None
    return {tag["Key"]: tag["Value"] for tag in tags}.get(contract.TAG_DATASET)


def contents(account: Account, bucket: str, note: Note) -> Contents:
    """Count all versions of all objects: replaced versions cost as well, until they expire."""
    size = count = pages = 0
    with aws_errors(f"list the bucket {bucket}"):
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
    dataset: str,
    bucket: str | None,
    kept: Sequence[Snapshot],
    retained: Sequence[Resource],
    volumes: Sequence[str],
    prices: Prices,
    note: Note,
) -> list[Thing]:
    """Everything of the data set that the account pays for, or has, after its stacks are gone."""
    things: list[Thing] = []
    if bucket is not None:
        held = contents(account, bucket, note)
        gib = held.bytes / GIB
        things.append(
            Thing(
                "bucket",
                bucket,
                round(gib, 1),
                round(gib * prices.gib_month["bucket"], 2),
                f"{held.versions:,} objects",
            )
        )
    things += [_of_snapshot(each) for each in kept]
    customer = sorted({each.key for each in kept if each.key_kind == keys.CUSTOMER})
    things += [Thing("key", arn, None, prices.month["key"], "encrypts snapshots above") for arn in customer]
    things += _retained(retained, [bucket, *_ids(customer)], prices)
    secret = f"{dataset}/credentials"
    things += _to_come(account, volumes, prices)
    if _has_secret(account, secret):
        things.append(Thing("secret", secret, None, prices.month["secret"], "you made it"))
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


def _ids(arns: Iterable[str]) -> list[str]:
    return [arn.rpartition("/")[2] for arn in arns]


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
