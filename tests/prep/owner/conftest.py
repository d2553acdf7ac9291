"""An account in which a small data set is deployed, and the commands, called as from the command line."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.ec2 import utils as moto_filters
from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends

from prep import command_line
from prep.aws import clients
from prep.owner import launch, stacks
from prep.owner.account import Account
from prep.owner.cli import owner
from tests.conftest import REGION
from tests.prep.owner import documented
from tests.prep.owner.proxy import Call, Proxy, Refusal
from tests.prep.owner.there import fill

DATASET = "pets"
MANIFEST = "a" * 64
ACCOUNT = "123456789012"  # moto's own
OTHER = "210987654321"
PARAMETER = "/pets/snapshot-id"
ZONES = [f"{REGION}{letter}" for letter in "abc"]


@dataclass(frozen=True)
class Answer:
    """What a command has said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The result of --json."""
        return json.loads(self.out)


Command = Callable[..., Answer]


@pytest.fixture
def proxy(aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """The way of the commands to the embedded AWS."""
    with Proxy(aws) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setattr(launch, "PAUSE", 0.05)
        monkeypatch.setattr(stacks, "PAUSE", 0.05)
        # What moto lacks: this filter of DescribeInstances.
        monkeypatch.setitem(moto_filters.filter_dict_attribute_mapping, "client-token", "client_token")
        clients._session.cache_clear()
        yield proxy
    clients._session.cache_clear()


@pytest.fixture
def call(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Calls a command: `call("launch", "--count", "2")`."""
    assert proxy
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["prep", *arguments])
        capsys.readouterr()
        proxy.calls.clear()  # those of the test itself
        code = command_line.run(owner, "prep")
        called = {each.name for each in proxy.calls if not each.name.isupper()}
        assert called <= documented.actions(arguments[0])
        return Answer(code, *capsys.readouterr())

    monkeypatch.setenv("PREP_DATASET", DATASET)
    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def account(proxy: Proxy) -> Account:
    """The account, for its clients."""
    assert proxy
    return Account()


@pytest.fixture
def deployed(aws: str) -> str:
    """The endpoint of an account with the three stacks, as small as CloudFormation takes them."""
    cloudformation = boto3.client("cloudformation", endpoint_url=aws)
    for part, template in {"dataset": _dataset(), "prep": _prep(), "training": _training()}.items():
        cloudformation.create_stack(
            StackName=f"{DATASET}-{part}",
            TemplateBody=json.dumps(template),
            Tags=[{"Key": "dataset", "Value": DATASET}],
        )
    return aws


def _dataset() -> dict[str, Any]:
    resources: dict[str, Any] = {
        "Network": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Backup": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "Properties": {"Tags": [{"Key": "dataset", "Value": DATASET}]},
        },
    }
    for number, zone in enumerate(ZONES):
        resources[f"Subnet{number}"] = {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": {"Ref": "Network"},
                "AvailabilityZone": zone,
                "CidrBlock": f"10.0.{number}.0/24",
            },
        }
    subnets = {"Fn::Join": [",", [{"Ref": f"Subnet{number}"} for number in range(len(ZONES))]]}
    return {
        "Resources": resources,
        "Outputs": {"SubnetIds": {"Value": subnets}, "BucketName": {"Value": {"Ref": "Backup"}}},
    }


def _prep() -> dict[str, Any]:
    def volume(role: str) -> dict[str, Any]:
        tags = [{"Key": "dataset", "Value": DATASET}, {"Key": "dataset-role", "Value": role}]
        properties = {"AvailabilityZone": ZONES[0], "Size": 1000, "Tags": tags}
        return {"Type": "AWS::EC2::Volume", "DeletionPolicy": "Snapshot", "Properties": properties}

    return {"Resources": {"WorkABC": volume("work"), "PackedABC": volume("packed")}}


def _training() -> dict[str, Any]:
    tags = [{"Key": "dataset", "Value": DATASET}, {"Key": "dataset-role", "Value": "training"}]
    data = {
        "InstanceType": "g5.xlarge",
        "ImageId": "ami-12c6146b",
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
    }
    template = {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}}
    return {
        "Resources": {"LaunchTemplate": template},
        "Outputs": {"LaunchTemplateId": {"Value": {"Ref": "LaunchTemplate"}}},
    }


def update_training(endpoint: str, datasets: str) -> None:
    """Deploy the Training stack again, with the setting `datasets`."""
    template = _training()
    template["Outputs"]["Datasets"] = {"Value": datasets}
    boto3.client("cloudformation", endpoint_url=endpoint).update_stack(
        StackName=f"{DATASET}-training", TemplateBody=json.dumps(template)
    )


