"""Cluster: one head, in a zone with room; all its machines ended on a word; in the way of destroy."""

import json
import re

import boto3
import pytest

from prep.aws import retries
from prep.owner import cluster
from prep.owner.account import Account
from tests.conftest import REGION
from tests.prep.owner.conftest import ZONES, Command
from tests.prep.owner.proxy import Proxy, Refusal
from tests.prep.owner.test_launch import full
from tests.prep.owner.there import bucket, instances, stacks

SHAPE = {
    "dataset", "region", "dry_run", "launch_template", "head_type", "worker_type", "most_workers", "market",
    "hour_usd", "instance", "zone", "watch", "ended",
}  # fmt: skip
LAUNCHED = SHAPE - {"ended"}


def tags(role: str, dataset: str = "pets") -> list[dict[str, str]]:
    return [{"Key": "dataset", "Value": dataset}, {"Key": "dataset-role", "Value": role}]


@pytest.fixture
def with_cluster(deployed: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint of an account with the Cluster stack as well."""
    monkeypatch.setattr(cluster, "PAUSE", 0.05)
    deploy(deployed)
    return deployed


def deploy(endpoint: str, head: str = "m7i.large", worker: str = "c7i.4xlarge") -> None:
    data = {
        "InstanceType": head,
        "ImageId": "ami-12c6146b",
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags("cluster-head")}],
    }
    outputs = {"WorkerType": worker, "MostWorkers": "4", "Market": "spot"}
    template = {
        "Resources": {
            "Head": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}}
        },
        "Outputs": {
            "HeadTemplateId": {"Value": {"Ref": "Head"}},
            **{name: {"Value": value} for name, value in outputs.items()},
        },
    }
    boto3.client("cloudformation", endpoint_url=endpoint).create_stack(
        StackName="pets-cluster",
        TemplateBody=json.dumps(template),
        Tags=[{"Key": "dataset", "Value": "pets"}],
    )


def run_workers(count: int, dataset: str = "pets") -> list[str]:
    made = boto3.client("ec2").run_instances(
        ImageId="ami-12c6146b", MinCount=count, MaxCount=count,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags("cluster-worker", dataset)}],  # type: ignore[list-item,typeddict-item]
    )["Instances"]  # fmt: skip
    return sorted(each["InstanceId"] for each in made)


def states() -> dict[str, str]:
    return {each["InstanceId"]: each["State"]["Name"] for each in instances()}


@pytest.mark.usefixtures("with_cluster")
def test_one_head_is_launched(call: Command, proxy: Proxy) -> None:
    answer = call("cluster", "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    assert set(document) == LAUNCHED
    (made,) = instances()
    assert document["instance"] == made["InstanceId"]
    assert document["zone"] == made["Placement"]["AvailabilityZone"] == ZONES[0]
    assert made["InstanceType"] == document["head_type"] == "m7i.large"
    assert (document["worker_type"], document["most_workers"], document["market"]) == (
        "c7i.4xlarge",
        4,
        "spot",
    )
    # List prices: the machines, 16 and 100 GiB of gp3, and an address for each.
    hour = 0.1008 + 4 * 0.714 + (16 + 400) * 0.08 / 730 + 5 * 0.005
    assert document["hour_usd"] == pytest.approx(hour, abs=0.005)
    shell, log, notice = document["watch"]
    assert shell == f"aws ssm start-session --region {REGION} --target {made['InstanceId']}"
    assert log == "journalctl --follow --unit dataset-cluster.service"
    assert notice == f"aws s3 cp --region {REGION} s3://{bucket()}/pets/packed/.prep/notice.txt -"
    (run,) = proxy.named("RunInstances")
    assert run.parameters["ClientToken"]
    assert run.parameters["LaunchTemplate.Version"] == "$Latest"


@pytest.mark.usefixtures("with_cluster")
def test_text(call: Command) -> None:
    answer = call("cluster")
    lines = answer.out.splitlines()
    assert re.fullmatch(
        rf"the head is launched in {ZONES[0]}: i-\w+, m7i.large; it launches up to 4 c7i.4xlarge, spot",
        lines[0],
    )
    assert lines[1].startswith("all together cost at most $3.03 an hour (list prices of us-east-1 of 20")
    assert lines[-1] == f"  python -m prep.owner cluster --dataset pets --region {REGION} --stop"


@pytest.mark.usefixtures("with_cluster")
def test_dry_run(call: Command, proxy: Proxy) -> None:
    answer = call("cluster", "--dry-run", "--json")
    assert (answer.code, proxy.changes(), instances()) == (0, [], [])
    assert set(answer.document) == LAUNCHED
    assert (answer.document["instance"], answer.document["watch"]) == (None, [])
    assert "the head would be launched in us-east-1a: m7i.large;" in call("cluster", "--dry-run").out


@pytest.mark.usefixtures("with_cluster")
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_second_head_is_refused(call: Command, proxy: Proxy, state: str) -> None:
    first = call("cluster", "--json").document["instance"]
    if state == "stopped":
        boto3.client("ec2").stop_instances(InstanceIds=[first])
    for arguments in (["cluster"], ["cluster", "--dry-run"]):
        answer = call(*arguments)
        assert (answer.code, answer.out, proxy.changes()) == (2, "", [])
        assert f"cluster: {first} is the head already" in answer.err
    boto3.client("ec2").terminate_instances(InstanceIds=[first])
    assert call("cluster").code == 0


@pytest.mark.usefixtures("deployed")
def test_without_a_stack(call: Command, proxy: Proxy) -> None:
    answer = call("cluster")
    assert (answer.code, answer.out, proxy.changes()) == (2, "", [])
    assert 'such as make deploy SETTINGS="cluster_workers=4"' in answer.err


def test_full_zones_are_skipped(call: Command, proxy: Proxy, with_cluster: str) -> None:
    assert with_cluster
    proxy.plan = full(ZONES[0])
    answer = call("cluster", "--json")
    assert (answer.code, answer.document["zone"]) == (0, ZONES[1]), answer.err
    assert "trying the next zone" in answer.err
    boto3.client("ec2").terminate_instances(InstanceIds=[answer.document["instance"]])
    proxy.plan = full(*ZONES)
    answer = call("cluster")
    assert (answer.code, answer.out) == (7, "")
    assert answer.err.splitlines()[-1].count("InsufficientInstanceCapacity") == 3
    proxy.plan = full(ZONES[0], code="VcpuLimitExceeded", status=400)
    answer = call("cluster")
    assert (answer.code, len(proxy.named("RunInstances"))) == (7, 1)


def offered_in(monkeypatch: pytest.MonkeyPatch, zones: dict[str, set[str]]) -> None:
    """What moto lacks: types that only some zones offer."""
    monkeypatch.setattr(cluster.ec2, "zones_with", lambda _, name: zones[name])


@pytest.mark.usefixtures("with_cluster")
def test_the_head_is_where_the_workers_can_be(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    offered_in(monkeypatch, {"m7i.large": set(ZONES), "c7i.4xlarge": {ZONES[1]}})
    assert call("cluster", "--json").document["zone"] == ZONES[1]


@pytest.mark.usefixtures("with_cluster")
@pytest.mark.parametrize(
    ("head", "workers", "setting"),
    [(set(), set(ZONES), "cluster_head_type"), (set(ZONES), {"us-east-1f"}, "cluster_instance_type")],
)
def test_a_type_that_no_zone_has(
    call: Command, monkeypatch: pytest.MonkeyPatch, head: set[str], workers: set[str], setting: str
) -> None:
    offered_in(monkeypatch, {"m7i.large": head, "c7i.4xlarge": workers})
    answer = call("cluster")
    assert (answer.code, answer.out, instances()) == (2, "", [])
    assert f"deploy with another {setting}" in answer.err


@pytest.mark.usefixtures("deployed")
def test_a_price_that_is_not_known(call: Command, aws: str) -> None:
    deploy(aws, worker="c6i.large")
    answer = call("cluster", "--dry-run", "--json")
    assert (answer.code, answer.document["hour_usd"]) == (0, None)
    assert "all together cost what is not known here, and end" in call("cluster", "--dry-run").out


@pytest.mark.usefixtures("with_cluster")
def test_an_answer_that_is_lost(call: Command, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instance is there, and costs money: it is found by its token."""
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.2)
    proxy.plan = lambda each: (
        Refusal("UnauthorizedOperation", 403, after=True) if each.name == "RunInstances" else None
    )
    answer = call("cluster", "--json")
    assert answer.code == 0, answer.err
    assert [each["InstanceId"] for each in instances()] == [answer.document["instance"]]


