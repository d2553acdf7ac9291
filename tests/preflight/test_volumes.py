"""Volumes that exist, and changes that CloudFormation can't make."""

from dataclasses import replace

import pytest

from preflight import deployed, volumes
from preflight.account import Account
from preflight.deployed import Deployed, ExistingVolume
from preflight.findings import Verdict
from stacks.settings import Settings
from tests.conftest import REGION
from tests.preflight.test_deployed import VOLUME, make_stack

SNAPSHOT = "snap-0123456789abcdef0"


def test_volumes_are_found_by_their_tags(account: Account) -> None:
    make_stack("sample-prep", {"Work": VOLUME})
    (volume,) = account.ec2.describe_volumes()["Volumes"]
    account.ec2.create_tags(Resources=[volume["VolumeId"]], Tags=[{"Key": "dataset-role", "Value": "packed"}])
    there = deployed.look(account, "sample")
    assert there.volumes == {"packed": ExistingVolume(f"{REGION}c", 1, "")}
    (finding,) = volumes.check(Settings(), there)
    assert (finding.check, finding.verdict, finding.found) == (
        "volume packed",
        Verdict.OK,
        f"1 GiB in {REGION}c",
    )


@pytest.mark.parametrize(
    ("gib", "made_from", "wanted", "verdict", "remedy"),
    [
        (1000, "", None, Verdict.OK, ""),
        (999, "", None, Verdict.OK, ""),
        (1001, "", None, Verdict.FAILS, "set work_volume_gib=1001"),
        (1000, SNAPSHOT, SNAPSHOT, Verdict.OK, ""),
        (1000, SNAPSHOT, None, Verdict.FAILS, f"set work_snapshot={SNAPSHOT}"),
        (1000, "", SNAPSHOT, Verdict.FAILS, "remove work_snapshot"),
    ],
)
def test_change(gib: int, made_from: str, wanted: str | None, verdict: Verdict, remedy: str) -> None:
    there = Deployed({"Prep": "CREATE_COMPLETE"}, {"work": ExistingVolume(f"{REGION}a", gib, made_from)})
    (finding,) = volumes.check(replace(Settings(), work_snapshot=wanted), there)
    assert (finding.verdict, finding.remedy) == (verdict, remedy)


def test_nothing_to_say_without_volumes() -> None:
    assert volumes.check(Settings(), Deployed()) == []
