"""Volumes, snapshots and attachments: bytes, and the rules that moto does not keep."""

import copy
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import Snapshot, Volume
from moto.ec2.utils import generic_filter, random_snapshot_id
from moto.kms.models import kms_backends

from rehearsal.cloud.moto_gaps import replace
from rehearsal.cloud.volumes import Volumes
from rehearsal.instance.instances import Guests

# A snapshot of a small volume is done in seconds on AWS; long enough here for a caller to see it pending.
SNAPSHOT_SECONDS = 2.0


def error(code: str, message: str) -> EC2ClientError:
    return EC2ClientError(code, message)


def install(volumes: Volumes, guests: Guests) -> None:
    volume_bytes(volumes)
    attachments(volumes, guests)
    snapshots(volumes)
    shared_snapshots(volumes)
    volumes_from_templates()
    default_key()


def volume_bytes(volumes: Volumes) -> None:
    """A volume has bytes, and is no smaller than the snapshot that it is made from."""

    def create(original: Any) -> Any:
        def create_volume(self: EC2Backend, size: Any, zone_name: str, *args: Any, **more: Any) -> Volume:
            size = int(size) if size is not None else None
            snapshot_id = more.get("snapshot_id") or (args[0] if args else None)
            if snapshot_id and size is not None and size < int(self.get_snapshot(snapshot_id).volume.size):
                raise error("InvalidParameterValue", f"Volume of {size}GiB is smaller than {snapshot_id}")
            volume: Volume = original(self, size, zone_name, *args, **more)
            volume.size = int(volume.size)
            if snapshot_id and (source := self.get_snapshot(snapshot_id)).encrypted:
                # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption.html
                volume.encrypted = True
                volume.kms_key_id = more.get("kms_key_id") or source.kms_key_id
            volumes.create(volume.id, volume.size, snapshot_id)
            return volume

        return create_volume

    def delete(original: Any) -> Any:
        def delete_volume(self: EC2Backend, volume_id: str) -> Volume:
            volume: Volume = original(self, volume_id)
            volumes.delete(volume_id)
            return volume

        return delete_volume

    replace(EC2Backend, "create_volume", create)
    replace(EC2Backend, "delete_volume", delete)


def attachments(volumes: Volumes, guests: Guests) -> None:
    """Attaching needs a free volume and a free name in the same zone, and shows the instance a device."""

    def attach(original: Any) -> Any:
        def attach_volume(
            self: EC2Backend, volume_id: str, instance_id: str, device_path: str, *rest: Any
        ) -> Any:
            volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
            if volume.attachment:
                raise error("VolumeInUse", f"{volume_id} is already attached to an instance")
            if volume.availability_zone != instance.availability_zone:
                raise error(
                    "InvalidVolume.ZoneMismatch", "The volume is not in the same zone as the instance"
                )
            if device_path in instance.block_device_mapping:
                raise error("InvalidParameterValue", f"Attachment point {device_path} is already in use")
            attachment = original(self, volume_id, instance_id, device_path, *rest)
            if machine := guests.machine(instance_id):
                machine.attach(volume_id, volumes.attach(volume_id), device_path)
            return attachment

        return attach_volume

    def detach(original: Any) -> Any:
        def detach_volume(self: EC2Backend, volume_id: str, instance_id: str, device_path: str) -> Any:
            attachment = self.get_volume(volume_id).attachment
            holder = instance_id or (attachment.instance.id if attachment else "")
            result = original(self, volume_id, holder, device_path)
            if machine := guests.machine(holder):
                machine.detach(volume_id)
            volumes.detach(volume_id)
            return result

        return detach_volume

    replace(EC2Backend, "attach_volume", attach)
    replace(EC2Backend, "detach_volume", detach)


