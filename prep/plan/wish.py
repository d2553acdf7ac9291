"""The settings that a plan is made for, with the deployment's names and defaults."""

from dataclasses import dataclass
from typing import Final

from prep import contract
from prep.plan.machines import Disk

# What the site is assumed to deliver. One log of 2025 shows 16 MB/s on one connection; prep uses four.
LINK_MB: Final = 30.0


@dataclass(frozen=True)
class Wish:
    """What is to be planned: settings of the stacks, then what only a plan asks.

    link_mb: MB/s (millions of bytes) from the site, over all connections
    organize: write class folders as well
    backup: to a bucket
    own_key: a KMS key of one's own
    instances, days: how many training instances run, and for how long
    """

    prep_instance_type: str = contract.PREP_INSTANCE_TYPE
    work_volume_gib: int = contract.WORK_VOLUME_GIB
    work_volume_type: str = contract.WORK_VOLUME_TYPE
    dataset_volume_gib: int = contract.DATASET_VOLUME_GIB
    dataset_volume_type: str = contract.DATASET_VOLUME_TYPE
    dataset_volume_iops: int | None = None
    dataset_volume_throughput: int | None = None
    resize: int = contract.RESIZE
    quality: int = contract.QUALITY
    snapshot_of: str = "packed"
    training_instance_type: str = contract.TRAINING_INSTANCE_TYPE
    restored_volume_type: str = contract.RESTORED_VOLUME_TYPE
    restored_volume_iops: int | None = None
    restored_volume_throughput: int | None = None
    initialization_rate: int = 0
    region: str = "us-east-1"
    link_mb: float = LINK_MB
    organize: bool = True
    backup: bool = True
    own_key: bool = False
    instances: int = 1
    days: float = 1.0

    @property
    def work(self) -> Disk:
        """The volume for archives and class folders."""
        return Disk(self.work_volume_type, self.work_volume_gib)

    @property
    def dataset(self) -> Disk:
        """The volume for packed files."""
        return Disk(
            self.dataset_volume_type,
            self.dataset_volume_gib,
            self.dataset_volume_iops,
            self.dataset_volume_throughput,
        )

    @property
    def restored(self) -> Disk:
        """The volume of a training instance."""
        gib = self.dataset_volume_gib if self.snapshot_of == "packed" else self.work_volume_gib
        return Disk(
            self.restored_volume_type, gib, self.restored_volume_iops, self.restored_volume_throughput
        )