@pytest.mark.usefixtures("with_cluster")
def test_a_refusal(call: Command, proxy: Proxy) -> None:
    proxy.plan = lambda each: Refusal("UnauthorizedOperation", 403) if each.name == "RunInstances" else None
    answer = call("cluster")
    assert (answer.code, answer.out, instances()) == (7, "", [])
    assert "launch the head, m7i.large: RunInstances: UnauthorizedOperation" in answer.err


@pytest.mark.usefixtures("with_cluster")
def test_stop_ends_head_and_workers_and_nothing_else(call: Command, proxy: Proxy) -> None:
    head = call("cluster", "--json").document["instance"]
    workers, others = run_workers(2), run_workers(1, "cats")
    dry = call("cluster", "--stop", "--dry-run", "--json")
    assert (dry.document["ended"], proxy.changes()) == ([head, *workers], [])
    assert f"would be ended: {head} " in call("cluster", "--stop", "--dry-run").out
    answer = call("cluster", "--stop", "--json")
    assert answer.code == 0, answer.err
    assert answer.document == {
        "dataset": "pets", "region": REGION, "dry_run": False, "ended": [head, *workers],
    }  # fmt: skip
    assert set(answer.document) <= SHAPE
    first, second = proxy.named("TerminateInstances")  # the head first: it would launch others
    assert first.parameters["InstanceId.1"] == head
    assert second.parameters["InstanceId.1"] in workers
    assert states() == dict.fromkeys([head, *workers], "terminated") | {others[0]: "running"}
    assert "no machine of the cluster is there" in call("cluster", "--stop").out


