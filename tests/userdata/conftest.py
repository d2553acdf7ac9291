"""An embedded AWS, a metadata service, disks and a training instance for the user data's shell."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.userdata.cloud import ZONE, Cloud, Metadata, serve_cloud
from tests.userdata.machine import Disk, Machine, attached_disk, make_machine


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with Metadata() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with serve_cloud(tmp_path_factory.mktemp("volumes")) as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: Cloud) -> Cloud:
    """Without the last test's faults."""
    running_cloud.faults.clear()
    return running_cloud


@pytest.fixture
def account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables with which boto3 here and the aws command there reach the embedded AWS."""
    variables = {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def ec2(account: dict[str, str]) -> Iterator[Any]:  # noqa: ARG001
    client = boto3.client("ec2")
    yield client
    client.close()


@pytest.fixture
def instances(ec2: Any) -> list[str]:
    """Ids of two instances."""
    made = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="t2.large",
        MinCount=2,
        MaxCount=2,
        Placement={"AvailabilityZone": ZONE},
    )
    return [instance["InstanceId"] for instance in made["Instances"]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """The disk that comes with the first volume, without a file system."""
    with attached_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def machine(
    tmp_path: Path,
    disk: Disk,
    account: dict[str, str],
    metadata: Metadata,
    ec2: Any,
    instances: list[str],
) -> Machine:
    """A training instance about to boot, with a snapshot of the data set "tiny"."""
    metadata.items["instance-id"] = instances[0]
    return make_machine(tmp_path, [disk], account, metadata, ec2)
