"""The checks of the rehearsal. Each result is a row of the table at the end."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.checks.packed import check_packed
from rehearsal.checks.preview import check_preview
from rehearsal.checks.truth import read_truth
from rehearsal.narrator import Narrator
from rehearsal.operator.account import Cloud, in_instance

# The embedded S3 delivers 25 MiB/s. For larger objects, only the sizes are compared.
HASH_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Subject:
    """What is looked at: the data set and where the GPU instances have it."""

    cloud: Cloud
    dataset: str
    description: Path
    archives: Path
    mount: str

    def mounted(self, instance_id: str) -> Path:
        """The instance's mount, seen from here."""
        return Path(f"/proc/{self.cloud.instance_pid(instance_id)}/root{self.mount}")

    def published(self) -> str:
        """The id of the newest snapshot, where training instances find it."""
        parameter = self.cloud.client("ssm").get_parameter(Name=f"/{self.dataset}/snapshot-id")
        return str(parameter["Parameter"]["Value"])


def own_volume(subject: Subject, instance_id: str, narrator: Narrator) -> None:
    """The instance's own volume: from the published snapshot, read-only, gone with the instance."""
    ec2 = subject.cloud.client("ec2")
    snapshot = subject.published()
    attached = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
    volumes = ec2.describe_volumes(Filters=attached)["Volumes"]
    # By its tag: a copy of a volume has no snapshot's id.
    tag = {"Key": "dataset-snapshot", "Value": snapshot}
    restored = [volume for volume in volumes if tag in volume.get("Tags", [])]
    options = ["--noheadings", "--output", "SOURCE,OPTIONS", subject.mount]
    shown = in_instance(subject.cloud, instance_id, "findmnt", *options)
    source, _, flags = (part.strip() for part in shown.stdout.strip().partition(" "))
    what = f"{instance_id}: own volume, read-only, deleted with it"
    if not restored:
        narrator.check(what, False, "no volume of its own from the snapshot")
        return
    volume = restored[0]
    instance = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    ends = {
        block["Ebs"]["VolumeId"]: block["Ebs"]["DeleteOnTermination"]
        for block in instance["BlockDeviceMappings"]
    }
    ok = len(restored) == 1 and flags.split(",")[0] == "ro" and ends.get(volume["VolumeId"]) is True
    place = f"{volume['AvailabilityZone']}, {source} {flags}"
    narrator.check(what, ok, f"{volume['VolumeId']} from {snapshot} in {place}")


def labels(subject: Subject, instance_id: str, narrator: Narrator) -> None:
    """Every record, as a GPU instance has it, against the archives."""
    packed = subject.mounted(instance_id)
    for what, ok, figure in check_packed(subject.description, subject.archives, packed):
        narrator.check(what, ok, figure)


def preview(subject: Subject, bucket: str, instance_id: str, output: Path, narrator: Narrator) -> Path:
    """The page that shows what is packed: fetched from the backup, kept for a person, and checked."""
    s3, key = subject.cloud.client("s3"), f"{subject.dataset}/packed/preview.html"
    page = output / "preview.html"
    found = key in _objects(s3, bucket, key)
    narrator.check("preview: the backup has it", found, f"{key} in {bucket}")
    if found:
        page.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        truth = read_truth(subject.description, subject.archives)
        manifest = subject.mounted(instance_id) / "MANIFEST.json"
        for what, ok, figure in check_preview(page.read_text(encoding="utf-8"), truth, manifest):
            narrator.check(what, ok, figure)
    return page


