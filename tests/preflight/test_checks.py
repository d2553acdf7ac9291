"""Single checks: bootstrap, image, keys, snapshots."""

import json

import boto3
import pytest
from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends
from moto.ssm.models import ssm_backends

from preflight import bootstrap, image, keys, snapshots
from preflight.account import Account
from preflight.findings import Finding, Verdict
from rehearsal.cloud.moto_gaps import instances
from tests.conftest import REGION
from tests.preflight.conftest import ACCOUNT_ID
from tests.stacks.conftest import Synthesis


@pytest.mark.parametrize(
    ("version", "verdict"),
    [(None, Verdict.FAILS), ("5", Verdict.FAILS), ("6", Verdict.OK), ("28", Verdict.OK)],
)
def test_bootstrap(account: Account, version: str | None, verdict: Verdict) -> None:
    if version:
        account.ssm.put_parameter(Name=bootstrap.PARAMETER, Value=version, Type="String")
    found = bootstrap.check(account)
    assert (found.verdict, found.remedy) == (
        verdict,
        "run `make bootstrap`" if verdict is Verdict.FAILS else "",
    )


def test_bootstrap_is_what_the_assembly_requires(defaults: Synthesis) -> None:
    manifest = json.loads((defaults.folder / "manifest.json").read_text())
    stacks = [each for each in manifest["artifacts"].values() if each["type"] == "aws:cloudformation:stack"]
    assert {each["properties"]["requiresBootstrapStackVersion"] for each in stacks} == {
        bootstrap.REQUIRED_VERSION
    }
    assert {each["properties"]["bootstrapStackVersionSsmParameter"] for each in stacks} == {
        bootstrap.PARAMETER
    }


def test_image(account: Account, defaults: Synthesis) -> None:
    missing = image.check(account)
    assert missing.verdict is Verdict.WARNING
    assert image.TRAINING_IMAGE in missing.found
    instances.add_public_parameters(ssm_backends[ACCOUNT_ID][REGION]._parameters, ACCOUNT_ID)
    assert image.check(account).verdict is Verdict.OK
    template = defaults.only("AWS::EC2::LaunchTemplate", "Training")["Properties"]["LaunchTemplateData"]
    assert template["ImageId"] == f"resolve:ssm:{image.TRAINING_IMAGE}"


def make_key(spec: str = "SYMMETRIC_DEFAULT", usage: str = "ENCRYPT_DECRYPT") -> str:
    made = boto3.client("kms").create_key(KeySpec=spec, KeyUsage=usage)  # type: ignore[call-overload]
    return str(made["KeyMetadata"]["Arn"])


def test_key_of_the_settings(account: Account) -> None:
    key = make_key()
    assert keys.check_setting(account, key).verdict is Verdict.OK
    elsewhere = keys.check_setting(account, key.replace(REGION, "eu-west-1"))
    assert (elsewhere.verdict, elsewhere.remedy) == (Verdict.FAILS, "set key to a key of this Region")
    absent = keys.check_setting(account, f"{key[:-12]}000000000000")
    assert (absent.verdict, absent.remedy) == (Verdict.FAILS, "set key to a key that exists")
    account.kms.disable_key(KeyId=key.rpartition("/")[2])
    assert "Disabled" in keys.check_setting(account, key).found
    unfit = keys.check_setting(account, make_key("RSA_2048", "SIGN_VERIFY"))
    assert (unfit.verdict, unfit.remedy) == (Verdict.FAILS, "set key to a symmetric key")


def test_default_key(account: Account) -> None:
    assert keys.check_default(account).found == "aws/ebs"
    key = make_key()
    account.ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
    found = keys.check_default(account)
    assert found.verdict is Verdict.WARNING
    assert key in found.found
    account.kms.schedule_key_deletion(KeyId=key.rpartition("/")[2])
    assert keys.check_default(account).verdict is Verdict.FAILS


def test_snapshot(account: Account) -> None:
    volume = account.ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=20)["VolumeId"]
    snapshot = account.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    assert snapshots.check(account, "work_snapshot", snapshot, 20, None).verdict is Verdict.OK
    small = snapshots.check(account, "work_snapshot", snapshot, 19, None)
    assert (small.verdict, small.remedy) == (Verdict.FAILS, "make the volume at least 20 GiB")
    absent = snapshots.check(account, "work_snapshot", "snap-00000000000000000", 20, None)
    assert (absent.verdict, absent.check) == (Verdict.FAILS, "work_snapshot")
    assert "has no snapshot" in absent.found


def test_key_of_a_snapshot(account: Account) -> None:
    """moto gives a snapshot no key; the default key is one that AWS manages."""
    key = make_key()
    volume = account.ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    snapshot = account.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ec2_backends[ACCOUNT_ID][REGION].snapshots[snapshot].kms_key_id = key

    def check(setting: str | None) -> Finding:
        return snapshots.check(account, "work_snapshot", snapshot, 1, setting)

    assert check(key).verdict is Verdict.OK
    for setting in (None, "new", make_key()):
        assert (check(setting).verdict, check(setting).remedy) == (Verdict.FAILS, f"set key={key}")
    kms_backends[ACCOUNT_ID][REGION].keys[key.rpartition("/")[2]].key_manager = "AWS"
    assert check(None).verdict is Verdict.OK
