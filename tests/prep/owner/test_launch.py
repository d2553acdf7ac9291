"""Launch: spread over the zones, the next zone when one is full, and no instance that nobody is told of."""

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from prep.aws import retries
from prep.owner import launch
from prep.owner.account import Account
from tests.conftest import REGION
from tests.prep.owner.conftest import PARAMETER, ZONES, Command, publish, take_snapshot, update_training
from tests.prep.owner.proxy import Call, Proxy, Refusal
from tests.prep.owner.there import instances

pytestmark = pytest.mark.usefixtures("deployed")
SHAPE = {
    "dataset", "dry_run", "launch_template", "instance_type", "spot", "snapshots", "wanted", "zones",
    "instances", "refusals",
}  # fmt: skip


def full(*zones: str, code: str = "InsufficientInstanceCapacity", status: int = 500) -> Callable[[Call], Any]:
    """A plan: these zones have no capacity."""
    subnets = {
        each["SubnetId"]: each["AvailabilityZone"]
        for each in boto3.client("ec2").describe_subnets()["Subnets"]
    }

    def plan(call: Call) -> Refusal | None:
        if call.name == "RunInstances" and subnets[call.parameters["SubnetId"]] in zones:
            return Refusal(code, status, "We currently do not have sufficient capacity")
        return None

    return plan


@pytest.mark.usefixtures("published")
def test_spread_over_the_zones(call: Command, proxy: Proxy, boots: Callable[..., None]) -> None:
    boots("ready")
    answer = call("launch", "--count", "5", "--json")
    assert answer.code == 0, answer.err
    assert set(answer.document) == SHAPE
    assert answer.document["zones"] == dict(zip(ZONES, (2, 2, 1), strict=True))
    assert answer.document["instance_type"] == "g5.xlarge"
    launched = answer.document["instances"]
    assert {each["instance"] for each in launched} == {each["InstanceId"] for each in instances()}
    assert len(launched) == 5
    assert sorted({each["zone"] for each in launched}) == ZONES
    assert {each["Placement"]["AvailabilityZone"] for each in instances()} == set(ZONES)
    for each in launched:
        assert set(each) == {"instance", "zone", "state", "seconds", "reason", "connect"}
        assert (each["state"], each["reason"]) == ("ready", "")
        assert each["seconds"] > 0
        assert each["connect"] == f"aws ssm start-session --region {REGION} --target {each['instance']}"
    assert "5 instances cost money until you end them" in answer.err
    calls = proxy.named("RunInstances")
    assert len({each.parameters["ClientToken"] for each in calls}) == len(calls)
    assert {each.parameters["LaunchTemplate.Version"] for each in calls} == {"$Latest"}
    assert not any("MarketType" in name for each in calls for name in each.parameters)


@pytest.mark.usefixtures("published")
def test_table(call: Command, boots: Callable[..., None]) -> None:
    boots("ready")
    answer = call("launch")
    head, row = answer.out.splitlines()
    assert head.split() == ["instance", "zone", "state", "seconds", "reason", "connect"]
    command = rf"aws ssm start-session --region {REGION} --target \1"
    assert re.fullmatch(rf"(i-\w+) +{ZONES[0]} +ready +\d+\.\d  - +{command}", row)
    assert "launch: 1 ready" in answer.err


@pytest.mark.usefixtures("published")
def test_full_zones_are_skipped(call: Command, proxy: Proxy, boots: Callable[..., None]) -> None:
    """EC2 answers with status 500, which other calls are repeated for: these must not be."""
    boots("ready")
    proxy.plan = full(ZONES[0], ZONES[1])
    begun = time.monotonic()
    answer = call("launch", "--count", "3", "--json")
    assert time.monotonic() - begun < 10
    assert answer.code == 0, answer.err
    assert {each["zone"] for each in answer.document["instances"]} == {ZONES[2]}
    assert len(answer.document["instances"]) == 3
    assert len(answer.document["refusals"]) == 2
    assert answer.err.count("trying the next zone") == 2


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("code", sorted(launch.ZONE_REFUSES))
def test_every_zone_is_full(call: Command, proxy: Proxy, code: str) -> None:
    proxy.plan = full(*ZONES, code=code, status=500 if code in retries.LASTING else 400)
    answer = call("launch", "--count", "2", "--spot")
    assert answer.code == 7
    assert "error: launch: 0 of 2 instances are ready: " in answer.err
    assert all(f"in {zone}: RunInstances: {code}" in answer.err.splitlines()[-1] for zone in ZONES)
    assert "no instance is running" in answer.err
    assert instances() == []


