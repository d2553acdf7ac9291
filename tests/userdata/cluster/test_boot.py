"""The boot of a head and of a worker, and how it fails."""

import json
from typing import Any

import pytest

from tests.userdata.cloud import Metadata
from tests.userdata.cluster.machine import (
    HEAD,
    HEAD_SETTINGS,
    NAME,
    NUMBER,
    ROOT_ONLY,
    WORKER,
    Machine,
    launch,
)

pytestmark = ROOT_ONLY


def test_a_worker_joins_its_head_and_ends_with_it(
    machine: Machine, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.boot().status == 0, machine.log
    assert machine.said("systemctl") == ["daemon-reload", "enable --now dataset-ray.service"]
    assert machine.said("shutdown") == []
    service = machine.unit(monkeypatch, "dataset-ray.service")["Service"]
    (start,) = service["ExecStart"]
    assert start.startswith(f"/opt/dataset-prep/venv/bin/ray start --address={HEAD}:{port} ")
    assert f" --node-ip-address={WORKER} " in start
    assert "--block" in start
    assert (service["Restart"], service["User"]) == (["no"], ["ec2-user"])
    assert service["ExecStopPost"] == ["+/opt/dataset-prep/power-off"]
    assert machine.environment()["RAY_ADDRESS"] == f"{HEAD}:{port}"
    assert not (machine.root / "etc/systemd/system/dataset-cluster.service").exists()


def test_a_head_starts_ray_and_the_work(
    head: Machine, cluster: str, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert head.boot().status == 0, head.log
    started = ["enable --now dataset-ray.service", "enable --now dataset-cluster.service"]
    assert head.said("systemctl") == ["daemon-reload", *started]
    service = head.unit(monkeypatch, "dataset-ray.service")["Service"]
    (start,) = service["ExecStart"]
    for option in (
        f"--port={port}",
        "--num-cpus=0",
        f"--node-ip-address={HEAD}",
        "--include-dashboard=false",
    ):
        assert f" {option} " in start
    assert "ExecStopPost" not in service
    assert service["Restart"] == ["on-failure"]
    node = json.loads((head.root / "etc/dataset-autoscaler.json").read_text())["available_node_types"][
        "worker"
    ]
    assert node["resources"] == {"CPU": 16, "memory": 32 * 2**30 * 7 // 10}
    assert node["node_config"]["TagSpecifications"][0]["Tags"][0]["Value"] == HEAD
    environment = head.environment()
    assert environment["PREP_INSTANCE"] == cluster
    assert {name: environment[name] for name in HEAD_SETTINGS if name.startswith("PREP_")} == {
        name: value for name, value in HEAD_SETTINGS.items() if name.startswith("PREP_")
    }
    assert environment["RAY_AUTH_MODE"] == "token"


def test_the_token_is_in_one_file_of_its_user(head: Machine, cluster: str, secret: tuple[str, str]) -> None:
    assert cluster
    assert head.boot().status == 0, head.log
    token = head.root / "etc/dataset-ray.token"
    assert token.read_text().strip() == secret[1]
    found = token.stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o400, NUMBER)
    assert secret[1] not in head.log
    holding = [path for path in head.root.rglob("*") if path.is_file() and secret[1] in path.read_text()]
    assert holding == [token]
    assert head.environment()["RAY_AUTH_TOKEN_PATH"] == "/etc/dataset-ray.token"  # noqa: S105 - a path


@pytest.mark.parametrize("when_done", ["stop", "keep"])
def test_a_second_head_ends_itself(
    head: Machine, cluster: str, metadata: Metadata, ec2: Any, when_done: str
) -> None:
    second = launch(ec2)
    metadata.items["instance-id"] = second
    # If both were launched in the same second, the order of their IDs decides.
    found = ec2.describe_instances(InstanceIds=[cluster, second])["Reservations"]
    launched = [(each["LaunchTime"], each["InstanceId"]) for one in found for each in one["Instances"]]
    (_, first), (_, last) = sorted(launched)
    metadata.items["instance-id"] = last
    assert head.boot(WHEN_DONE=when_done).status == 1
    assert f"{first} is already the head of this cluster" in head.log
    assert (head.said("systemctl"), head.said("shutdown")) == ([], ["--poweroff now"])
    ec2.terminate_instances(InstanceIds=[first])
    assert head.boot(WHEN_DONE=when_done).status == 0, head.log


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ("TOKEN_SECRET=gone", "could not read the secret gone"),
        ("install_package() { die 'could not install Python 3.11'; }", "could not install Python 3.11"),
        ('PORT=1; wait_until() { "${@:2}"; }', f"nothing answers at {HEAD}:1"),
        ("systemctl() { [[ $* != enable* ]]; }", "could not start dataset-ray.service"),
        ("TAG_HEAD=no-such-tag", "the metadata service does not tell tags/instance/no-such-tag"),
    ],
)
def test_a_worker_whose_boot_fails_ends_itself(machine: Machine, later: str, said: str) -> None:
    assert machine.boot(later).status != 0
    assert said in machine.log
    assert machine.said("shutdown") == ["--poweroff now"]


