"""What can go wrong while a training instance gets its data set. For tests and for readers.

`python -m tests.userdata.failures > docs/restore-failures.md` writes the document. In log lines, "…" stands
for any text.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_block_store import Volume

from tests.userdata.cloud import ALWAYS, Cloud, Fault
from tests.userdata.machine import Disk, Machine, publish, take_snapshot


@dataclass(frozen=True)
class Scene:
    """What a failure can change before the boot."""

    machine: Machine
    disk: Disk
    cloud: Cloud
    folder: Path


@dataclass(frozen=True)
class Failure:
    """`arrange` causes it. `says` is a line of the boot log. `reason` is in the tag.

    Without a reason, and not `ready`, no tag can be set. `ready` tells that the data set is mounted all the
    same. `before` are commands in the instance.
    """

    what: str
    arrange: Callable[[Scene], None]
    says: str
    reason: str = ""
    ready: bool = False
    before: str = ""


def _fault(fault: Callable[[], Fault], **variables: str) -> Callable[[Scene], None]:
    def arrange(scene: Scene) -> None:
        scene.cloud.faults.append(fault())
        scene.machine.variables.update(variables)

    return arrange


def _refused(code: str, message: str, action: str = "CreateVolume") -> Callable[[Scene], None]:
    return _fault(lambda: Fault(action, code, message))


def _variables(**variables: str) -> Callable[[Scene], None]:
    return lambda scene: scene.machine.variables.update(variables)


def _delete_snapshot(scene: Scene) -> None:
    snapshot = take_snapshot(scene.machine.ec2)
    publish("tiny", snapshot)
    scene.machine.ec2.delete_snapshot(SnapshotId=snapshot)


def _other_region(scene: Scene) -> None:
    assert scene
    there = boto3.client("ec2", region_name="eu-west-1")
    source = there.create_volume(AvailabilityZone="eu-west-1a", Size=200)["VolumeId"]
    publish("tiny", there.create_snapshot(VolumeId=source)["SnapshotId"])
    there.close()


def _volumes(scene: Scene) -> dict[str, Volume]:
    """Those that the machine made, as the embedded AWS has them."""
    made: dict[str, Volume] = ec2_backends["123456789012"]["us-east-1"].volumes
    return {volume["VolumeId"]: made[volume["VolumeId"]] for volume in scene.machine.volumes()}


def _roll_back(scene: Scene) -> None:
    """EC2 accepts the call, then can't use the key, and drops the volume."""

    def drop() -> None:
        for volume in _volumes(scene):
            del ec2_backends["123456789012"]["us-east-1"].volumes[volume]

    scene.cloud.faults.append(Fault("CreateVolume", after=drop))


def _state_error(scene: Scene) -> None:
    class Failed(Volume):
        """A volume that EC2 could not create."""

        __module__ = Volume.__module__  # moto reads a service's name there
        status = "error"

    def spoil() -> None:
        for volume in _volumes(scene).values():
            volume.__class__ = Failed  # type: ignore[type-abstract]

    scene.cloud.faults.append(Fault("CreateVolume", after=spoil))
    scene.cloud.faults.append(Fault("AttachVolume", "IncorrectState", "vol-1 is not 'available'."))


def _stay_attaching(scene: Scene) -> None:
    def stick() -> None:
        for volume in _volumes(scene).values():
            if volume.attachment:
                volume.attachment.status = "attaching"

    scene.cloud.faults.append(Fault("AttachVolume", after=stick))
    scene.machine.variables["DEVICES"] = ""


def _damage(scene: Scene) -> None:
    """The superblock is whole, the descriptors of the block groups after it are not."""
    with scene.disk.device.open("r+b") as device:
        device.seek(2048)
        device.write(b"\xff" * 2048)
        device.flush()
        os.fsync(device.fileno())


