"""What there is in the account of the tests."""

from typing import Any

import boto3

STACKS = ["pets-training", "pets-prep", "pets-dataset"]  # in the order of their deletion


def stacks() -> list[str]:
    found = boto3.client("cloudformation").describe_stacks()["Stacks"]
    return sorted(each["StackName"] for each in found)


def bucket() -> str | None:
    names = [each["Name"] for each in boto3.client("s3").list_buckets()["Buckets"]]
    return next((name for name in names if name.startswith("pets-dataset-")), None)


def fill(*keys: str) -> None:
    """Objects in the bucket: two versions of each, 1 MiB together."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket() or "", VersioningConfiguration={"Status": "Enabled"})
    for key in keys:
        for _ in range(2):
            s3.put_object(Bucket=bucket() or "", Key=key, Body=bytes(1 << 19))


def instances() -> list[Any]:
    pages = boto3.client("ec2").get_paginator("describe_instances").paginate()
    return [each for page in pages for made in page["Reservations"] for each in made["Instances"]]