def snapshots(volumes: Volumes) -> None:
    """A snapshot holds the volume's bytes at the time of the call, and is pending for a while."""

    def create(original: Any) -> Any:
        def create_snapshot(self: EC2Backend, volume_id: str, *args: Any, **more: Any) -> Snapshot:
            snapshot: Snapshot = original(self, volume_id, *args, **more)
            snapshot.kms_key_id = snapshot.volume.kms_key_id
            volumes.take_snapshot(snapshot.id, volume_id)
            snapshot.start_time = utcnow()
            return snapshot

        return create_snapshot

    def delete(original: Any) -> Any:
        def delete_snapshot(self: EC2Backend, snapshot_id: str) -> Any:
            result = original(self, snapshot_id)
            volumes.delete_snapshot(snapshot_id)
            return result

        return delete_snapshot

    def share(self: Snapshot) -> float:
        return min(1.0, (utcnow() - self.start_time).total_seconds() / SNAPSHOT_SECONDS)

    status = property(lambda self: "completed" if share(self) >= 1 else "pending", lambda _self, _value: None)
    replace(EC2Backend, "create_snapshot", create)
    replace(EC2Backend, "delete_snapshot", delete)
    Snapshot.status = status  # type: ignore[assignment]
    Snapshot.progress = property(lambda self: f"{share(self):.0%}")  # type: ignore[assignment]


def shared_snapshots(volumes: Volumes) -> None:
    """A snapshot shared with an account can be described and copied there, but its tags are not seen.

    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modifying-snapshot-permissions.html
    """

    def describe(original: Any) -> Any:
        def describe_snapshots(
            self: EC2Backend, snapshot_ids: list[str] | None = None, filters: Any = None
        ) -> list[Snapshot]:
            shared = [each for each in _shared(self) if not snapshot_ids or each.id in snapshot_ids]
            names = {each.id for each in shared}
            own = [name for name in snapshot_ids or [] if name not in names]
            found: list[Snapshot] = [] if names and snapshot_ids and not own else original(self, own, filters)
            return [*found, *(generic_filter(filters, shared) if filters else shared)]

        return describe_snapshots

    def copy_snapshot(
        self: EC2Backend,
        source_snapshot_id: str,
        source_region: str,
        description: str,
        kms_key_id: str | None,
    ) -> Snapshot:
        source = ec2_backends[self.account_id][source_region].describe_snapshots([source_snapshot_id])[0]
        made = Snapshot(
            self,
            random_snapshot_id(),
            volume=source.volume,
            description=description,
            encrypted=source.encrypted,
            kms_key_id=kms_key_id,
        )
        self.snapshots[made.id] = made
        volumes.copy_snapshot(source.id, made.id)
        made.start_time = utcnow()
        return made

    replace(EC2Backend, "describe_snapshots", describe)
    # In the place of moto's own, which copies no bytes.
    EC2Backend.copy_snapshot = copy_snapshot  # type: ignore[assignment, method-assign]


def _shared(backend: EC2Backend) -> list[Snapshot]:
    """Other accounts' snapshots that are shared with this account, as it sees them."""
    seen = []
    for account_id, regions in list(ec2_backends.items()):
        others = regions[backend.region_name].snapshots if account_id != backend.account_id else {}
        for snapshot in others.values():
            if backend.account_id in snapshot.create_volume_permission_userids:
                view: Snapshot = copy.copy(snapshot)
                view.ec2_backend = backend  # whose tags are those that it shows
                seen.append(view)
    return seen


def volumes_from_templates() -> None:
    """moto takes only size and zone of a template's volume; it has type, encryption, tags as well."""

    def create(
        _class: Any, /, _name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Volume:
        properties = cloudformation_json["Properties"]
        volume: Volume = ec2_backends[account_id][region_name].create_volume(
            size=properties.get("Size"),
            zone_name=properties.get("AvailabilityZone"),
            snapshot_id=properties.get("SnapshotId"),
            encrypted=str(properties.get("Encrypted", False)).lower() == "true",
            kms_key_id=properties.get("KmsKeyId"),
            volume_type=properties.get("VolumeType"),
            iops=properties.get("Iops"),
            throughput=properties.get("Throughput"),
        )
        volume.add_tags({tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])})
        return volume

    Volume.create_from_cloudformation_json = classmethod(create)  # type: ignore[assignment]


def default_key() -> None:
    """The key that encrypts when no other is given is AWS's: snapshots under it can't be shared."""

    def make(original: Any) -> Any:
        def create(self: EC2Backend) -> str:
            name = str(original(self))
            kms_backends[self.account_id][self.region_name].describe_key("alias/aws/ebs").key_manager = "AWS"
            return name

        return create

    replace(EC2Backend, "_create_default_encryption_key", make)
