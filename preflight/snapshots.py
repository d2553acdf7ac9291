"""The snapshots that the settings name, from which new volumes are made."""

from botocore.exceptions import ClientError

from preflight.account import Account
from preflight.findings import Finding, fails, ok
from preflight.keys import is_default


def check(account: Account, setting: str, snapshot_id: str, volume_gib: int, key: str | None) -> Finding:
    """Whether the snapshot is complete, fits on the volume, and has the key of the settings or EBS's own.

    The instance's role may use no other key, which it would need to attach the volume.
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html

    setting: its name, which is also the name of the check; volume_gib: the size of the new volume; key: the
    setting `key`.
    """
    try:
        (snapshot,) = account.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
    except ClientError as error:
        if error.response["Error"].get("Code") not in (
            "InvalidSnapshot.NotFound",
            "InvalidSnapshotID.Malformed",
        ):
            raise
        return fails(
            setting,
            f"{account.region} has no snapshot {snapshot_id}",
            f"set {setting} to one that exists, or remove the setting",
        )
    if snapshot["State"] != "completed":
        progress = snapshot.get("Progress", "")
        return fails(
            setting, f"{snapshot_id} is {snapshot['State']} {progress}".rstrip(), "wait until it is complete"
        )
    if snapshot["VolumeSize"] > volume_gib:
        return fails(
            setting,
            f"{snapshot_id} has {snapshot['VolumeSize']} GiB, the volume only {volume_gib}",
            f"make the volume at least {snapshot['VolumeSize']} GiB",
        )
    used = snapshot.get("KmsKeyId", "")
    if used not in ("", key) and not is_default(account, used):
        return fails(
            setting,
            f"{snapshot_id} is encrypted with {used}, which is not the key of the setting key",
            f"set key={used}",
        )
    return ok(setting, f"{snapshot_id}, {snapshot['VolumeSize']} GiB")