@pytest.mark.usefixtures("with_cluster")
def test_stop_needs_no_stack(call: Command, aws: str) -> None:
    workers = run_workers(1)
    boto3.client("cloudformation", endpoint_url=aws).delete_stack(StackName="pets-cluster")
    assert call("cluster", "--stop", "--json").document["ended"] == workers


@pytest.mark.usefixtures("with_cluster")
def test_stop_ends_workers_that_come_late(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is ending may have launched another one."""
    first = run_workers(1)
    late: list[str] = []
    monkeypatch.setattr(cluster, "THERE", (*cluster.THERE, "terminated"))  # moto ends them at once

    def pause(_: float) -> None:
        if not late:
            late.extend(run_workers(1))
        else:
            monkeypatch.setattr(cluster, "THERE", cluster.THERE[:-1])

    notes: list[str] = []
    ended = cluster.stop(account, "pets", notes.append, pause=pause)
    assert sorted(ended) == sorted(first + late)
    assert set(states().values()) == {"terminated"}
    assert notes == [f"cluster: ending {first[0]}", f"cluster: ending {late[0]}"]


@pytest.mark.usefixtures("with_cluster")
def test_stop_does_not_wait_for_ever(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    run_workers(1)
    monkeypatch.setattr(cluster, "THERE", (*cluster.THERE, "terminated"))
    times = iter([0.0, 300.0, 601.0])
    with pytest.raises(cluster.AwsError, match="1 machines are not gone after 10 min 00 s: run again"):
        cluster.stop(account, "pets", lambda _: None, lambda: next(times), lambda _: None)


@pytest.mark.usefixtures("with_cluster")
@pytest.mark.parametrize("parts", [[], ["--stack", "cluster"], ["--stack", "dataset"]])
def test_machines_are_in_the_way_of_destroy(call: Command, proxy: Proxy, parts: list[str]) -> None:
    workers = run_workers(2)
    answer = call("destroy", "--yes", *parts)
    assert (answer.code, answer.out, proxy.changes()) == (2, "", [])
    command = f"python -m prep.owner cluster --dataset pets --region {REGION} --stop"
    assert f"2 machines of the cluster are still there ({' '.join(workers)})" in answer.err
    assert command in answer.err
    assert call(*command.split()[3:]).code == 0
    assert call("destroy", "--dry-run", *parts).code == 0


@pytest.mark.usefixtures("with_cluster")
def test_the_stack_goes_first(call: Command, kept: list[str]) -> None:
    workers = run_workers(1)
    # Nothing of the cluster's is in the way of the Training stack.
    assert call("destroy", "--yes", "--stack", "training").code == 0
    boto3.client("ec2").terminate_instances(InstanceIds=workers)
    answer = call("destroy", "--yes", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["deleted"] == ["pets-cluster", "pets-prep", "pets-dataset"]
    assert (stacks(), len(kept)) == ([], 2)
