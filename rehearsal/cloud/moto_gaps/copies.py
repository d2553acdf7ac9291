"""Copies of volumes, and how far a volume's blocks are initialized: moto knows neither.

https://docs.aws.amazon.com/ebs/latest/userguide/ebs-copying-volume.html
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-initialize-monitor.html
"""

from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.responses.elastic_block_store import ElasticBlockStore

from rehearsal.cloud.volumes import Volumes

# Minutes to hours on AWS. Here long enough for an instance to find a volume that is not initialized yet.
INITIALIZATION_SECONDS = 4.0
COPIES_IN_PROGRESS = 5  # AWS's quota for a Region


def install(volumes: Volumes) -> None:
    """CopyVolumes and DescribeVolumeStatus."""

    def copy_volumes(self: ElasticBlockStore) -> ActionResult:
        backend, params = self.ec2_backend, self._get_param
        source: Volume = backend.get_volume(params("SourceVolumeId"))
        _check(source, backend.volumes.values())
        size = int(params("Size") or source.size)
        if size < int(source.size):
            raise EC2ClientError("InvalidParameterValue", f"{size} GiB is smaller than {source.id}")
        self.error_on_dryrun()
        volume: Volume = backend.create_volume(
            size=size,
            zone_name=source.availability_zone,
            encrypted=source.encrypted,
            kms_key_id=source.kms_key_id,
            volume_type=params("VolumeType"),
            iops=params("Iops"),
            throughput=params("Throughput"),
        )
        volumes.copy(source.id, volume.id)
        volume.source_volume_id = source.id  # type: ignore[attr-defined] # moto's volumes have no such field
        volume.add_tags(self._parse_tag_specification().get("volume", {}))
        return ActionResult({"Volumes": [volume]})

    def describe_volume_status(self: ElasticBlockStore) -> ActionResult:
        found = self.ec2_backend.describe_volumes(volume_ids=self._get_param("VolumeIds", []))
        return ActionResult({"VolumeStatuses": [_status(volume) for volume in found]})

    # Moto has neither of them, or only a form that refuses: they are put into its classes.
    ElasticBlockStore.copy_volumes = copy_volumes  # type: ignore[attr-defined]
    ElasticBlockStore.describe_volume_status = describe_volume_status  # type: ignore[assignment,method-assign]


def _source_of(volume: Volume) -> str | None:
    """The volume that this one is a copy of."""
    return getattr(volume, "source_volume_id", None)


def _progress(volume: Volume) -> int:
    """How much of the volume is initialized, in percent."""
    passed = (utcnow() - volume.create_time).total_seconds()
    return min(100, int(100 * passed / INITIALIZATION_SECONDS))


def _check(source: Volume, volumes: Any) -> None:
    """Raises what EC2 does if it can't copy the volume now. It documents only the last code."""
    if _source_of(source) and _progress(source) < 100:
        raise EC2ClientError("IncorrectState", f"{source.id} is a copy that is being initialized")
    sources = [_source_of(volume) for volume in volumes if _progress(volume) < 100 and _source_of(volume)]
    if source.id in sources:
        raise EC2ClientError("ConcurrentCopyVolumeLimitExceeded", f"{source.id} is being copied")
    if len(sources) >= COPIES_IN_PROGRESS:
        raise EC2ClientError("CopyVolumesLimitExceeded", f"{len(sources)} copies are in progress")


def _status(volume: Volume) -> dict[str, Any]:
    status: dict[str, Any] = {
        "VolumeId": volume.id,
        "AvailabilityZone": volume.availability_zone,
        "VolumeStatus": {"Status": "ok", "Details": [{"Name": "io-enabled", "Status": "passed"}]},
    }
    copied = _source_of(volume)
    if copied or volume.snapshot_id:
        details = {
            "InitializationType": "volume-copy" if copied else "default",
            "Progress": _progress(volume),
        }
        status["InitializationStatusDetails"] = details
    return status
