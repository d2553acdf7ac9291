"""The end: the checks of data, volumes and backup, and the removal of everything."""

from collections.abc import Sequence

from rehearsal import findings, leftovers
from rehearsal.preparation import Road
from rehearsal.steps.cluster import ray_token


def inspect(road: Road, gpus: Sequence[str]) -> None:
    """Checks the data, the volumes and the backup, for the table at the end."""
    with road.narrator.step("Check every record against the archives, the volumes and the backup"):
        for gpu in gpus:
            findings.own_volume(road.subject, gpu, road.narrator)
        findings.labels(road.subject, gpus[0], road.narrator)
        bucket = road.output("dataset", "BucketName")
        findings.backup(road.subject, bucket, gpus[0], road.narrator)
        _no_secrets(road)
        if not road.wishes.cluster:  # which makes no preview
            page = findings.preview(road.subject, bucket, gpus[0], road.wishes.output, road.narrator)
            road.narrator.note(f"{page}: open it in a browser")


def _no_secrets(road: Road) -> None:
    secrets = {"the site's access key": road.access_key}
    if road.wishes.cluster:
        secrets["Ray's token"] = ray_token(road)
    for what, secret in secrets.items():
        findings.secrets(road.subject, what, secret, road.cdk.folder, road.narrator)


def tear_down(road: Road, gpus: Sequence[str]) -> None:
    """Destroys everything except what must remain."""
    with road.narrator.step("Terminate the GPU instances"):
        road.cloud.client("ec2").terminate_instances(InstanceIds=list(gpus))
    with road.narrator.step("cdk destroy --all"):
        road.cdk.destroy()
        road.narrator.note("")
    compare(road, gpus)


def compare(road: Road, gpus: Sequence[str]) -> None:
    """What remains, after all is removed, with what should remain."""
    findings.remains(road.subject, gpus, road.narrator, 2 if "work_snapshot" in road.settings else 1)
    keys = int("key" in road.settings)
    leftovers.nothing_else(road.cloud, road.name, road.before, road.narrator, keys=keys)
