"""The limits of EBS volumes, by type: for the settings of the stacks and for `prep plan`.

Imports only the standard library and `prep.contract`, because the CDK app imports it.

Figures: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html
"""

from dataclasses import dataclass
from typing import Final

from prep.contract import GP3_IOPS


@dataclass(frozen=True)
class Limits:
    """Sizes in GiB, IOPS, throughput in MiB/s; None if the type has no such setting."""

    sizes: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_per_gib: int | None = None
    throughput: tuple[int, int] | None = None


LIMITS: Final = {
    "gp2": Limits(sizes=(1, 16384)),
    "gp3": Limits(sizes=(1, 65536), iops=(3000, 80000), iops_per_gib=500, throughput=(125, 2000)),
    "io1": Limits(sizes=(4, 16384), iops=(100, 64000), iops_per_gib=50),
    "io2": Limits(sizes=(4, 65536), iops=(100, 256000), iops_per_gib=1000),
    "st1": Limits(sizes=(125, 16384)),
    "sc1": Limits(sizes=(125, 16384)),
}

# gp3 allows at most a quarter of a MiB/s for each provisioned IOPS.
GP3_IOPS_PER_MIBS: Final = 4


@dataclass(frozen=True)
class Volume:
    """The settings of an EBS volume: size in GiB, IOPS and throughput in MiB/s, if the type has them."""

    gib: int
    type: str
    iops: int | None = None
    throughput: int | None = None


@dataclass(frozen=True)
class Fault:
    """A setting that EBS would refuse: the field of the volume, and the remedy."""

    field: str
    remedy: str


def find_fault(volume: Volume) -> Fault | None:
    """The first reason why EBS would refuse this volume, or None."""
    limits = LIMITS.get(volume.type)
    if limits is None:
        return Fault("type", f"use one of {', '.join(LIMITS)}")
    low, high = limits.sizes
    if not low <= volume.gib <= high:
        return Fault("gib", f"a {volume.type} volume has {low} to {high} GiB")
    return _iops_fault(volume, limits) or _throughput_fault(volume, limits)


def _iops_fault(volume: Volume, limits: Limits) -> Fault | None:
    if limits.iops is None:
        if volume.iops is None:
            return None
        return Fault(
            "iops", f"a {volume.type} volume has no setting for IOPS: remove it, or use gp3, io1 or io2"
        )
    if volume.iops is None:
        return (
            None if volume.type == "gp3" else Fault("iops", f"an {volume.type} volume needs a number of IOPS")
        )
    low, high = limits.iops
    if not low <= volume.iops <= high:
        return Fault("iops", f"a {volume.type} volume has {low} to {high} IOPS")
    per_gib = limits.iops_per_gib or 0
    if volume.iops > max(volume.gib * per_gib, low):
        return Fault(
            "iops", f"{volume.gib} GiB of {volume.type} allow at most {max(volume.gib * per_gib, low)} IOPS"
        )
    return None


def _throughput_fault(volume: Volume, limits: Limits) -> Fault | None:
    if volume.throughput is None:
        return None
    if limits.throughput is None:
        return Fault(
            "throughput", f"a {volume.type} volume has no setting for throughput: remove it, or use gp3"
        )
    low, high = limits.throughput
    if not low <= volume.throughput <= high:
        return Fault("throughput", f"a {volume.type} volume has {low} to {high} MiB/s")
    iops = volume.iops or GP3_IOPS
    if volume.throughput * GP3_IOPS_PER_MIBS > iops:
        needed = volume.throughput * GP3_IOPS_PER_MIBS
        return Fault(
            "throughput", f"{iops} IOPS allow at most {iops // GP3_IOPS_PER_MIBS} MiB/s; set {needed} IOPS"
        )
    return None
