"""Quotas against what is in use and what is asked."""

from collections import Counter
from dataclasses import replace
from typing import Any

import boto3
import pytest

from preflight import quotas, usage
from preflight.account import Account
from preflight.deployed import Deployed
from preflight.findings import Verdict
from preflight.quotas import Need
from rehearsal.cloud.moto_gaps import limits
from stacks.settings import Settings
from tests.conftest import REGION
from tests.stacks.conftest import Synthesis

PREP = Deployed({"Dataset": "CREATE_COMPLETE", "Prep": "CREATE_COMPLETE"})


def set_quota(monkeypatch: pytest.MonkeyPatch, quota: quotas.Quota, value: float) -> None:
    monkeypatch.setitem(limits.QUOTAS, (quota.service, quota.code), (quota.name, value))


def run_instances(kind: str, count: int) -> list[str]:
    client = boto3.client("ec2")
    image = client.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = client.run_instances(ImageId=image, InstanceType=kind, MinCount=count, MaxCount=count)  # type: ignore[arg-type]
    return [each["InstanceId"] for each in made["Instances"]]


@pytest.mark.parametrize(
    ("instance_type", "code"),
    [
        ("t2.large", "L-1216C47A"),
        ("m7i.large", "L-1216C47A"),
        ("im4gn.large", "L-1216C47A"),
        ("g5.xlarge", "L-DB2E81BA"),
        ("vt1.3xlarge", "L-DB2E81BA"),
        ("p5.48xlarge", "L-417A185B"),
        ("p6-b200.48xlarge", "L-417A185B"),
        ("x2iedn.xlarge", "L-7295265B"),
    ],
)
def test_family_has_its_quota(instance_type: str, code: str) -> None:
    quota = quotas.family(instance_type)
    assert quota is not None
    assert quota.code == code


@pytest.mark.parametrize("instance_type", ["inf2.xlarge", "trn1.2xlarge", "hpc7a.12xlarge", "mac1.metal"])
def test_other_families_have_none_of_these(instance_type: str) -> None:
    assert quotas.family(instance_type) is None


@pytest.mark.parametrize(
    ("used", "most", "verdict"),
    [(0, 6, Verdict.OK), (1, 6, Verdict.WARNING), (4, 6, Verdict.WARNING), (5, 6, Verdict.FAILS)],
)
def test_needs_add_up(used: float, most: float, verdict: Verdict) -> None:
    needs = [Need("the deployment", 2), Need("each training instance", 4, now=False)]
    finding = quotas.compare("vCPUs", quotas.STANDARD, used, most, needs)
    assert finding.verdict is verdict
    assert ("--quota-code L-1216C47A" in finding.remedy) == (verdict is not Verdict.OK)


def test_quota_without_a_value_of_the_account_has_its_default(account: Account) -> None:
    """moto then answers NoSuchResourceException, as AWS does; the answer of the second call is made here."""
    unknown = quotas.Quota("ebs", "L-00000000", "none")
    asked = []

    class Quotas:
        get_service_quota = account.quotas.get_service_quota

        def get_aws_default_service_quota(self, **names: str) -> dict[str, Any]:
            asked.append(names)
            return {"Quota": {"Value": 7.0}}

    assert quotas.limit(replace(account, quotas=Quotas()), unknown) == 7  # type: ignore[arg-type]
    assert asked == [{"ServiceCode": "ebs", "QuotaCode": "L-00000000"}]


