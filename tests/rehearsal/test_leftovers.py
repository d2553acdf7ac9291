"""A forgotten thing of any kind is found; what may stay is not complained about."""

from collections.abc import Callable
from typing import Any

import pytest

from rehearsal.leftovers import Item, listing, nothing_else
from rehearsal.narrator import Narrator
from rehearsal.operator.account import Cloud


def found(cloud: Cloud, before: set[Item]) -> str:
    """What the check says; empty if it is satisfied."""
    narrator = Narrator()
    nothing_else(cloud, "sample", before, narrator)
    ((_, ok, figure),) = narrator.rows
    return "" if ok else figure


def _volume(cloud: Cloud) -> None:
    cloud.client("ec2").create_volume(AvailabilityZone="us-east-1a", Size=1)


def _snapshot(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    ec2.create_snapshot(VolumeId=volume)
    ec2.delete_volume(VolumeId=volume)


def _upload(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="sample-dataset-1")
    s3.create_multipart_upload(Bucket="sample-dataset-1", Key="a")


def _of(service: str, method: str, **parameters: Any) -> Callable[[Cloud], object]:
    return lambda cloud: getattr(cloud.client(service), method)(**parameters)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_volume, "volume"),
        (_snapshot, "snapshot"),
        (_upload, "upload"),
        (_of("ec2", "create_vpc", CidrBlock="10.1.0.0/16"), "VPC"),
        (_of("ec2", "create_key_pair", KeyName="k"), "key pair"),
        (_of("ec2", "allocate_address"), "address"),
        (_of("sns", "create_topic", Name="t"), "topic"),
        (_of("logs", "create_log_group", logGroupName="g"), "log group"),
        (_of("ssm", "put_parameter", Name="/other", Value="x", Type="String"), "parameter"),
        (_of("secretsmanager", "create_secret", Name="other", SecretString="x"), "secret"),
        (_of("s3", "create_bucket", Bucket="other-bucket"), "bucket"),
        (_of("iam", "create_instance_profile", InstanceProfileName="p"), "instance profile"),
        (_of("kms", "create_key"), "things, each for a reason"),
    ],
)
def test_what_must_not_stay(cloud: Cloud, make: Callable[[Cloud], object], kind: str) -> None:
    before = listing(cloud)
    assert not found(cloud, before)
    make(cloud)
    assert kind in found(cloud, before)


def test_what_may_stay(cloud: Cloud) -> None:
    before = listing(cloud)
    cloud.client("s3").create_bucket(Bucket="sample-dataset-backup")
    cloud.client("ssm").put_parameter(Name="/sample/snapshot-id", Value="snap-1", Type="String")
    cloud.client("secretsmanager").create_secret(Name="sample/credentials", SecretString="x")
    cloud.client("s3").create_bucket(Bucket="cdk-hnb659fds-assets-123456789012-us-east-1")
    assert not found(cloud, before)
