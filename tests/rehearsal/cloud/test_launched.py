"""Instances from a launch template: how many, where they listen, how many processors, how they end."""

import base64
import os
import sys
from typing import Any

import pytest

from rehearsal.operator.account import Cloud, in_instance, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)

# Listens at its own address, as the metadata service tells it, and writes what it knows of itself.
USER_DATA = f"""#!/bin/sh
service="$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest"
token=$(curl -sSf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$service/api/token")
ask() {{ curl -sSf -H "X-aws-ec2-metadata-token: $token" "$service/meta-data/$1"; }}
address=$(ask local-ipv4)
ask tags/instance/dataset-head >/run/rehearsal/tag
{sys.executable} - "$address" <<'PROGRAM'
import os, pathlib, socket, sys
listening = socket.create_server((sys.argv[1], int(os.environ["RAY_PORT"])))
facts = f"{{sys.argv[1]}} {{os.cpu_count()}} {{os.environ['RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES']}}"
pathlib.Path("/run/rehearsal/facts").write_text(facts)
PROGRAM
"""


@pytest.fixture(scope="module")
def launched(cloud: Cloud) -> list[dict[str, Any]]:
    """Two instances, asked for as "one or two"."""
    ec2 = cloud.client("ec2")
    data = {
        "ImageId": "ami-12c6146b",
        "InstanceType": "m3.medium",
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"InstanceMetadataTags": "enabled"},
        "UserData": base64.b64encode(USER_DATA.encode()).decode(),
    }
    ec2.create_launch_template(LaunchTemplateName="t", LaunchTemplateData=data)
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    template = {"LaunchTemplateName": "t"}
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "dataset-head", "Value": "10.0.0.1"}]}]
    answer = ec2.run_instances(
        LaunchTemplate=template, SubnetId=subnet, MinCount=1, MaxCount=2, TagSpecifications=tags
    )
    found: list[dict[str, Any]] = answer["Instances"]
    for each in found:
        wait_until("facts", 60, (cloud.instance(each["InstanceId"]) / "shared" / "facts").exists)
    return found


def test_as_many_as_asked_for(launched: list[dict[str, Any]]) -> None:
    assert len(launched) == 2


def test_each_has_an_address_of_its_own(cloud: Cloud, launched: list[dict[str, Any]]) -> None:
    ec2 = cloud.client("ec2")
    addresses = [each["PrivateIpAddress"] for each in launched]
    assert len(set(addresses)) == 2
    for each, address in zip(launched, addresses, strict=True):
        told = (cloud.instance(each["InstanceId"]) / "shared" / "facts").read_text().split()[0]
        (again,) = ec2.describe_instances(InstanceIds=[each["InstanceId"]])["Reservations"][0]["Instances"]
        interface = again["NetworkInterfaces"][0]
        assert {told, again["PrivateIpAddress"], interface["PrivateIpAddress"]} == {address}
        assert again["PrivateDnsName"] == f"ip-{address.replace('.', '-')}.ec2.internal"
        assert address.startswith("127.1.")
    by_address = [{"Name": "private-ip-address", "Values": addresses[:1]}]
    (only,) = ec2.describe_instances(Filters=by_address)["Reservations"][0]["Instances"]
    assert only["InstanceId"] == launched[0]["InstanceId"]


def test_each_has_the_processors_of_its_type(cloud: Cloud, launched: list[dict[str, Any]]) -> None:
    for each in launched:
        facts = (cloud.instance(each["InstanceId"]) / "shared" / "facts").read_text().split()
        assert facts[1:] == ["1", "200000000"]


def test_the_template_lets_the_metadata_service_tell_the_tags(
    cloud: Cloud, launched: list[dict[str, Any]]
) -> None:
    for each in launched:
        assert (cloud.instance(each["InstanceId"]) / "shared" / "tag").read_text() == "10.0.0.1"


def test_the_template_says_that_a_shutdown_ends_an_instance(
    cloud: Cloud, launched: list[dict[str, Any]]
) -> None:
    instance_id = launched[0]["InstanceId"]
    in_instance(cloud, instance_id, "/usr/lib/rehearsal/commands/shutdown", "--poweroff", "now")

    def gone() -> bool:
        found = cloud.client("ec2").describe_instances(InstanceIds=[instance_id])
        return bool(found["Reservations"][0]["Instances"][0]["State"]["Name"] == "terminated")

    wait_until("the instance to end", 30, gone)
