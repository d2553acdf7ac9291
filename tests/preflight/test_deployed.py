"""What an earlier deployment left, and which of it is in the way of the next."""

import json
from typing import Any

import boto3
import pytest
from moto.cloudformation.models import cloudformation_backends

from preflight import deployed
from preflight.account import Account
from preflight.deployed import Deployed
from preflight.findings import Verdict
from tests.conftest import REGION
from tests.preflight.conftest import ACCOUNT_ID

PLACE = f"--stack-name sample-prep --region {REGION}"
VOLUME = {
    "Type": "AWS::EC2::Volume",
    "Properties": {"AvailabilityZone": f"{REGION}c", "Size": 1, "Encrypted": True, "VolumeType": "gp3"},
}


def make_stack(name: str, resources: dict[str, Any]) -> None:
    template = json.dumps({"Resources": resources})
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=template)


def set_state(name: str, state: str) -> None:
    """moto has no failures of its own."""
    stacks = cloudformation_backends[ACCOUNT_ID][REGION].stacks.values()
    (stack,) = (stack for stack in stacks if stack.name == name)
    stack.status = state


def test_nothing_is_deployed(account: Account) -> None:
    there = deployed.look(account, "sample")
    assert there == Deployed()
    assert [finding.found for finding in deployed.check(there, "sample", REGION)] == ["none yet"]


def test_zone_of_the_volumes_is_found(account: Account) -> None:
    make_stack("sample-prep", {"Work": VOLUME, "Topic": {"Type": "AWS::SNS::Topic"}})
    there = deployed.look(account, "sample")
    assert (there.states, there.zone) == ({"Prep": "CREATE_COMPLETE"}, f"{REGION}c")
    assert deployed.look(account, "other") == Deployed()


def test_stack_that_failed_to_be_created_has_no_zone(account: Account) -> None:
    make_stack("sample-prep", {"Work": VOLUME})
    set_state("sample-prep", "ROLLBACK_COMPLETE")
    there = deployed.look(account, "sample")
    assert there.zone is None
    assert not there.has("Prep")
    (finding,) = deployed.check(there, "sample", REGION)
    assert finding.verdict is Verdict.WARNING
    assert "the next deployment deletes it first" in finding.found


@pytest.mark.parametrize(
    ("state", "verdict", "remedy"),
    [
        ("CREATE_COMPLETE", Verdict.OK, ""),
        ("UPDATE_ROLLBACK_COMPLETE", Verdict.OK, ""),
        ("REVIEW_IN_PROGRESS", Verdict.OK, ""),
        ("ROLLBACK_FAILED", Verdict.WARNING, ""),
        ("UPDATE_FAILED", Verdict.WARNING, f"aws cloudformation rollback-stack {PLACE}`"),
        ("UPDATE_ROLLBACK_FAILED", Verdict.FAILS, f"continue-update-rollback {PLACE}`"),
        ("UPDATE_IN_PROGRESS", Verdict.FAILS, "wait"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Verdict.FAILS, "wait"),
        ("DELETE_FAILED", Verdict.FAILS, "destroy --dataset sample --region us-east-1 --stack prep`"),
    ],
)
def test_state_has_its_remedy(state: str, verdict: Verdict, remedy: str) -> None:
    (finding,) = deployed.check(Deployed({"Prep": state}), "sample", REGION)
    assert (finding.check, finding.verdict) == ("stack Prep", verdict)
    assert remedy in finding.remedy
    assert state in finding.found or state == "REVIEW_IN_PROGRESS"


def test_a_cluster_that_the_settings_leave_out(account: Account) -> None:
    """The Dataset stack would no longer export its subnets, and CloudFormation refuses that."""
    assert deployed.check_left_out(deployed.look(account, "sample"), "sample", REGION, 0) == []
    make_stack("sample-cluster", {"Topic": {"Type": "AWS::SNS::Topic"}})
    there = deployed.look(account, "sample")
    assert deployed.check_left_out(there, "sample", REGION, 2) == []
    (finding,) = deployed.check_left_out(there, "sample", REGION, 0)
    assert (finding.verdict, finding.check) == (Verdict.FAILS, "stack Cluster")
    command = f"python -m prep.owner destroy --dataset sample --region {REGION} --stack cluster"
    assert f"run `{command}` first" in finding.remedy
