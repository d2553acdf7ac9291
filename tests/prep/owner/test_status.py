"""Status from a laptop: the object that a run keeps current, and the instance. A killed run is dead."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.cloudformation.models import cloudformation_backends
from moto.ec2.models import ec2_backends

from prep import contract
from prep.reporting import verdict
from prep.reporting.document import DONE, FAILED, Document
from rehearsal.servers.archive import ArchiveServer
from tests.conftest import REGION
from tests.prep.commands import run, start, wait_for
from tests.prep.owner.conftest import ACCOUNT, Answer, Command
from tests.prep.owner.proxy import Call, Proxy, Refusal
from tests.prep.owner.there import bucket
from tests.prep.places import SITE
from tests.prep.reporting.documents import ALL_DONE, AT_WORK
from tests.prep.small_sets import TINY, write_folders

pytestmark = pytest.mark.usefixtures("deployed")
SHAPE = {
    "dataset", "region", "bucket", "verdict", "summary", "next", "exit_code", "age_seconds", "cost",
    "instance", "status",
}  # fmt: skip
TALKATIVE = [sys.executable, "-m", "tests.prep.talkative"]


@pytest.fixture
def instance(deployed: str) -> str:
    """A prep instance that runs, which its stack names; it was started two hours ago."""
    ec2, cloudformation = boto3.client("ec2"), boto3.client("cloudformation", endpoint_url=deployed)
    name = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    template: Any = cloudformation.get_template(StackName="pets-prep")["TemplateBody"]
    template = dict(template) | {"Outputs": {"InstanceId": {"Value": name}}}
    cloudformation.update_stack(StackName="pets-prep", TemplateBody=json.dumps(template))
    _started(name, 7200)
    return str(name)


def _started(instance: str, seconds: float) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    ec2_backends[ACCOUNT][REGION].get_instance(instance).launch_time = moment


def written(document: Document) -> None:
    """The object in the bucket, as a run writes it."""
    key = contract.status_key("pets")
    boto3.client("s3").put_object(Bucket=bucket() or "", Key=key, Body=document.to_json())


def test_at_work(call: Command, proxy: Proxy, instance: str) -> None:
    written(replace(AT_WORK, instance=instance))
    answer = call("status", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert set(answer.document) == SHAPE
    assert answer.document["verdict"] == "running"
    assert 0 <= answer.document["age_seconds"] < 60
    assert answer.document["status"] == json.loads(json.dumps(asdict(replace(AT_WORK, instance=instance))))
    assert answer.document["bucket"] == bucket()
    there = answer.document["instance"]
    assert (there["id"], there["state"], there["checks"]) == (instance, "running", "ok")
    assert 7190 < there["up_seconds"] < 7300
    assert answer.document["cost"]["hours"] == 1.0
    text = call("status").out
    assert text.startswith("pets: running  (")
    assert "\x1b" not in text
    assert proxy.changes() == []


def test_instance_is_stopped(call: Command, instance: str) -> None:
    written(replace(AT_WORK, instance=instance))
    boto3.client("ec2").stop_instances(InstanceIds=[instance])
    answer = call("status")
    assert answer.code == 1
    assert answer.out.startswith("pets: dead  (")
    assert f"\n  aws ec2 start-instances --region {REGION} --instance-ids {instance}\n" in answer.out


def test_instance_is_gone(call: Command, instance: str) -> None:
    written(replace(AT_WORK, instance=instance))
    boto3.client("ec2").terminate_instances(InstanceIds=[instance])
    assert call("status", "--json").document["verdict"] == "dead"
    del ec2_backends[ACCOUNT][REGION].reservations[next(iter(ec2_backends[ACCOUNT][REGION].reservations))]
    answer = call("status", "--json")
    assert (answer.code, answer.document["instance"], answer.document["verdict"]) == (1, None, "dead")


def test_stack_is_gone_after_success(call: Command, deployed: str) -> None:
    written(replace(AT_WORK, state=DONE))
    boto3.client("cloudformation", endpoint_url=deployed).delete_stack(StackName="pets-prep")
    answer = call("status", "--watch")
    assert (answer.code, answer.err) == (0, "")
    assert "next: python -m prep.owner launch --count 1 --dataset pets" in answer.out
    assert "destroy" not in answer.out


def test_failed_for_good(call: Command, instance: str) -> None:
    error = "secret pets/credentials: ResourceNotFoundException: correct the setting"
    written(replace(AT_WORK, instance=instance, state=FAILED, error=error, exit_code=3))
    answer = call("status", "--watch")
    assert answer.code == 1
    assert f"pets: failed: {error}" in answer.out
    assert answer.out.splitlines()[-1] == "next: sudo systemctl start dataset-prep.service"


def test_no_status_yet(call: Command, instance: str) -> None:
    _started(instance, 60)
    assert call("status", "--json").document["verdict"] == "starting"
    _started(instance, 3600)
    answer = call("status")
    assert answer.code == 1
    assert "sudo tail /var/log/cloud-init-output.log" in answer.out


@pytest.mark.parametrize("old", [None, AT_WORK])
def test_the_stack_is_being_made(call: Command, old: Document | None) -> None:
    """It has no outputs before the instance has told that it is ready; `old`: of an instance before."""
    if old:
        written(old)
    stacks = cloudformation_backends[ACCOUNT][REGION].stacks.values()
    (stack,) = [each for each in stacks if each.name == "pets-prep"]
    stack.status = "CREATE_IN_PROGRESS"
    answer = call("status")
    assert answer.code == 0
    assert answer.out.startswith("pets: starting")
    assert "CloudFormation makes the instance" in answer.out
    stack.status = "CREATE_COMPLETE"
    assert not call("status").out.startswith("pets: starting")


def test_no_stack(call: Command) -> None:
    answer = call("status", "--dataset", "cars")
    assert (answer.code, answer.out) == (2, "")
    assert f"no stack cars-dataset in {REGION}: run `make deploy`" in answer.err


def test_mistakes(call: Command) -> None:
    answer = call("status", "--watch", "--json")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "--watch and --json exclude each other" in answer.err
    assert call("status", "--watch", "--every", "0.5").code == 2


def test_an_object_that_is_no_status(call: Command, instance: str) -> None:
    assert instance
    key = contract.status_key("pets")
    boto3.client("s3").put_object(Bucket=bucket() or "", Key=key, Body=b"\x1b[2J" * 100_000)
    answer = call("status")
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (5, "", 1)
    assert f"s3://{bucket()}/pets/status.json: not the status of a run" in answer.err
    assert "\x1b" not in answer.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DescribeInstances", "look at the instance i-"),
        ("DescribeInstanceStatus", "look at the status checks of i-"),
        ("GET", "read s3://pets-dataset-"),
    ],
)
def test_refused(call: Command, proxy: Proxy, instance: str, name: str, words: str) -> None:
    written(replace(AT_WORK, instance=instance))
    proxy.plan = lambda each: Refusal("AccessDenied", 403) if each.name == name else None
    answer = call("status")
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (7, "", 1)
    assert words in answer.err
    assert ": allow this role to call " in answer.err


def test_a_watch_outlasts_an_outage(call: Command, proxy: Proxy, instance: str) -> None:
    written(replace(AT_WORK, instance=instance))

    def plan(each: Call) -> Refusal | None:
        if each.name != "GET" or each.number == 0:
            return None
        if each.number == 1:
            return Refusal("SlowDown", 503)
        proxy.plan = None
        written(ALL_DONE)
        return None

    proxy.plan = plan
    answer = call("status", "--watch", "--every", "1")
    assert (answer.code, answer.err) == (0, "")  # nothing is repeated, so that nothing is said
    assert "pets: no answer from AWS since " in answer.out


@dataclass
class Work:
    """A run of a tiny data set with the bucket of the stack, from a server that sends nothing for a while."""

    toml: Path
    folder: Path
    url: str
    instance: str

    @property
    def options(self) -> list[str]:
        where = ["--root", str(self.folder / "root"), "--packed", str(self.folder / "packed")]
        return ["run", "--dataset", str(self.toml), *where, "--source", self.url]

    @property
    def env(self) -> dict[str, str]:
        machine = {contract.ENV_INSTANCE: self.instance, contract.ENV_MACHINE: "t2.large,sc1=1000,gp3=200"}
        return SITE | machine | {contract.ENV_BUCKET: bucket() or ""}


@pytest.fixture
def work(tmp_path: Path, instance: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    toml = write_folders(tmp_path / "set", TINY)
    toml.write_text(toml.read_text().replace('name = "tiny"', 'name = "pets"'))
    monkeypatch.setattr(verdict, "DEAD_SECONDS", 3.0)  # S3 tells time in whole seconds
    with ArchiveServer(toml.parent / "archives", *SITE.values(), rate=500) as server:
        yield Work(toml, tmp_path, server.url, instance)


def until(look: Callable[[], Answer], word: str) -> tuple[Answer, float]:
    """Look until the verdict is this word; the answer, and how many seconds it took."""
    begun = time.monotonic()
    while (answer := look()).document["verdict"] != word:
        assert time.monotonic() - begun < 30, answer.out
        time.sleep(0.1)
    return answer, time.monotonic() - begun


def test_a_run_that_is_killed(call: Command, work: Work) -> None:
    """A real process, by SIGKILL, in the middle of its download."""
    process = start(*work.options, env=work.env, program=TALKATIVE)
    answer, _ = until(lambda: call("status", "--json"), "running")
    while not answer.document["status"]["tasks"]:
        assert process.poll() is None, process.communicate()
        answer = call("status", "--json")
    status = answer.document["status"]
    assert status["instance"] == work.instance
    assert (status["part"], status["stages"]["download"]) == ("archives", "at work")
    assert status["stages"].keys() == {"download", "organize", "pack", "verify", "preview", "backup"}
    time.sleep(4)  # longer than a dead run would be believed in
    assert call("status", "--json").document["verdict"] == "running"
    process.kill()
    process.communicate()
    answer, seconds = until(lambda: call("status", "--json"), "dead")
    assert 2 < seconds < 8
    assert (answer.code, answer.document["instance"]["state"]) == (1, "running")
    assert SITE[contract.ENV_ACCESS_KEY] not in answer.out


def test_a_run_that_is_told_to_stop(call: Command, work: Work) -> None:
    process = start(*work.options, env=work.env, program=TALKATIVE)
    assert wait_for(lambda: (work.folder / "root" / ".prep" / "journals" / "status.json").exists(), process)
    until(lambda: call("status", "--json"), "running")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert call("status", "--json").document["verdict"] == "restarting"  # as at a reboot
    boto3.client("ec2").stop_instances(InstanceIds=[work.instance])
    assert call("status", "--json").document["verdict"] == "stopped"


def test_a_run_to_its_end_and_one_that_fails(call: Command, work: Work) -> None:
    archives = str(work.toml.parent / "archives")
    options = [*work.options[:-1], archives]
    broken = work.toml.read_text().replace('md5 = "', 'md5 = "0')
    work.toml.write_text(broken.replace(broken.partition('md5 = "')[2].partition('"')[0], "0" * 32))
    failed = run(*options, env=work.env)
    assert failed.returncode == 5, failed.stderr
    answer = call("status", "--json")
    assert (answer.code, answer.document["verdict"]) == (1, "failed")
    assert answer.document["summary"] == failed.stderr.splitlines()[-1].removeprefix("error: ")
    work.toml.write_text(broken.replace('md5 = "0', 'md5 = "'))
    done = run(*options, env=work.env)
    assert done.returncode == 0, done.stderr
    answer = call("status", "--json")
    assert (answer.code, answer.document["verdict"]) == (0, "done")
    status = answer.document["status"]
    assert (status["processes"], set(status["stages"].values())) == (2, {"done"})
    assert status["last_error"]["text"] == failed.stderr.splitlines()[-1].removeprefix("error: ")
    local = json.loads((work.folder / "root" / ".prep" / "journals" / "status.json").read_text())
    assert local == status