def test_running_instances_of_the_family_count(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    set_quota(monkeypatch, quotas.STANDARD, 5)
    stopped, *_ = run_instances("t2.large", 2)
    run_instances("g5.xlarge", 1)
    found = quotas.check_prep_vcpus(account, Settings(), Deployed())
    assert (found.verdict, found.found) == (Verdict.FAILS, "4 of 5 in use; t2.large needs 2")
    assert "--desired-value 6`" in found.remedy
    boto3.client("ec2").stop_instances(InstanceIds=[stopped])
    found = quotas.check_prep_vcpus(account, Settings(), Deployed())
    assert (found.verdict, found.found) == (Verdict.OK, "2 of 5 in use; t2.large needs 2")


def test_no_room_for_another_prep_instance_is_a_warning(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_quota(monkeypatch, quotas.STANDARD, 2)
    run_instances("t2.large", 1)
    assert quotas.check_prep_vcpus(account, Settings(), PREP).verdict is Verdict.WARNING


def test_quota_of_new_accounts_for_gpus_is_a_warning(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_quota(monkeypatch, quotas.GRAPHICS, 0)
    found = quotas.check_training_vcpus(account, Settings())
    assert (found.verdict, found.found) == (Verdict.WARNING, "0 of 0 in use; each g5.xlarge needs 4")
    assert "L-DB2E81BA --desired-value 4`" in found.remedy


def cluster(**changes: str) -> Settings:
    return replace(Settings(), cluster_workers=4, cluster_instance_type="c7i.xlarge", **changes)


def test_all_workers_together(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    set_quota(monkeypatch, quotas.STANDARD, 5)
    head, workers = quotas.check_cluster_vcpus(account, cluster())
    assert (head.verdict, head.check) == (Verdict.OK, "vCPUs head")
    assert head.found == "0 of 5 in use; the head m7i.large needs 2"
    assert (workers.verdict, workers.check) == (Verdict.WARNING, "vCPUs workers")
    assert workers.found == "0 of 5 in use; a cluster of 4 c7i.xlarge needs 16"
    assert "--quota-code L-1216C47A --desired-value 16`" in workers.remedy


def test_spot_workers_have_a_quota_of_their_own(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    set_quota(monkeypatch, quotas.STANDARD, 5)
    set_quota(monkeypatch, quotas.STANDARD_SPOT, 16)
    run_instances("t2.large", 1)
    head, workers = quotas.check_cluster_vcpus(account, cluster(cluster_spot="yes"))
    assert head.found.startswith("2 of 5 in use; ")
    assert (workers.verdict, workers.found) == (
        Verdict.OK,
        "0 of 16 in use; a cluster of 4 c7i.xlarge needs 16",
    )
    monkeypatch.setattr(usage, "running_types", lambda _, spot=False: ["c7i.xlarge"] if spot else [])
    _, workers = quotas.check_cluster_vcpus(account, cluster(cluster_spot="yes"))
    assert (workers.verdict, workers.found.split(";")[0]) == (Verdict.WARNING, "4 of 16 in use")
    other = replace(cluster(cluster_spot="yes"), cluster_instance_type="g6.xlarge")
    assert "no quota is known for g6.xlarge" in quotas.check_cluster_vcpus(account, other)[1].found


def test_type_that_does_not_exist(account: Account) -> None:
    found = quotas.check_prep_vcpus(account, replace(Settings(), prep_instance_type="t9.large"), Deployed())
    assert (found.verdict, found.remedy) == (Verdict.FAILS, "set another type")


def test_storage(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    set_quota(monkeypatch, quotas.STORAGE["sc1"], 1)
    gp3, sc1 = quotas.check_storage(account, Settings(), Deployed())
    assert (gp3.verdict, sc1.verdict) == (Verdict.OK, Verdict.OK)
    assert gp3.found == "0 of 50 in use; the deployment needs 0.21; each training instance needs 0.32"
    assert sc1.found == "0 of 1 in use; the deployment needs 0.98"
    boto3.client("ec2").create_volume(AvailabilityZone=f"{REGION}a", Size=125, VolumeType="sc1")
    _, sc1 = quotas.check_storage(account, Settings(), Deployed())
    assert (sc1.verdict, sc1.check) == (Verdict.FAILS, "TiB of sc1")
    assert "--service-code ebs --quota-code L-17AF77E8 --desired-value 2`" in sc1.remedy
    (gp3,) = quotas.check_storage(account, Settings(), PREP)  # its volumes are among those in use
    assert gp3.found == "0 of 50 in use; each training instance needs 0.32"


def test_asked_storage_is_what_the_templates_make(defaults: Synthesis, custom: Synthesis) -> None:
    their_own = replace(
        Settings(),
        work_volume_gib=500,
        work_volume_type="st1",
        dataset_volume_gib=100,
        dataset_volume_type="io2",
        dataset_volume_iops=5000,
        snapshot_of="work",
        restored_volume_iops=16000,
    )
    for synthesis, settings in ((defaults, Settings()), (custom, their_own)):
        volumes = [each["Properties"] for each in synthesis.resources("AWS::EC2::Volume", "Prep").values()]
        made = Counter({})
        for volume in volumes:
            made[volume["VolumeType"]] += volume["Size"]
        made += root_gib(synthesis.only("AWS::EC2::Instance", "Prep")["Properties"])
        assert quotas.deployment_gib(settings) == made
        template = synthesis.only("AWS::EC2::LaunchTemplate", "Training")["Properties"]["LaunchTemplateData"]
        restored = Counter({settings.restored_volume_type: settings.restored_volume.gib})
        assert quotas.training_gib(settings) == restored + root_gib(template)


def root_gib(instance: dict[str, Any]) -> Counter[str]:
    (disk,) = instance["BlockDeviceMappings"]
    return Counter({disk["Ebs"]["VolumeType"]: disk["Ebs"]["VolumeSize"]})


def test_snapshots(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = boto3.client("ec2").create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    before, whole = usage.snapshots(account)
    assert whole
    boto3.client("ec2").create_snapshot(VolumeId=volume)
    assert usage.snapshots(account) == (before + 1, True)
    assert quotas.check_snapshots(account).verdict is Verdict.OK
    set_quota(monkeypatch, quotas.SNAPSHOTS, before + 1)
    assert quotas.check_snapshots(account).verdict is Verdict.FAILS


def test_vpcs(account: Account) -> None:
    assert quotas.check_vpcs(account, Deployed()).found == "1 of 5 in use; the deployment needs 1"
    for number in range(4):
        boto3.client("ec2").create_vpc(CidrBlock=f"10.{number}.0.0/16")
    found = quotas.check_vpcs(account, Deployed())
    assert found.verdict is Verdict.FAILS
    assert "--service-code vpc --quota-code L-F678F1CE --desired-value 6`" in found.remedy
    assert quotas.check_vpcs(account, PREP).verdict is Verdict.OK