@pytest.mark.parametrize("topic", ["", "arn:aws:sns:us-east-1:123456789012:notices"])
@pytest.mark.parametrize(("when_done", "ends"), [("stop", ["--poweroff now"]), ("keep", [])])
def test_a_head_whose_boot_fails_tells_it_first(
    head: Machine, cluster: str, topic: str, when_done: str, ends: list[str]
) -> None:
    assert cluster
    publish = (
        'aws() { if [[ $1 == sns ]]; then printf "%s\\n" "$*" >"$ROOT/sns"; else command aws "$@"; fi; }'
    )
    head.boot(f"{publish}; WORKER_TYPE=z9.huge", PREP_TOPIC=topic, WHEN_DONE=when_done)
    assert head.status == 1
    assert "could not look up the instance type z9.huge" in head.log
    assert head.said("shutdown") == ends
    told = head.said("sns")
    assert bool(told) == bool(topic)
    if topic:
        assert f"--topic-arn {topic} --subject {NAME}: the cluster's head did not boot" in told[0]


def test_a_boot_that_hangs_ends(machine: Machine) -> None:
    end = 'shutdown() { echo "$*" >"$ROOT/shutdown"; kill -KILL $$; }'
    assert machine.boot(f"BOOT_SECONDS=1; install_package() {{ sleep 30 >&- 2>&-; }}; {end}").status == -9
    assert "the boot is not done after 1 s" in machine.log
    assert machine.said("shutdown") == ["--poweroff now"]


def test_a_second_run_changes_nothing(head: Machine, cluster: str) -> None:
    assert cluster
    assert head.boot().status == 0

    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (head.root / "etc").rglob("*") if path.is_file()}

    before = content()
    assert head.boot().status == 0, head.log
    assert content() == before


@pytest.mark.parametrize("address", ["10.0.0.1\nExecStart=/bin/sh", "10.0.0.1 --x", "$(id)", "fe80::1", ""])
def test_a_head_that_is_no_address_becomes_no_part_of_a_unit(
    machine: Machine, metadata: Metadata, address: str
) -> None:
    metadata.items["tags/instance/dataset-head"] = address
    assert machine.boot().status == 1
    assert "the tag dataset-head is no address" in machine.log
    assert not list((machine.root / "etc/systemd/system").iterdir())
    assert machine.said("shutdown") == ["--poweroff now"]


@pytest.mark.parametrize("role", ["head", "worker"])
def test_logs_go_to_cloudwatch_if_asked(head: Machine, cluster: str, role: str) -> None:
    machine = head
    assert cluster
    machine.variables["ROLE"] = role
    agent = machine.root / "opt/aws/amazon-cloudwatch-agent"
    for name in ("bin", "etc"):
        (agent / name).mkdir(parents=True)
    (agent / "bin/amazon-cloudwatch-agent-ctl").write_text('#!/bin/sh\necho "$@" >/opt/agent-called\n')
    (agent / "bin/amazon-cloudwatch-agent-ctl").chmod(0o755)
    assert machine.boot(LOG_GROUP="/tiny/cluster").status == 0, machine.log
    config = json.loads((agent / "etc/dataset-cluster.json").read_text())
    files = config["logs"]["logs_collected"]["files"]["collect_list"]
    assert {each["log_group_name"] for each in files} == {"/tiny/cluster"}
    assert [each["log_stream_name"] for each in files] == [
        *(f"{role}/{{instance_id}}/{log}" for log in ("boot", "service")),
        *(["head/{instance_id}/autoscaler"] if role == "head" else []),
    ]
    assert (
        "file:/opt/aws/amazon-cloudwatch-agent/etc/dataset-cluster.json"
        in (machine.root / "opt/agent-called").read_text()
    )
