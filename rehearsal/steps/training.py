"""Training instances: launched, read from, rebooted."""

import json
import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rehearsal.checks.sheet import contact_sheet
from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import Cloud, in_instance, tail, wait_until
from rehearsal.preparation import BATCH, Road

FIRST_BATCH = Path(__file__).parents[1] / "checks" / "first_batch.py"
BATCHES = 4  # instances of which a first batch is read: one more takes three seconds, and shows nothing new
READY_SECONDS = 300.0  # for an instance to restore, attach and mount: seconds here, two minutes on AWS

Starting = Callable[[Road, int], list[str]]


def start(road: Road, count: int) -> list[str]:
    """Runs instances of the launch template, in one zone after another."""
    ec2 = road.cloud.client("ec2")
    template = road.output("training", "LaunchTemplateId")
    subnets = road.output("dataset", "SubnetIds").split(",")
    gpus = []
    for number in range(count):
        answer = ec2.run_instances(
            LaunchTemplate={"LaunchTemplateId": template},
            SubnetId=subnets[number % len(subnets)],
            MinCount=1,
            MaxCount=1,
        )
        gpus.append(str(answer["Instances"][0]["InstanceId"]))
    return gpus


def launch(road: Road, starting: Starting = start) -> list[str]:
    """GPU instances from the launch template; waits until each says it is ready.

    Of several waves, all but the last are ended again. `starting` runs those of the last.
    """
    *waves, last = road.wishes.instances
    for count in waves:
        road.cloud.client("ec2").terminate_instances(InstanceIds=_wave(road, count, start))
    return _wave(road, last, starting)


def _wave(road: Road, count: int, starting: Starting) -> list[str]:
    begun = time.monotonic()
    gpus = starting(road, count)
    with road.narrator.step(f"{len(gpus)} GPU instance(s) from the launch template: boot, mount the data"):
        for gpu in gpus:
            wait_until(f"{gpu} to tag itself", READY_SECONDS, lambda gpu=gpu: _state(road, gpu) != "")  # type: ignore[misc]
            if _state(road, gpu) != "ready":
                raise RehearsalError(
                    f"GPU instance {gpu} came up without the data set", _boot_log(road.cloud, gpu)
                )
        seconds = time.monotonic() - begun
        road.narrator.note(", ".join(gpus)[:100])
        for gpu in gpus:  # the last line of the log comes after the tag
            done = partial(_user_data_status, road.cloud, gpu)
            wait_until(f"the user data of {gpu} to end", READY_SECONDS, lambda done=done: done() is not None)  # type: ignore[misc]
    _measure(road, gpus, seconds)
    return gpus


def _measure(road: Road, gpus: Sequence[str], seconds: float) -> None:
    """How long it took, how many calls each instance made, what its user data took beside waiting for AWS."""
    calls = Counter(entry["instance"] for entry in road.cloud.judged_calls())
    counts = sorted({calls[gpu] for gpu in gpus})
    own = [_own_seconds(road.cloud, gpu) for gpu in gpus]
    slowest = max(own)
    road.narrator.figures.append(
        {
            "instances": len(gpus),
            "seconds": round(seconds, 1),
            "calls_each": counts,
            "own_seconds": slowest,
        }
    )
    cores = f"{seconds / len(gpus):.1f} s each on {os.cpu_count()} cores"
    called = f"{' to '.join(map(str, counts))} calls each"
    figure = f"{seconds:.1f} s, {cores}; {called}; user data itself {slowest:.1f} s"
    what = f"{len(gpus)} training instance(s) at once: mounted"
    road.narrator.check(what, len(counts) == 1, figure)


def _own_seconds(cloud: Cloud, gpu: str) -> float:
    """What the boot log says: the seconds that the user data did not wait for AWS."""
    found = re.findall(r"([\d.]+) s own$", "\n".join(_boot_log(cloud, gpu)), re.MULTILINE)
    if not found:
        raise RehearsalError(f"the boot log of {gpu} does not tell its own time", _boot_log(cloud, gpu))
    return float(found[-1])


def copy_in_the_zone(road: Road, warm: str) -> None:
    """With restore=auto, an instance in the zone of another takes a copy of that one's volume."""
    ec2 = road.cloud.client("ec2")
    with road.narrator.step("Launch an instance where another has the volume already"):
        gpu = start(road, 1)[0]  # in the first zone, as the first of the instances that are there
        wait_until(f"{gpu} to tag itself", READY_SECONDS, lambda: _state(road, gpu) != "")
        log = "\n".join(_boot_log(road.cloud, gpu))
        ec2.terminate_instances(InstanceIds=[gpu])
    attached = [{"Name": "attachment.instance-id", "Values": [warm]}]
    sources = [each["VolumeId"] for each in ec2.describe_volumes(Filters=attached)["Volumes"]]
    copied = [source for source in sources if f"copied volume {source}" in log]
    figure = f"{gpu}: a copy of {copied[0]}" if copied else f"{gpu}: no copy of a volume of {warm}"
    road.narrator.check("a warm zone: the volume is copied", bool(copied), figure)


