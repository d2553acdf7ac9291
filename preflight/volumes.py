"""Whether CloudFormation can change the volumes that exist into those that the settings ask for."""

from preflight.deployed import Deployed, ExistingVolume
from preflight.findings import Finding, fails, ok
from stacks.settings import Settings


def check(settings: Settings, there: Deployed) -> list[Finding]:
    """A line for each volume that exists."""
    wishes = {
        "work": ("work_volume_gib", settings.work_volume_gib, "work_snapshot", settings.work_snapshot),
        "packed": (
            "dataset_volume_gib",
            settings.dataset_volume_gib,
            "dataset_snapshot",
            settings.dataset_snapshot,
        ),
    }
    return [
        _check(f"volume {role}", there.volumes[role], *wish)
        for role, wish in wishes.items()
        if role in there.volumes
    ]


def _check(
    check: str, volume: ExistingVolume, size: str, gib: int, setting: str, snapshot: str | None
) -> Finding:
    """A volume can grow, not shrink, and CloudFormation supports no change of its snapshot.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-volume.html
    """
    if gib < volume.gib:
        return fails(
            check, f"has {volume.gib} GiB, and a volume can't shrink to {gib}", f"set {size}={volume.gib}"
        )
    if (snapshot or "") != volume.snapshot:
        origin = f"made from {volume.snapshot}" if volume.snapshot else "not made from a snapshot"
        remedy = f"set {setting}={volume.snapshot}" if volume.snapshot else f"remove {setting}"
        return fails(check, f"was {origin}; that can't be changed to {snapshot or 'none'}", remedy)
    return ok(check, f"{volume.gib} GiB in {volume.zone}")
