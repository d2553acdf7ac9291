"""Quotas of the account against what a deployment asks for."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError

from preflight import usage
from preflight.account import Account
from preflight.deployed import Deployed
from preflight.findings import Finding, fails, ok, warning
from prep import contract
from stacks.settings import Settings


@dataclass(frozen=True)
class Quota:
    """A quota by its service and code in Service Quotas, and its name there."""

    service: str
    code: str
    name: str


# vCPUs of running On-Demand Instances, by the letters with which the types of a family begin.
# The families are those of Spot Instances: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html
# Codes: https://github.com/gndrmnn/nodepool/blob/46e130fe1aba2f02ed19148796eddff3c067e34e/nodepool/driver/aws/adapter.py
STANDARD: Final = Quota(
    "ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
)
GRAPHICS: Final = Quota("ec2", "L-DB2E81BA", "Running On-Demand G and VT instances")
FAMILIES: Final = {
    "f": Quota("ec2", "L-74FC7D96", "Running On-Demand F instances"),
    "g": GRAPHICS,
    "vt": GRAPHICS,
    "p": Quota("ec2", "L-417A185B", "Running On-Demand P instances"),
    "x": Quota("ec2", "L-7295265B", "Running On-Demand X instances"),
} | dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), STANDARD)

# The quota of the Spot Instances of the same families. Other families have others, which are not checked.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html
STANDARD_SPOT: Final = Quota(
    "ec2", "L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"
)

# https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html; codes as above
STORAGE: Final = {
    "gp2": Quota("ebs", "L-D18FCD1D", "Storage for General Purpose SSD (gp2) volumes, in TiB"),
    "gp3": Quota("ebs", "L-7A658B76", "Storage for General Purpose SSD (gp3) volumes, in TiB"),
    "io1": Quota("ebs", "L-FD252861", "Storage for Provisioned IOPS SSD (io1) volumes, in TiB"),
    "io2": Quota("ebs", "L-09BD8365", "Storage for Provisioned IOPS SSD (io2) volumes, in TiB"),
    "sc1": Quota("ebs", "L-17AF77E8", "Storage for Cold HDD (sc1) volumes, in TiB"),
    "st1": Quota("ebs", "L-82ACEF56", "Storage for Throughput Optimized HDD (st1) volumes, in TiB"),
}
SNAPSHOTS: Final = Quota("ebs", "L-309BACF6", "Snapshots per Region")
# https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
VPCS: Final = Quota("vpc", "L-F678F1CE", "VPCs per Region")

GIB_PER_TIB: Final = 1024


def family(instance_type: str) -> Quota | None:
    """The quota that counts the vCPUs of a type; None for families that have another one."""
    letters = re.match(r"[a-z]+", instance_type)
    return FAMILIES.get(letters[0]) if letters else None


def limit(account: Account, quota: Quota) -> float:
    """The account's value of a quota, or AWS's default if the account has no value of its own.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
    """
    try:
        answer = account.quotas.get_service_quota(ServiceCode=quota.service, QuotaCode=quota.code)
        return answer["Quota"]["Value"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "NoSuchResourceException":
            raise
    default = account.quotas.get_aws_default_service_quota(ServiceCode=quota.service, QuotaCode=quota.code)
    return default["Quota"]["Value"]


@dataclass(frozen=True)
class Need:
    """Something that counts towards a quota; `now` if the deployment itself needs it."""

    what: str
    amount: float
    now: bool = True


def compare(check: str, quota: Quota, used: float, most: float, needs: Sequence[Need]) -> Finding:
    """Whether a quota has room for what is needed, one after the other."""
    asked = "; ".join(f"{need.what} needs {_number(need.amount)}" for need in needs)
    found = f"{_number(used)} of {_number(most)} in use{'; ' if asked else ''}{asked}"
    total, missing = used, None
    for need in needs:
        total += need.amount
        if total > most and missing is None:
            missing = need
    if missing is None:
        return ok(check, found)
    return (fails if missing.now else warning)(
        check,
        found,
        f'ask for more of "{quota.name}": `aws service-quotas request-service-quota-increase --service-code '
        f"{quota.service} --quota-code {quota.code} --desired-value {math.ceil(total)}`",
    )


def _number(value: float) -> str:
    return f"{round(value, 2):g}" if value < 1000 else f"{value:.0f}"


def check_prep_vcpus(account: Account, settings: Settings, deployed: Deployed) -> Finding:
    """The vCPUs of the prep instance. If there is one, an update may start the next before it ends the first.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html
    """
    exists = deployed.has("Prep")
    what = "another prep instance" if exists else settings.prep_instance_type
    return _check_vcpus(account, "vCPUs prep", settings.prep_instance_type, what, now=not exists)


def check_training_vcpus(account: Account, settings: Settings) -> Finding:
    """The vCPUs of one training instance; in new accounts this quota may be 0."""
    wanted = settings.training_instance_type
    return _check_vcpus(account, "vCPUs training", wanted, f"each {wanted}", now=False)


def check_cluster_vcpus(account: Account, settings: Settings) -> list[Finding]:
    """The vCPUs of the cluster: the head, and all workers at the same time, on demand or spot."""
    head, worker, count = (
        settings.cluster_head_type,
        settings.cluster_instance_type,
        settings.cluster_workers,
    )
    all_workers, spot = f"a cluster of {count} {worker}", settings.cluster_spot == "yes"
    return [
        _check_vcpus(account, "vCPUs head", head, f"the head {head}", now=False),
        _check_vcpus(account, "vCPUs workers", worker, all_workers, now=False, count=count, spot=spot),
    ]


def _check_vcpus(
    account: Account,
    check: str,
    instance_type: str,
    what: str,
    *,
    now: bool,
    count: int = 1,
    spot: bool = False,
) -> Finding:
    quota = counted = family(instance_type)
    if spot:
        quota = STANDARD_SPOT if counted == STANDARD else None
    if quota is None:
        return warning(check, f"not checked: no quota is known for {instance_type}")
    running = [each for each in usage.running_types(account, spot) if family(each) == counted]
    try:
        vcpus = usage.vcpus(account, {*running, instance_type})
    except ClientError as error:
        if error.response["Error"].get("Code") != "InvalidInstanceType":
            raise
        return (fails if now else warning)(
            check, f"this Region has no instance type {instance_type}", "set another type"
        )
    used = sum(vcpus[each] for each in running)
    needs = [Need(what, count * vcpus[instance_type], now)]
    return compare(check, quota, used, limit(account, quota), needs)


def check_storage(account: Account, settings: Settings, deployed: Deployed) -> list[Finding]:
    """The volumes of the prep instance and of a training instance, a line for each type."""
    deployment = deployment_gib(settings) if not deployed.has("Prep") else Counter()
    training = training_gib(settings)
    used = usage.volume_gib(account)
    findings = []
    for kind in sorted({*deployment, *training}):
        amounts = [
            ("the deployment", deployment[kind], True),
            ("each training instance", training[kind], False),
        ]
        needs = [Need(what, gib / GIB_PER_TIB, now) for what, gib, now in amounts if gib]
        quota = STORAGE[kind]
        findings.append(
            compare(f"TiB of {kind}", quota, used[kind] / GIB_PER_TIB, limit(account, quota), needs)
        )
    return findings


def deployment_gib(settings: Settings) -> Counter[str]:
    """GiB of volumes that a deployment creates, by their type."""
    gib = Counter({settings.work_volume.type: settings.work_volume.gib})
    gib[settings.dataset_volume.type] += settings.dataset_volume.gib
    gib["gp3"] += contract.PREP_ROOT_GIB
    return gib


def training_gib(settings: Settings) -> Counter[str]:
    """GiB of volumes of each training instance, by their type."""
    gib = Counter({settings.restored_volume.type: settings.restored_volume.gib})
    gib["gp3"] += contract.TRAINING_ROOT_GIB
    return gib


def check_snapshots(account: Account) -> Finding:
    """The snapshot that the prep instance takes."""
    used, all_counted = usage.snapshots(account)
    most = limit(account, SNAPSHOTS)
    if not all_counted and used < most:
        return ok("snapshots", f"more than {used} of {_number(most)} in use; not all were counted")
    return compare("snapshots", SNAPSHOTS, used, most, [Need("the prep instance", 1)])


def check_vpcs(account: Account, deployed: Deployed) -> Finding:
    """The network of the Dataset stack."""
    needs = [] if deployed.has("Dataset") else [Need("the deployment", 1)]
    return compare("VPCs", VPCS, usage.vpcs(account), limit(account, VPCS), needs)