def fail_to_mount(road: Road) -> None:
    """A training instance whose snapshot has no file system must say so, and leave no volume behind."""
    ec2, ssm = road.cloud.client("ec2"), road.cloud.client("ssm")
    name, good = f"/{road.name}/snapshot-id", road.subject.published()
    with road.narrator.step("Launch an instance whose snapshot has no file system"):
        zone = f"{road.cloud.region}a"
        blank = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
        tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "dataset", "Value": road.name}]}]
        bad = ec2.create_snapshot(VolumeId=blank, TagSpecifications=tags)["SnapshotId"]
        ssm.put_parameter(Name=name, Value=bad, Type="String", Overwrite=True)
        try:
            gpu = start(road, 1)[0]
            wait_until(f"{gpu} to tag itself", READY_SECONDS, lambda: _state(road, gpu) != "")
            state = _state(road, gpu)
            made = [{"Name": "snapshot-id", "Values": [bad]}]
            left = [each["VolumeId"] for each in ec2.describe_volumes(Filters=made)["Volumes"]]
            said = [line for line in _boot_log(road.cloud, gpu) if "FAILED" in line]
            road.narrator.note(said[0][:100] if said else "")
        finally:
            ssm.put_parameter(Name=name, Value=good, Type="String", Overwrite=True)
            ec2.delete_snapshot(SnapshotId=bad)
            ec2.delete_volume(VolumeId=blank)
        ec2.terminate_instances(InstanceIds=[gpu])
    figure = f"dataset-state={state}, volumes left: {', '.join(left) or 'none'}"
    road.narrator.check("an instance that can't mount leaves nothing", state == "failed" and not left, figure)


def _state(road: Road, instance_id: str) -> str:
    filters = [{"Name": "resource-id", "Values": [instance_id]}, {"Name": "key", "Values": ["dataset-state"]}]
    tags = road.cloud.client("ec2").describe_tags(Filters=filters)["Tags"]
    if not tags and (status := _user_data_status(road.cloud, instance_id)) not in (None, 0):
        raise RehearsalError(
            f"the user data of {instance_id} ended with status {status} and left no tag",
            _boot_log(road.cloud, instance_id),
        )
    return str(tags[0]["Value"]) if tags else ""


def _user_data_status(cloud: Cloud, instance_id: str) -> int | None:
    try:
        return int((cloud.instance(instance_id) / "shared" / "user-data.status").read_text())
    except (FileNotFoundError, ValueError):
        return None


def read_first_batches(road: Road, gpus: Sequence[str]) -> None:
    """On each GPU instance: a batch by MXNet's own iterator; then all of them on one sheet.

    The splits in turn, so that two instances show both.
    """
    batches = []
    for number, gpu in enumerate(gpus[:BATCHES]):
        split = list(road.splits)[number % len(road.splits)]
        # The iterator wants more images than its batch has.
        size = max(1, min(BATCH, road.splits[split] // 2))
        with road.narrator.step(f"First batch of {split} on {gpu} with MXNet's ImageRecordIter"):
            program = [sys.executable, "-B", str(FIRST_BATCH), road.mount, "/run/rehearsal"]
            done = in_instance(road.cloud, gpu, *program, "--images", str(size), "--split", split)
            if done.returncode != 0:
                raise RehearsalError(f"no first batch on {gpu}", done.stderr.splitlines()[-10:])
            facts = json.loads(done.stdout.splitlines()[-1])
            words = sorted({word.partition(",")[0] for word in facts["words"]})
            road.narrator.note(", ".join(words)[:80])
            figure = f"{facts['images']} images, {len(words)} classes"
            road.narrator.check(f"{gpu}: first batch of {split}", facts["images"] > 0, figure)
            target = road.wishes.output / "batches" / f"{gpu} {split}" / "batch.npz"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(road.cloud.instance(gpu) / "shared" / "batch.npz", target)
            batches.append(target)
    with road.narrator.step("Contact sheet of what the GPU instances read"):
        contact_sheet(batches, road.wishes.output / "contact-sheet.png")
        road.narrator.note(str(road.wishes.output / "contact-sheet.png"))


def reboot(road: Road, gpu: str) -> None:
    with road.narrator.step(f"Reboot {gpu}"):
        before = road.cloud.instance_pid(gpu)
        road.cloud.client("ec2").reboot_instances(InstanceIds=[gpu])

        def is_back() -> bool:
            booted = (road.cloud.instance(gpu) / "shared" / "booted").exists()
            return booted and road.cloud.instance_pid(gpu) != before

        wait_until(f"{gpu} to come back", 60, is_back)
        mounted = in_instance(road.cloud, gpu, "findmnt", "--noheadings", "--output", "OPTIONS", road.mount)
        options = mounted.stdout.strip()
        road.narrator.check(
            f"{road.mount} is there after a reboot", options.startswith("ro"), options or "not mounted"
        )


def _boot_log(cloud: Cloud, instance_id: str) -> list[str]:
    return tail(cloud.instance(instance_id) / "log" / "cloud-init-output.log", 12)