def take_snapshot(gib: int = 8, manifest: str = MANIFEST, role: str = "", **volume: Any) -> str:
    """A complete snapshot of a new volume, with the tags that prep gives it, or those of a volume's role."""
    ec2 = boto3.client("ec2")
    made = ec2.create_volume(AvailabilityZone=ZONES[0], Size=gib, **volume)["VolumeId"]
    tags = {"dataset": DATASET} | (
        {"dataset-role": role} if role else {"dataset-manifest-sha256": manifest, "Name": DATASET}
    )
    specification = {
        "ResourceType": "snapshot",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    snapshot = ec2.create_snapshot(VolumeId=made, TagSpecifications=[specification])["SnapshotId"]  # type: ignore[list-item]
    _encrypt(ec2_backends[ACCOUNT][REGION].snapshots[snapshot], "KmsKeyId" not in volume)
    return str(snapshot)


def _encrypt(snapshot: Any, by_default: bool) -> None:
    """What moto lacks: a snapshot has its volume's key, and the default key is managed by AWS."""
    snapshot.kms_key_id = arn = snapshot.volume.kms_key_id
    if arn and by_default:
        kms_backends[ACCOUNT][REGION].keys[arn.rpartition("/")[2]].key_manager = "AWS"


def publish(snapshot: str) -> None:
    """Write the data set's parameter."""
    boto3.client("ssm").put_parameter(Name=PARAMETER, Value=snapshot, Type="String", Overwrite=True)


def parameter(region: str = REGION, endpoint: str | None = None) -> str | None:
    """The parameter in a Region, or None."""
    found = boto3.client("ssm", region_name=region, endpoint_url=endpoint).get_parameters(Names=[PARAMETER])[
        "Parameters"
    ]
    return found[0]["Value"] if found else None


def owned(region: str = REGION) -> dict[str, dict[str, str]]:
    """The tags of each of the account's snapshots that has any; moto has some of its own, without tags."""
    found = boto3.client("ec2", region_name=region).describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return {
        each["SnapshotId"]: {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        for each in found
        if each.get("Tags")
    }


@pytest.fixture
def published(aws: str) -> str:
    """A snapshot of the data that the parameter names."""
    assert aws
    snapshot = take_snapshot()
    publish(snapshot)
    return snapshot


@pytest.fixture
def kept(proxy: Proxy, aws: str) -> list[str]:
    """What moto lacks: CloudFormation takes a last snapshot of each volume; as documented, without tags."""
    taken: list[str] = []

    def plan(each: Call) -> Refusal | None:
        if each.name == "DeleteStack" and "pets-prep" in each.parameters["StackName"]:
            resources = boto3.client("cloudformation", endpoint_url=aws).describe_stack_resources(
                StackName="pets-prep"
            )
            for resource in resources["StackResources"]:
                made = boto3.client("ec2", endpoint_url=aws).create_snapshot(
                    VolumeId=resource["PhysicalResourceId"]
                )
                taken.append(made["SnapshotId"])
        return None

    proxy.plan = plan
    return taken


@pytest.fixture
def finished(deployed: str, published: str) -> str:
    """All is done: the snapshot is published, the backup complete; a snapshot of the work volume was kept."""
    fill("pets/receipts/backup.json", "pets/archives/train.tar")
    assert deployed
    assert published
    older = ec2_backends[ACCOUNT][REGION].snapshots[take_snapshot(1000, role="work")]
    older.start_time -= timedelta(days=1)
    return take_snapshot(1000, role="work")


@pytest.fixture
def boots(aws: str) -> Iterator[Callable[..., None]]:
    """Does what user data does at the end: tags each new instance, with the state that is its turn, as
    "failed", or "failed pets: no-capacity" with a reason.
    """
    ec2 = boto3.client("ec2", endpoint_url=aws)
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def tag(states: list[str]) -> None:
        done: set[str] = set()
        while not stop.wait(0.05):
            for made in ec2.describe_instances()["Reservations"]:
                for each in made["Instances"]:
                    if each["InstanceId"] not in done:
                        state = states[min(len(done), len(states) - 1)]
                        done.add(each["InstanceId"])
                        word, _, reason = state.partition(" ")
                        tags = {"dataset-state": word} | ({"dataset-reason": reason} if reason else {})
                        ec2.create_tags(
                            Resources=[each["InstanceId"]],
                            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
                        )

    def start(*states: str) -> None:
        threads.append(threading.Thread(target=tag, args=(list(states),), daemon=True))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()