def backup(subject: Subject, bucket: str, instance_id: str, narrator: Narrator) -> None:
    """Each archive and each packed file is in the bucket, whole."""
    s3, name = subject.cloud.client("s3"), subject.dataset
    objects = _objects(s3, bucket, f"{name}/")
    packed = subject.mounted(instance_id)
    wanted = {f"{name}/packed/{file.name}": file for file in packed.iterdir() if file.is_file()}
    archived = [key for key in objects if key.startswith(f"{name}/archives/")]
    wanted |= {key: subject.archives / Path(key).name for key in archived}
    receipts = [key for key in objects if key.startswith(f"{name}/receipts/")]
    wrong = [key for key, file in wanted.items() if not _same(s3, bucket, key, objects.get(key), file)]
    figure = f"{len(objects)} objects, {sum(objects.values()) / 1e6:.1f} MB, {len(archived)} archives"
    if wrong:
        figure = f"wrong or missing: {', '.join(wrong)}"
    ok = not wrong and bool(archived) and bool(receipts)
    narrator.check("backup in S3: archives, packed files, receipts", ok, figure)


def _objects(s3: Any, bucket: str, prefix: str) -> dict[str, int]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}


def _same(s3: Any, bucket: str, key: str, size: int | None, file: Path) -> bool:
    if size is None or not file.is_file() or size != file.stat().st_size:
        return False
    if size > HASH_BYTES:
        return True
    stored = hashlib.sha256(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).digest()
    return stored == hashlib.sha256(file.read_bytes()).digest()


def secrets(subject: Subject, what: str, secret: str, cdk_folder: Path, narrator: Narrator) -> None:
    """A secret, in words "the site's access key", is in no template, asset, log or user data."""
    needle = secret.encode()
    instances = subject.cloud.folder / "instances"
    folders = [cdk_folder, *instances.glob("*/log"), *instances.glob("*/shared")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found = [str(path) for path in files if needle in path.read_bytes()]
    figure = ", ".join(found) or f"{len(files)} files searched"
    narrator.check(f"{what} is in no template, log or user data", not found, figure)


def remains(subject: Subject, gpus: Sequence[str], narrator: Narrator, destroyed: int = 1) -> None:
    """After destroy: no stack, instance or volume; the bucket and the snapshots.

    destroyed: how often the Prep stack was destroyed; each time, the last state of both volumes is kept.
    """
    ec2, s3 = subject.cloud.client("ec2"), subject.cloud.client("s3")
    stacks = subject.cloud.client("cloudformation").describe_stacks()["Stacks"]
    instances = [
        instance
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    ]
    left = [stack["StackName"] for stack in stacks if stack["StackName"] != "CDKToolkit"]
    left += [each["InstanceId"] for each in instances if each["State"]["Name"] != "terminated"]
    left += [volume["VolumeId"] for volume in ec2.describe_volumes()["Volumes"]]
    figure = ", ".join(left) or f"no stack, instance ({len(gpus)} GPU, 1 prep) or volume left"
    narrator.check("destroy took what costs by the hour", not left, figure)
    name = subject.dataset
    buckets = [each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith(f"{name}-")]
    count = sum(len(_objects(s3, bucket, f"{name}/")) for bucket in buckets)
    narrator.check(
        "remains: the backup", count > 0, f"{count} objects in {', '.join(buckets) or 'no bucket'}"
    )
    tag = {"Key": "dataset", "Value": name}
    taken = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    own = [each["SnapshotId"] for each in taken if tag in each.get("Tags", [])]
    ok = subject.published() in own and len(own) == 1 + 2 * destroyed
    narrator.check("remains: published snapshot, last state of both volumes", ok, ", ".join(own))


def refusals(cloud: Cloud, narrator: Narrator) -> None:
    """Calls of instances that their role's policies do not allow."""
    refused = cloud.refused_calls()
    figure = f"{len(refused)} refused: {refused[0]}" if refused else f"{cloud.calls_made()} calls judged"
    narrator.check("every call of an instance allowed by its own role", not refused, figure)


def as_json(narrator: Narrator) -> str:
    rows = [{"check": what, "ok": ok, "figure": figure} for what, ok, figure in narrator.rows]
    report = {"ok": narrator.all_ok, "seconds": round(narrator.elapsed(), 1), "checks": rows}
    report["launches"] = narrator.figures
    return json.dumps(report, indent=1)
