"""What AWS publishes about instance types and volumes, as the rates of the model."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from prep import contract, ebs
from prep.errors import DescriptionError
from prep.plan.model import MIB, Effort, Flow, Machine, Volume

GIB: Final = 1 << 30
FILE: Final = Path(__file__).with_name("machines.toml")

# "Maximum performance for 30 minutes at least once every 24 hours", read as a bucket of that size, whose
# balance is the metric EBSByteBalance%.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
EBS_BURST_SECONDS: Final = 1800

# Processor seconds for a byte or an image, of one core of the machine that bench/RESULTS.md names (AMD EPYC,
# 2026-11-25). `python -m bench whole` and single stages, at 480/95; ENCODED is at 256/90, where nearly every
# image is decoded and encoded. How they were measured: docs/plan.md.
MEASURED: Final = Effort(
    start=1.2,
    download=4.7e-9,
    organize=2.75e-9,
    deal=5.8e-9,
    merge=2.4e-9,
    verify=14.3e-9,
    image=1e-4,
    backup=1.95e-9,
)
DEAL_ENCODED: Final = 20.5e-9

# Mean bytes of a request: bench/RESULTS.md, "Bytes and requests at each volume".
WORK_REQUEST: Final = 733 << 10
WORK_REQUEST_LEAN: Final = 792 << 10
DATASET_REQUEST: Final = 237 << 10

# MiB/s for each TiB, base and burst, and the most of a volume; the bucket holds 1 TiB for each TiB.
# https://docs.aws.amazon.com/ebs/latest/userguide/hdd-vols.html
HDD: Final = {"sc1": (12, 80, 192, 250), "st1": (40, 250, 500, 500)}
HDD_CREDIT: Final = 1.0
# https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
GP2_IOPS_PER_GIB, GP2_LARGE_GIB, GP2_MIBS = 3, 334, (128, 250)
SSD_REQUEST: Final = 256 << 10
VOLUME_TYPES: Final = ("gp3", "gp2", "st1", "sc1")


@dataclass(frozen=True)
class InstanceType:
    """An instance type. Rates in bytes a second; `credits` are CPU credits an hour, None if not burstable."""

    name: str
    vcpus: int
    network: float
    network_burst: float
    ebs: Flow | None
    credits: int | None

    @property
    def shares_interface(self) -> bool:
        """Whether volumes and network share one interface."""
        return self.ebs is None

    def machine(self, encodes: bool) -> Machine:
        """As the model wants it. `encodes`: nearly every image has to be decoded and encoded."""
        effort = MEASURED if not encodes else encoding(MEASURED)
        # The rate at which T2's interface serves both is not published: report.py gives the threshold.
        network = None if self.shares_interface else self.network
        return Machine(self.vcpus, effort, self.ebs, network)


def encoding(effort: Effort) -> Effort:
    """The effort where nearly every image is decoded and encoded."""
    return Effort(**(vars(effort) | {"deal": DEAL_ENCODED}))


@cache
def instance_types() -> dict[str, InstanceType]:
    """All that are known, by name."""
    return {
        name: InstanceType(
            name,
            facts["vcpus"],
            facts["network"] * 1e9 / 8,
            facts["network_burst"] * 1e9 / 8,
            _ebs(*facts["ebs"]) if "ebs" in facts else None,
            facts.get("credits"),
        )
        for name, facts in tomllib.loads(FILE.read_text(encoding="utf-8")).items()
    }


def _ebs(base: float, burst: float) -> Flow:
    return Flow(burst * 1e6, base * 1e6, (burst - base) * 1e6 * EBS_BURST_SECONDS)


def instance_type(name: str) -> InstanceType:
    """One of them.

    Raises:
        DescriptionError: nothing is known about it.
    """
    known = instance_types()
    if name not in known:
        raise DescriptionError(
            f"prep instance type {name}: no rates are known: use one of {', '.join(known)}"
        )
    return known[name]


@dataclass(frozen=True)
class Disk:
    """The settings of a volume: type, GiB, IOPS and MiB/s; the last two only for gp3."""

    type: str
    gib: int
    iops: int | None = None
    throughput: int | None = None

    @property
    def text(self) -> str:
        """For a person."""
        iops = f" {self.iops} IOPS" if self.iops else ""
        rate = f" {self.throughput} MiB/s" if self.throughput else ""
        return f"{self.type} {self.gib} GiB{iops}{rate}"

    @property
    def fault(self) -> ebs.Fault | None:
        """Why EBS would refuse it, or None."""
        return ebs.find_fault(ebs.Volume(self.gib, self.type, self.iops, self.throughput))

    def volume(self) -> Volume:
        """What it gives.

        Raises:
            DescriptionError: nothing is known about the type, or EBS would refuse the volume.
        """
        if self.type not in VOLUME_TYPES:
            raise DescriptionError(
                f"volume type {self.type}: plan has no rates for it: use one of {', '.join(VOLUME_TYPES)}"
            )
        if self.fault:
            raise DescriptionError(f"volume {self.text}: correct its {self.fault.field}: {self.fault.remedy}")
        if self.type in HDD:
            return _hdd(self.type, self.gib)
        if self.type == "gp3":
            rate = (self.throughput or contract.GP3_THROUGHPUT) * MIB
            return Volume(self.type, Flow.steady(rate), self.iops or contract.GP3_IOPS, SSD_REQUEST)
        rate = GP2_MIBS[self.gib >= GP2_LARGE_GIB] * MIB
        iops = min(16000, max(100, GP2_IOPS_PER_GIB * self.gib))
        return Volume(self.type, Flow.steady(rate), iops, SSD_REQUEST)


def _hdd(kind: str, gib: int) -> Volume:
    base, burst, most_base, most = HDD[kind]
    tib = gib / 1024
    flow = Flow(min(burst * tib, most) * MIB, min(base * tib, most_base) * MIB, HDD_CREDIT * tib * 1024 * GIB)
    return Volume(kind, flow, flow.burst / MIB, MIB, whole_requests=True)
