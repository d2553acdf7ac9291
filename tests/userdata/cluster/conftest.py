"""A worker, and the head of a cluster, about to boot."""

import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.userdata.cloud import Metadata
from tests.userdata.cluster.machine import (
    HEAD,
    HEAD_SETTINGS,
    NAME,
    NUMBER,
    SETTINGS,
    USERDATA,
    WORKER,
    Machine,
    launch,
)


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


@pytest.fixture
def head(machine: Machine, metadata: Metadata) -> Machine:
    metadata.items["local-ipv4"] = HEAD
    machine.variables |= HEAD_SETTINGS | {"ROLE": "head"}
    return machine


@pytest.fixture
def cluster(ec2: Any, metadata: Metadata) -> Iterator[str]:
    """The instance that a head boots on."""
    metadata.items["instance-id"] = launch(ec2)
    yield metadata.items["instance-id"]
    found = ec2.describe_instances(Filters=[{"Name": "tag:dataset", "Values": [NAME]}])["Reservations"]
    ec2.terminate_instances(InstanceIds=[each["InstanceId"] for made in found for each in made["Instances"]])