@pytest.mark.usefixtures("published")
def test_quota_ends_the_launch_but_not_the_wait(
    call: Command, proxy: Proxy, boots: Callable[..., None]
) -> None:
    """A quota is one of the Region: no other zone helps. What was launched is waited for, and is named."""
    boots("ready")
    proxy.plan = lambda each: (
        Refusal("VcpuLimitExceeded") if each.name == "RunInstances" and each.number else None
    )
    answer = call("launch", "--count", "3", "--json")
    assert answer.code == 7
    assert [each["state"] for each in answer.document["instances"]] == ["ready"]
    assert "launch: 1 of 3 instances are ready: " in answer.err.splitlines()[-1]
    assert "VcpuLimitExceeded" in answer.err.splitlines()[-1]
    assert (
        f"terminate-instances --region {REGION} --instance-ids {instances()[0]['InstanceId']}" in answer.err
    )
    assert len(proxy.named("RunInstances")) == 2


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(("code", "exit_code"), [("UnauthorizedOperation", 7), ("ExpiredToken", 3)])
def test_refused_at_once(call: Command, proxy: Proxy, code: str, exit_code: int) -> None:
    proxy.plan = lambda each: Refusal(code, 403) if each.name == "RunInstances" else None
    answer = call("launch", "--count", "3")
    assert answer.code == exit_code
    assert f"RunInstances: {code}" in answer.err.splitlines()[-1]
    (made,) = proxy.named("RunInstances")
    assert "no instance of this launch is known; to look again: aws ec2 describe-instances" in answer.err
    assert f"Name=client-token,Values={made.parameters['ClientToken']}\n" in answer.err


@pytest.mark.usefixtures("published")
def test_throttled_calls_are_repeated_with_their_token(
    call: Command, proxy: Proxy, boots: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.2)
    boots("ready")
    proxy.plan = lambda each: Refusal("RequestLimitExceeded", 503) if each.number == 0 else None
    answer = call("launch", "--json")
    assert answer.code == 0, answer.err
    first, second = proxy.named("RunInstances")
    assert first.parameters["ClientToken"] == second.parameters["ClientToken"]
    assert len(instances()) == 1


@pytest.mark.usefixtures("published")
def test_spot_type_and_zones(call: Command, proxy: Proxy, boots: Callable[..., None]) -> None:
    boots("ready")
    zones = ["--zone", ZONES[2], "--zone", ZONES[1]]
    answer = call("launch", "--count", "3", "--type", "g4dn.xlarge", "--spot", *zones, "--json")
    assert answer.code == 0, answer.err
    assert answer.document["zones"] == {ZONES[2]: 2, ZONES[1]: 1}
    assert answer.document["spot"] is True
    assert {each["InstanceType"] for each in instances()} == {"g4dn.xlarge"}
    calls = proxy.named("RunInstances")
    assert {each.parameters["InstanceMarketOptions.MarketType"] for each in calls} == {"spot"}


@pytest.mark.usefixtures("published")
def test_failed_and_ended_instances(call: Command, boots: Callable[..., None], aws: str) -> None:
    """Each says why; those that ended cost nothing any more."""
    boots("ready", "failed", "booting")
    ec2 = boto3.client("ec2", endpoint_url=aws)

    def end() -> None:
        while len(instances()) < 3:
            time.sleep(0.05)
        time.sleep(0.5)
        waiting = [{"Name": "tag:dataset-state", "Values": ["booting"]}]
        for made in ec2.describe_instances(Filters=waiting)["Reservations"]:  # type: ignore[arg-type]
            ec2.terminate_instances(InstanceIds=[each["InstanceId"] for each in made["Instances"]])

    thread = threading.Thread(target=end)
    thread.start()
    answer = call("launch", "--count", "3", "--json")
    thread.join()
    assert answer.code == 7
    by_state = {each["state"]: each for each in answer.document["instances"]}
    assert set(by_state) == {"ready", "failed", "terminated"}
    assert by_state["failed"]["reason"] == "see /var/log/cloud-init-output.log on the instance"
    assert by_state["terminated"]["reason"]
    assert "launch: 1 of 3 instances are ready" in answer.err.splitlines()[-1]
    assert "2 instances cost money" in answer.err
    assert by_state["terminated"]["instance"] not in re.findall(r"--instance-ids (.*)", answer.err)[0]


@pytest.mark.usefixtures("published")
def test_reasons(call: Command, boots: Callable[..., None]) -> None:
    boots("ready pets: no-copy", "failed pets: no-capacity")
    answer = call("launch", "--count", "2", "--json")
    assert answer.code == 7
    reasons = {each["state"]: each["reason"] for each in answer.document["instances"]}
    assert reasons == {"ready": "pets: no-copy", "failed": f"pets: no-capacity: {launch.LOG}"}
    assert f"failed: pets: no-capacity: {launch.LOG}" in answer.err.splitlines()[-1]


