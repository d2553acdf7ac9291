"""A machine of the cluster: userdata/cluster.sh run by real bash, in a mount namespace of its own.

There, /etc, /opt and /var/lib are the test's. The aws command is the real one, and asks an embedded AWS.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from rehearsal.instance.guest import units
from tests.userdata.cloud import Metadata

USERDATA = Path(__file__).parent.parent.parent / "userdata"
NAME = "tiny"
HEAD, WORKER = "127.1.0.1", "127.1.0.2"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace of its own")

# All but the last line, which begins the boot. The package is installed already; `LATER` comes in between.
BOOT = """
mount --bind "$ROOT/etc" /etc
mount --bind "$ROOT/opt" /opt
mount --bind "$ROOT/lib" /var/lib
systemctl() { printf '%s\\n' "$*" >>"$ROOT/systemctl"; }
shutdown() { printf '%s\\n' "$*" >>"$ROOT/shutdown"; }
dnf() { :; }
source "$USERDATA/common.sh"
source <(sed '$d' "$USERDATA/cluster.sh")
eval "$LATER"
main
"""
AUTOSCALER = {
    "available_node_types": {
        "worker": {
            "resources": {"CPU": "@CPUS@", "memory": "@MEMORY@"},
            "node_config": {"TagSpecifications": [{"Tags": [{"Key": "dataset-head", "Value": "@HEAD@"}]}]},
        }
    }
}
SETTINGS = {
    "NAME": NAME,
    "PACKAGE_URL": "s3://assets/1.zip",
    "LOG_GROUP": "",
    "TAG_DATASET": "dataset",
    "TAG_ROLE": "dataset-role",
    "TAG_HEAD": "dataset-head",
    "RAY_SERVICE": "dataset-ray.service",
    "CLUSTER_SERVICE": "dataset-cluster.service",
    "ENVIRONMENT_FILE": "/etc/dataset-prep.env",
}
HEAD_SETTINGS = {
    "DESCRIPTION_URL": "",
    "AUTOSCALER": json.dumps(AUTOSCALER),
    "WORKER_TYPE": "c7i.4xlarge",
    "WHEN_DONE": "stop",
    "PREP_DATASET": "/opt/dataset-prep/tiny.toml",
    "PREP_SOURCE": "s3://bucket/tiny/archives",
    "PREP_PACKED": "s3://bucket/tiny/packed",
}


@dataclass
class Machine:
    """A machine about to boot."""

    root: Path
    variables: dict[str, str]
    status: int | None = None
    log: str = ""

    def boot(self, later: str = "", **changes: str) -> "Machine":
        """Runs the user data; `later` are commands between its functions and its boot."""
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", BOOT],  # noqa: S607
            env=self.variables | {"LATER": later} | changes,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.status, self.log = done.returncode, done.stderr
        return self

    def said(self, command: str) -> list[str]:
        """The arguments of each call of systemctl or shutdown."""
        path = self.root / command
        return path.read_text().splitlines() if path.exists() else []

    def environment(self) -> dict[str, str]:
        lines = (self.root / "etc/dataset-prep.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def unit(self, monkeypatch: pytest.MonkeyPatch, name: str) -> units.Unit:
        monkeypatch.setattr(units, "UNITS", self.root / "etc/systemd/system")
        return units.read_unit(name)


@pytest.fixture
def port() -> Iterator[str]:
    """Something that answers where Ray's head would."""
    with socket.create_server((HEAD, 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield str(server.getsockname()[1])


def _accept(server: socket.socket) -> None:
    try:
        while True:
            server.accept()[0].close()
    except OSError:
        return


@pytest.fixture
def secret(account: Mapping[str, str]) -> Iterator[Any]:
    """The token's secret: its ARN and its value."""
    assert account
    client = boto3.client("secretsmanager")
    value = client.get_random_password(PasswordLength=64, ExcludePunctuation=True)["RandomPassword"]
    arn = client.create_secret(Name="token", SecretString=value)["ARN"]
    yield arn, value
    client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    client.close()


@pytest.fixture
def machine(
    tmp_path: Path, account: dict[str, str], metadata: Metadata, secret: tuple[str, str], port: str
) -> Machine:
    """A worker; `head` makes a head of it."""
    for folder in ("etc/systemd/system", "opt/dataset-prep", "lib"):
        (tmp_path / folder).mkdir(parents=True)
    # The user of Amazon Linux, and its number here.
    user = f"ec2-user:x:{NUMBER}:{NUMBER}::/home/ec2-user:/bin/bash\n"
    (tmp_path / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/bash\n{user}")
    (tmp_path / "etc/group").write_text(f"root:x:0:\nec2-user:x:{NUMBER}:\n")
    (tmp_path / "opt/dataset-prep/installed").write_text(f"{SETTINGS['PACKAGE_URL']} \n")
    metadata.items |= {"instance-id": "i-1", "local-ipv4": WORKER, "tags/instance/dataset-head": HEAD}
    variables = account | SETTINGS | {"ROLE": "worker", "TOKEN_SECRET": secret[0], "RAY_PORT": port}
    variables |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url,
        "USERDATA": str(USERDATA),
        "ROOT": str(tmp_path),
    }
    return Machine(tmp_path, variables)


NUMBER = 1234


@pytest.fixture
def head(machine: Machine, metadata: Metadata) -> Machine:
    metadata.items["local-ipv4"] = HEAD
    machine.variables |= HEAD_SETTINGS | {"ROLE": "head"}
    return machine


def launch(ec2: Any, role: str = "cluster-head") -> str:
    """An instance with the tags of a machine of the cluster."""
    tags = [{"Key": "dataset", "Value": NAME}, {"Key": "dataset-role", "Value": role}]
    made = ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return str(made["Instances"][0]["InstanceId"])


@pytest.fixture
def cluster(ec2: Any, metadata: Metadata) -> Iterator[str]:
    """The instance that a head boots on."""
    metadata.items["instance-id"] = launch(ec2)
    yield metadata.items["instance-id"]
    found = ec2.describe_instances(Filters=[{"Name": "tag:dataset", "Values": [NAME]}])["Reservations"]
    ec2.terminate_instances(InstanceIds=[each["InstanceId"] for made in found for each in made["Instances"]])


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


def test_the_same_limits_as_on_the_prep_instance(
    head: Machine, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster
    assert head.boot().status == 0, head.log
    unit = head.unit(monkeypatch, "dataset-cluster.service")
    assert unit["Service"]["RestartPreventExitStatus"] == ["2 3 5"]
    assert (unit["Unit"]["StartLimitBurst"], unit["Unit"]["StartLimitIntervalSec"]) == (["5"], ["6h"])
    assert unit["Service"]["SuccessExitStatus"] == ["130"]
    (name,) = unit["Unit"]["OnFailure"]
    told = head.unit(monkeypatch, name)["Service"]
    assert told["ExecStart"] == ["/opt/dataset-prep/tell-failed"]
    assert told["ExecStopPost"] == ["+/opt/dataset-prep/power-off"]
    assert told["EnvironmentFile"] == unit["Service"]["EnvironmentFile"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's own check of units")
@pytest.mark.parametrize("role", ["head", "worker"])
def test_systemd_understands_the_units(head: Machine, cluster: str, role: str) -> None:
    """Amazon Linux 2023 has systemd 252, as Debian 12 does."""
    assert cluster
    assert head.boot(ROLE=role).status == 0, head.log
    for program in ("ray", "python"):
        path = head.root / "opt/dataset-prep/venv/bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", path)
    check = 'systemd-analyze verify --man=no --recursive-errors=no "$ROOT"/etc/systemd/system/*.service'
    folders = 'mount --bind "$ROOT/opt" /opt; mount --bind "$ROOT/lib" /var/lib'
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["unshare", "--mount", "bash", "-c", f"{folders}; {check}"],  # noqa: S607
        env={"ROOT": str(head.root), "PATH": os.environ["PATH"], "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def run_script(
    head: Machine, name: str, commands: Mapping[str, str], **variables: str
) -> tuple[int, list[str]]:
    """Runs a script that the boot wrote, with other commands; returns its status and what it called."""
    folder = head.root / "bin"
    (head.root / "opt/dataset-prep/venv/bin").mkdir(parents=True, exist_ok=True)
    called = head.root / "called"
    called.unlink(missing_ok=True)
    for command, status in commands.items():
        path = folder / command if command != "python" else head.root / "opt/dataset-prep/venv/bin/python"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{command} $*" >>{called}\n{status}\n')
        path.chmod(0o755)
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["unshare", "--mount", "bash", "-euc", f'mount --bind "$ROOT/opt" /opt; /opt/dataset-prep/{name}'],  # noqa: S607
        env={"PATH": f"{folder}:{os.environ['PATH']}", "ROOT": str(head.root)} | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, called.read_text().splitlines() if called.exists() else []


def test_the_work_is_pack_then_verify_then_a_notice(head: Machine, cluster: str) -> None:
    assert cluster
    head.boot()
    words = [f"python -m prep {command} --on ray" for command in ("pack", "verify", "notify")]
    assert run_script(head, "work", {"python": ""}) == (0, words)
    # A notice that can't be sent is no failure; a failure of the work is one, with its status.
    assert run_script(head, "work", {"python": "case $* in *notify*) exit 7; esac"}) == (0, words)
    assert run_script(head, "work", {"python": "case $* in *verify*) exit 5; esac"}) == (5, words[:2])
    assert run_script(head, "work", {"python": "exit 8"}) == (8, words[:1])


@pytest.mark.parametrize(("when_done", "ends"), [("stop", ["shutdown --poweroff now"]), ("keep", [])])
def test_the_head_ends_itself_when_all_is_done(
    head: Machine, cluster: str, when_done: str, ends: list[str]
) -> None:
    assert cluster
    assert head.boot(WHEN_DONE=when_done).status == 0
    # `systemctl stop`, a failure, a kill: the work is not done.
    for result, status in (("success", "130"), ("success", "TERM"), ("exit-code", "1"), ("signal", "KILL")):
        done = run_script(head, "after-work", {"shutdown": ""}, SERVICE_RESULT=result, EXIT_STATUS=status)
        assert done == (0, [])
    done = run_script(head, "after-work", {"shutdown": ""}, SERVICE_RESULT="success", EXIT_STATUS="0")
    assert done == (0, ends)


def test_a_head_that_is_kept_also_stays_after_a_failure(
    head: Machine, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster
    head.boot(WHEN_DONE="keep")
    assert "ExecStopPost" not in head.unit(monkeypatch, "dataset-cluster-failed.service")["Service"]


def test_a_failure_is_told_a_few_times(head: Machine, cluster: str) -> None:
    assert cluster
    head.boot()
    told = "python -m prep notify --on ray --failed"
    assert run_script(head, "tell-failed", {"python": "", "sleep": ""}) == (0, ["sleep 0", told])
    _, called = run_script(head, "tell-failed", {"python": "exit 7", "sleep": ""})
    assert called == ["sleep 0", told, "sleep 300", told, "sleep 600", told]


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