def _blank(scene: Scene) -> None:
    with scene.disk.device.open("r+b") as device:
        device.write(bytes(1 << 20))
        device.flush()
        os.fsync(device.fileno())


def _old_command_line(scene: Scene) -> None:
    """The real one, which is asked for an option that it does not know."""
    scene.machine.variables["INITIALIZATION_RATE"] = "300"
    scene.machine.variables["OLD"] = "--volume-initialization-rate"
    scene.machine.put_first(scene.folder / "old", "aws", OLD_COMMAND_LINE)


# In place of a word that an old command line does not know, one that no command line knows.
OLD_COMMAND_LINE = """#!/usr/bin/env bash
PATH="${PATH#*:}"
exec aws "${@/#"${OLD}"/"${OLD}-unknown"}"
"""

NO_ROLE = {"iam/security-credentials/": ALWAYS}


def _late_role(times: int) -> Callable[[Scene], None]:
    return lambda scene: scene.machine.metadata.missing.update({"iam/security-credentials/": times})


def _slow_metadata(scene: Scene) -> None:
    scene.machine.metadata.slow = 2


_CREATE = "could not create a volume from snapshot snap-… in us-east-1b: An error occurred "
_LOST = (
    "FAILED: EC2 has given up volume vol-…, as it does if it may not use the key of an encrypted volume or "
    "snapshot: allow this instance's role to use that key"
)
_RATE = "EC2 refuses to initialize at 300 MiB/s: blocks load when first read: An error occurred "
_HOT = {"INITIALIZATION_RATE": "300"}

