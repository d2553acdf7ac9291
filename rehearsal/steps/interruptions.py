"""The prep instance is stopped and started, replaced, and destroyed in the middle of its work.

Each time the work must go on where it was: what counts is on the volumes.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import wait_until
from rehearsal.preparation import Road
from rehearsal.servers.archive import Fault, Request
from rehearsal.steps.deployment import deploy_again
from rehearsal.steps.preparing import SERVICE, Service, follow, prep_service

WORK, PACKED = "/data", "/dataset"
STOP_FIRST = 0.5  # seconds, in which the signal to stop reaches the service
BACK_SECONDS = 60.0  # for an instance to boot and start its services: two seconds on a quiet machine


def change_on_the_way(road: Road) -> None:
    """The server has another version of the largest archive, when the beginning of it is in S3.

    What was made of the first version is forgotten, and its upload to S3 is aborted.
    """
    largest = max(road.archives.iterdir(), key=lambda file: file.stat().st_size).name
    bucket = road.output("dataset", "BucketName")
    s3 = road.cloud.client("s3")

    def sent() -> bool:
        uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return any(upload["Key"].endswith(f"/{largest}") for upload in uploads)

    def aborted() -> bool:
        return any(entry["call"] == "s3:AbortMultipartUpload" for entry in road.cloud.judged_calls())

    def plan(request: Request) -> Fault | None:
        return Fault(etag='"second"') if request.file == largest else None

    with road.narrator.step(f"{largest} changes on the server, when its beginning is in S3"):
        service = prep_service(road)
        follow(road, service, sent)
        road.site.plan = plan
        follow(road, service, aborted)
    road.narrator.check("a changed archive: the upload of the old one is aborted", True, largest)


def stop_and_start(road: Road, what: str, reached: Callable[[], bool]) -> None:
    """Stops the prep instance at a moment of its work, and starts it again."""
    service = prep_service(road)
    with road.narrator.step(f"Stop and start the prep instance: {what}"):
        follow(road, service, reached)
        _stop_and_start(road, service, what)


def stop_and_start_while_held(road: Road, what: str, then: str = "") -> None:
    """The same while the call that the cloud holds waits for its answer; `then`: the next call to hold."""
    service = prep_service(road)
    with road.narrator.step(f"Stop and start the prep instance: {what}"):
        follow(road, service, road.cloud.is_held)
        # The answer comes when the stop is under way.
        next_hold = Timer(STOP_FIRST, road.cloud.hold, [then])
        next_hold.start()
        _stop_and_start(road, service, what)


def _stop_and_start(road: Road, service: Service, what: str) -> None:
    done = finished(service)
    ec2, before = road.cloud.client("ec2"), road.cloud.instance_pid(service.instance_id)
    ec2.stop_instances(InstanceIds=[service.instance_id])
    ec2.start_instances(InstanceIds=[service.instance_id])

    def is_back() -> bool:
        return road.cloud.instance_pid(service.instance_id) != before and service.state["state"] == "active"

    wait_until(f"{SERVICE} to go on after the stop", BACK_SECONDS, is_back)
    figure = f"finished before: {', '.join(done) or 'nothing'}"
    road.narrator.check(f"stop and start: {what}", True, figure)


def finished(service: Service) -> list[str]:
    """The stages that have left a receipt."""
    order = ("download", "organize", "pack", "verify", "preview", "backup", "snapshot")
    return [stage for stage in order if service.inside(f"{WORK}/.prep/{stage}.json").exists()]


def replace_instance(road: Road, what: str, setting: str, value: str) -> None:
    """A new setting makes a new instance, which takes over the volumes when the old one is gone."""
    old = prep_service(road)
    deploy_again(road, f"Replace the prep instance: {what}", {setting: value})
    new = prep_service(road)
    if new.instance_id == old.instance_id:
        raise RehearsalError(f"the prep instance was not replaced after {setting}={value}")
    with road.narrator.step("The new prep instance takes over the volumes"):
        wait_until(f"{SERVICE} to start", 4 * BACK_SECONDS, lambda: new.state["state"] == "active")
    found = road.cloud.client("ec2").describe_instances(InstanceIds=[old.instance_id])
    state = found["Reservations"][0]["Instances"][0]["State"]["Name"]
    figure = f"{new.instance_id} after {old.instance_id}, which is {state}"
    road.narrator.check("replacement of the instance", state == "terminated", figure)


@dataclass(frozen=True)
class Fetched:
    """What was on the work volume at some moment: ranges by file and first byte, and how much."""

    ranges: frozenset[tuple[str, int]]
    bytes: int
    requests: int  # that the server had had


def destroy_and_deploy_again(road: Road) -> Fetched:
    """`cdk destroy` of the Prep stack in the middle; then a deployment from the snapshots that it left."""
    service = prep_service(road)
    there = on_disk(road, service)
    with road.narrator.step("cdk destroy Prep, in the middle of the download"):
        road.cdk.destroy("Prep")
        road.narrator.note("")
    there = Fetched(there.ranges, there.bytes, len(road.site.requests))
    ec2 = road.cloud.client("ec2")
    snapshots = {}
    for role in ("work", "packed"):
        tags = {"tag:dataset": road.name, "tag:dataset-role": role}
        filters = [{"Name": name, "Values": [value]} for name, value in tags.items()]
        found = ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
        if len(found) != 1:
            raise RehearsalError(f"destroy left {len(found)} snapshots of the volume {role}")
        snapshots[role] = found[0]["SnapshotId"]
    changes = {"work_snapshot": snapshots["work"], "dataset_snapshot": snapshots["packed"]}
    deploy_again(road, "Deploy from the snapshots that destroy left", changes)
    return there


def bytes_on_disk(road: Road) -> int:
    """Of the archives, on the work volume for good."""
    return on_disk(road, prep_service(road)).bytes


def on_disk(road: Road, service: Service) -> Fetched:
    """The ranges that are on the work volume for good, by the journals of the download."""
    ranges, size = set(), 0
    for file in road.archives.iterdir():
        whole = service.inside(f"{WORK}/archives/{file.name}")
        journal = whole.with_name(f"{file.name}.journal")
        length, total = _range_bytes(journal), file.stat().st_size
        starts = range(0, total, length) if whole.exists() else [n * length for n in _noted(journal)]
        ranges |= {(file.name, start) for start in starts}
        size += sum(min(length, total - start) for start in starts)
    return Fetched(frozenset(ranges), size, len(road.site.requests))


def _lines(journal: Path) -> list[dict[str, object]]:
    try:
        return [json.loads(line) for line in journal.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        return []


def _range_bytes(journal: Path) -> int:
    settings = [line["settings"] for line in _lines(journal) if "settings" in line]
    found = settings[0] if settings else {}
    return int(found["range"]) if isinstance(found, dict) and "range" in found else 8 << 20


def _noted(journal: Path) -> list[int]:
    return [int(str(line["range"])) for line in _lines(journal) if "range" in line]


def nothing_fetched_twice(road: Road, there: Fetched) -> None:
    """After the work has ended: no range that was on the volume was asked for again."""
    later = road.site.requests[there.requests :]
    again = []
    for request in later:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.range or "")
        # A single byte only asks for the version.
        if asked and asked[1] != asked[2] and (request.file, int(asked[1])) in there.ranges:
            again.append(f"{request.file} from {asked[1]}")
    total = sum(file.stat().st_size for file in road.archives.iterdir())
    figure = f"{there.bytes / 1e6:.1f} of {total / 1e6:.1f} MB were on the volume"
    if again:
        figure = f"fetched again: {', '.join(again)}"
    what = "deployed from snapshots: nothing fetched twice"
    road.narrator.check(what, not again and 0 < there.bytes < total, figure)
