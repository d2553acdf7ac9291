"""What a call needs of the KMS key that the resources it works on are encrypted with.

Only keys of the customer's own are asked for: everybody in the account may use the default keys through their
service. KMS is called by EC2, S3 or SNS for the caller, which a policy may ask for as "kms:ViaService".
"""

from collections.abc import Iterator
from typing import Protocol

from rehearsal.cloud.judge import Check


class Keys(Protocol):
    """What has to be looked up: the ARN of a resource's key, "" for none or a default key."""

    def ec2_key(self, resource_id: str) -> str: ...

    def bucket_key(self, bucket: str) -> str: ...

    def topic_key(self, topic_arn: str) -> str: ...


# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html (Permissions for users):
# "kms:ReEncrypt" is asked of the old and of the new key, as two permissions.
_NEW_VOLUME = ("Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
# https://docs.aws.amazon.com/ebs/latest/userguide/how-ebs-encryption-works.html
_ATTACHED = ("CreateGrant",)
# Decrypt: for uploads in parts. https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
_WRITTEN = ("GenerateDataKey", "Decrypt")
# https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
_PUBLISHED = ("GenerateDataKey", "Decrypt")


def key_checks(name: str, region: str, params: dict[str, str], account: Keys) -> Iterator[Check]:
    """The permissions for a key that a call needs, beside its own; `name` is as in "s3:PutObject"."""
    if name == "ec2:CreateVolume" and params.get("SnapshotId"):
        yield from _through("ec2", region, account.ec2_key(params["SnapshotId"]), _NEW_VOLUME)
    elif name == "ec2:CopyVolumes":
        yield from _through("ec2", region, account.ec2_key(params["SourceVolumeId"]), _NEW_VOLUME)
    elif name == "ec2:AttachVolume":
        yield from _through("ec2", region, account.ec2_key(params["VolumeId"]), _ATTACHED)
    elif name == "s3:PutObject":
        yield from _through("s3", region, account.bucket_key(params["bucket"]), _WRITTEN)
    elif name == "s3:GetObject":
        yield from _through("s3", region, account.bucket_key(params["bucket"]), ("Decrypt",))
    elif name == "sns:Publish":
        yield from _through("sns", region, account.topic_key(params.get("TopicArn", "")), _PUBLISHED)


def launch_key_checks(region: str, key: str) -> Iterator[Check]:
    """For a launch whose root volume is encrypted by the key."""
    yield from _through("ec2", region, key, (*_NEW_VOLUME, *_ATTACHED))


def _through(service: str, region: str, key: str, actions: tuple[str, ...]) -> Iterator[Check]:
    context = {"kms:ViaService": f"{service}.{region}.amazonaws.com"}
    for action in actions if key else ():
        grant = {"kms:GrantIsForAWSResource": "true"} if action == "CreateGrant" else {}
        yield Check(f"kms:{action}", key, context | grant)