FAILURES: dict[str, Failure] = {
    "parameter missing": Failure(
        "The parameter is not there, because no snapshot has been taken",
        _variables(SNAPSHOT_PARAMETER="/*/not-yet"),
        "FAILED: could not read the snapshot's ID from the parameter /tiny/not-yet: An error occurred "
        "(ParameterNotFound) …: when the prep instance is done, run this again", "parameter-missing"),
    "parameter invalid": Failure(
        "The parameter holds something else", lambda _: publish("tiny", "vol-0123"),
        "FAILED: the parameter /tiny/snapshot-id holds 'vol-0123', not a snapshot id: correct it, then run "
        "this again", "parameter-invalid"),
    "snapshot deleted": Failure(
        "The snapshot was deleted", _delete_snapshot,
        f"FAILED: {_CREATE}(InvalidSnapshot.NotFound) …: it was deleted or is in another Region; copy it to "
        "us-east-1, or correct the parameter", "snapshot-missing"),
    "other region": Failure(
        "The snapshot is in another Region: the parameter was copied, the snapshot was not", _other_region,
        f"FAILED: {_CREATE}(InvalidSnapshot.NotFound) …: it was deleted or is in another Region; copy it to "
        "us-east-1, or correct the parameter", "snapshot-missing"),
    "key": Failure(
        "The snapshot is encrypted with a key that the role may not use: EC2 drops the volume without a word",
        _roll_back,
        _LOST, "volume-lost"),
    "key, state error": Failure(
        "The same, and the volume gets the state `error`", _state_error,
        _LOST, "volume-lost"),
    "no capacity": Failure(
        "The zone has no capacity for such a volume",
        _refused("InsufficientVolumeCapacity", "There is not enough capacity to fulfill your request."),
        f"FAILED: {_CREATE}(InsufficientVolumeCapacity) …: launch in another zone or later, or set another "
        "restored_volume_type", "no-capacity"),
    "no capacity with a rate": Failure(
        "The same, with `initialization_rate`: the rate is not the cause, and is not dropped",
        _fault(lambda: Fault("CreateVolume", "InsufficientVolumeCapacity", "Not enough capacity."), **_HOT),
        f"FAILED: {_CREATE}(InsufficientVolumeCapacity) …: launch in another zone or later, or set another "
        "restored_volume_type", "no-capacity"),
    "quota of storage": Failure(
        "The account's quota of storage is used up",
        _refused("VolumeLimitExceeded", "You have exceeded your maximum gp3 storage limit."),
        f"FAILED: {_CREATE}(VolumeLimitExceeded) …: delete volumes that nobody needs, or ask Service Quotas "
        "for more", "volume-quota"),
    "quota of IOPS": Failure(
        "The account's quota of IOPS is used up",
        _refused("MaxIOPSLimitExceeded", "You have exceeded your maximum IOPS."),
        f"FAILED: {_CREATE}(MaxIOPSLimitExceeded) …: delete volumes that nobody needs, or ask Service Quotas "
        "for more", "volume-quota"),
    "not allowed": Failure(
        "The role may not create the volume",
        _fault(lambda: Fault("CreateVolume", "UnauthorizedOperation", "You are not authorized.", 403)),
        f"FAILED: {_CREATE}(UnauthorizedOperation) …: allow it to this instance's role: deploy the stack "
        "Training again", "not-allowed"),
    "throttled": Failure(
        "EC2 refuses requests because there are too many, for a while: the AWS command line repeats the call",
        _fault(lambda: Fault("CreateVolume", "RequestLimitExceeded", "Too many requests.", 503, times=1)),
        "the data set tiny is at …", ready=True),
    "throttled for good": Failure(
        "The same, eight times in a row",
        _fault(lambda: Fault("CreateVolume", "RequestLimitExceeded", "Request limit exceeded.", 503)),
        f"FAILED: {_CREATE}(RequestLimitExceeded) …: launch fewer instances at once; run this again",
        "throttled"),
    "no answer": Failure(
        "EC2 creates the volume, but its answer does not arrive: the volume is found by its tag",
        _fault(lambda: Fault("CreateVolume", no_answer=True)),
        "the data set tiny is at …", ready=True),
    "rate refused": Failure(
        "EC2 refuses the initialization rate because of its quota",
        _fault(lambda: Fault("CreateVolume", "LimitExceeded", "The initialization rate exceeds your quota.",
                             only_with="VolumeInitializationRate"), **_HOT),
        f"{_RATE}(LimitExceeded) …", ready=True),
    "rate unsupported": Failure(
        "EC2 does not support an initialization rate there, as in a Local Zone",
        _fault(lambda: Fault("CreateVolume", "InvalidParameterCombination",
                             "VolumeInitializationRate is not supported in this zone.",
                             only_with="VolumeInitializationRate"), **_HOT),
        f"{_RATE}(InvalidParameterCombination) …", ready=True),
    "command line too old": Failure(
        "The AWS command line is too old for `--volume-initialization-rate`", _old_command_line,
        "this AWS command line is too old for --volume-initialization-rate: blocks load when first read",
        ready=True),
    "not there yet": Failure(
        "The volume is still being created when it is to be attached: the call is repeated",
        _fault(lambda: Fault("AttachVolume", "IncorrectState", "vol-1 is not 'available'.", times=2)),
        "the data set tiny is at …", ready=True),
    "attachment refused": Failure(
        "EC2 refuses to attach the volume",
        _refused("InvalidParameterValue", "Attachment point /dev/sdf is already in use", "AttachVolume"),
        "FAILED: could not attach volume vol-… to i-… as /dev/sdf: An error occurred "
        "(InvalidParameterValue) …: Attachment point /dev/sdf is already in use", "attachment-refused"),
    "attachment stuck": Failure(
        "The attachment never completes", _stay_attaching,
        "FAILED: volume vol-… has not been attached as /dev/sdf in … s (in-use i-… attaching /dev/sdf): stop "
        "and start the instance, or launch another", "attachment-stuck"),
    "no device": Failure(
        "The volume is attached, but its device never appears", _variables(DEVICES=""),
        "FAILED: volume vol-… is attached as /dev/sdf, but its device has not appeared in … s: reboot the "
        "instance, or launch another", "device-missing"),
    "not marked yet": Failure(
        "The device is there, but EC2 still calls the volume `attaching`, and does not mark it to be deleted "
        "with the instance: the call is repeated",
        _fault(lambda: Fault("ModifyInstanceAttribute", "IncorrectState", "is not attached", times=1)),
        "the data set tiny is at …", ready=True),
    "not marked": Failure(
        "EC2 never marks the volume to be deleted with the instance",
        _fault(lambda: Fault("ModifyInstanceAttribute", "UnauthorizedOperation", "Not authorized.", 403)),
        "FAILED: could not mark volume vol-… to be deleted with the instance: An error occurred "
        "(UnauthorizedOperation) …: allow it to this instance's role: deploy the stack Training again",
        "not-allowed"),
    "no file system": Failure(
        "The volume holds no file system", _blank,
        "FAILED: volume vol-… (/dev/xvdf) holds no ext4 file system, or a damaged one: check snapshot snap-…",
        "file-system"),
    "damaged": Failure(
        "The file system is damaged", _damage,
        "FAILED: could not mount the file system UUID=… at …; the message of mount is above", "file-system"),
    "mount point in use": Failure(
        "Another file system is mounted at the mount point", lambda _: None,
        "FAILED: … is in use by another file system: unmount it, or set another mount_point",
        "mount-point-in-use", before='mkdir -p "$MOUNT_POINT"; mount -t tmpfs other "$MOUNT_POINT"'),
    "mount point not empty": Failure(
        "The mount point holds files, which would be hidden", lambda _: None,
        "FAILED: … is not an empty folder: empty it, or set another mount_point",
        "mount-point-in-use", before='mkdir -p "$MOUNT_POINT"; touch "$MOUNT_POINT/file"'),
    "metadata slow": Failure(
        "The metadata service is slow: requests are repeated", _slow_metadata,
        "the data set tiny is at …", ready=True),
    "metadata silent": Failure(
        "The metadata service does not answer: the instance does not know who it is, and can set no tag",
        _variables(AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:9"),
        "FAILED: the metadata service does not tell instance-id: check the instance's metadata options"),
    "credentials late": Failure(
        "The role's credentials come late", _late_role(1), "the data set tiny is at …", ready=True),
    "no credentials": Failure(
        "The role's credentials never come: the instance can set no tag", _late_role(ALWAYS),
        "FAILED: the metadata service has no credentials of a role: check the instance's profile, then run "
        "this again"),
}  # fmt: skip


def document() -> str:
    """docs/restore-failures.md."""
    return "\n".join([*HEAD, *(_row(failure) for failure in FAILURES.values()), ""])


HEAD = [
    "# Training instances: what can go wrong, and what to do",
    "",
    "`python -m tests.userdata.failures` writes this document. `tests/userdata/test_training_failures.py` "
    "causes each of these failures while the real user data runs with real block devices and an embedded "
    "AWS. “…” stands for names, numbers and the message of AWS.",
    "",
    "The log is `/var/log/cloud-init-output.log`. The reason is in the instance's tag `dataset-reason`, as "
    "`<data set>: <reason>`; with several data sets there is one for each that failed. After a failure, each "
    "test requires that no volume is left: the one that was created is detached and deleted, and fstab has "
    "no line for it. Waiting for a volume, an attachment or a device ends after five minutes, for a key or "
    "for credentials after one minute; the AWS command line makes each call at most eight times. When the "
    "cause is removed, run `/var/lib/cloud/instance/scripts/part-001` as root, or launch another instance.",
    "",
    "| failure | `dataset-state` | reason | the log says |",
    "|---|---|---|---|",
]


def _row(failure: Failure) -> str:
    state = "ready" if failure.ready else "failed" if failure.reason else "no tag"
    return f"| {failure.what} | {state} | {failure.reason} | `{failure.says}` |"


if __name__ == "__main__":
    print(document(), end="")