@pytest.mark.usefixtures("published")
def test_stopped_instances_still_cost(call: Command, aws: str) -> None:
    """AWS bills their disks."""
    ec2 = boto3.client("ec2", endpoint_url=aws)

    def stop() -> None:
        while not instances():
            time.sleep(0.05)
        time.sleep(0.3)
        ec2.stop_instances(InstanceIds=[instances()[0]["InstanceId"]])

    thread = threading.Thread(target=stop)
    thread.start()
    answer = call("launch", "--json")
    thread.join()
    assert (answer.code, answer.document["instances"][0]["state"]) == (7, "stopped")
    assert "1 instances cost money until you end them" in answer.err


def test_only_what_the_instances_mount_is_needed(call: Command, aws: str) -> None:
    """The setting `datasets`: of each of these data sets a snapshot must be published, of pets none."""
    update_training(aws, "cars,birds")
    boto3.client("ssm").put_parameter(Name="/cars/snapshot-id", Value=take_snapshot(), Type="String")
    answer = call("launch", "--dry-run")
    assert answer.code == 2
    assert f"/birds/snapshot-id names no snapshot yet in {REGION}" in answer.err
    birds = take_snapshot()
    boto3.client("ssm").put_parameter(Name="/birds/snapshot-id", Value=birds, Type="String")
    answer = call("launch", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    assert list(answer.document["snapshots"]) == ["cars", "birds"]
    assert answer.document["snapshots"]["birds"] == birds


@pytest.mark.usefixtures("published")
def test_waiting_has_an_end(account: Account) -> None:
    plan = launch.make_plan(account, launch.Wish("pets", 2))
    fleet = launch.Fleet("t", 0.0, REGION)
    notes: list[str] = []
    launch.launch(account, plan, fleet, notes.append)
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds * 100

    launch.wait(account, fleet, 150, notes.append, lambda: now[0], pause)
    assert {each.state for each in fleet.instances.values()} == {"booting"}
    assert 150 <= now[0] < 160
    # A line when the counts change, and then one every half minute; one call each time.
    assert notes[-1] == "launch: 2 booting (2 min 30 s)"
    assert len([line for line in notes if "booting" in line]) in (5, 6)
    reason = launch.shortfall(plan, fleet)
    assert reason is not None
    assert reason.count("booting: no answer yet") == 2


def test_nothing_is_published(call: Command, proxy: Proxy) -> None:
    answer = call("launch")
    assert (answer.code, answer.out) == (2, "")
    assert f"{PARAMETER} names no snapshot yet in {REGION}" in answer.err
    assert proxy.changes() == []


def test_published_snapshot_is_gone(call: Command, published: str) -> None:
    boto3.client("ec2").delete_snapshot(SnapshotId=published)
    answer = call("launch")
    assert answer.code == 2
    assert f"snapshot {published}, which {PARAMETER} names, is not there" in answer.err


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "cars"], f"no stack cars-training in {REGION}: run `make deploy`"),
        (["--zone", "us-east-1f"], "us-east-1f: no g5.xlarge or no subnet there: use us-east-1a, us-east-1b"),
        (["--type", "p9.large"], f"no zone of {REGION} with a subnet offers p9.large: give another --type"),
        (["--count", "0"], "'--count': 0 is not in the range"),
        (["--dataset", "../x"], "'--dataset': '../x' is not the name of a data set"),
        (["--region", "earth"], "'--region': 'earth' is not a Region, such as eu-west-1"),
    ],
)
def test_mistakes(call: Command, proxy: Proxy, arguments: list[str], message: str) -> None:
    answer = call("launch", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1
    assert proxy.changes() == []


@pytest.mark.usefixtures("published")
def test_dry_run(call: Command, proxy: Proxy) -> None:
    answer = call("launch", "--count", "4", "--spot", "--dry-run")
    assert answer.code == 0
    head, *rows = answer.out.splitlines()
    assert head.split() == ["zone", "instances", "type", "subnet"]
    assert [row.split()[:4] for row in rows] == [
        [zone, share, "spot", "g5.xlarge"] for zone, share in zip(ZONES, "211", strict=True)
    ]
    document = call("launch", "--dry-run", "--json").document
    assert set(document) == SHAPE
    assert (document["dry_run"], document["instances"]) == (True, [])
    assert proxy.changes() == []
    assert instances() == []


def test_pending_snapshot(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.ec2.models import ec2_backends

    snapshot = take_snapshot()
    publish(snapshot)
    monkeypatch.setattr(ec2_backends["123456789012"][REGION].snapshots[snapshot], "status", "pending")
    answer = call("launch")
    assert answer.code == 2
    assert f"snapshot {snapshot}, which {PARAMETER} names, is pending" in answer.err
