"""A deleted stack leaves nothing behind, and nothing comes back when it is looked at."""

import json
import os
import sys
from typing import Any

import pytest

from rehearsal.leftovers import listing
from rehearsal.operator.account import Cloud

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


NETWORK = {
    "Resources": {
        "Network": resource("EC2::VPC", CidrBlock="10.0.0.0/16"),
        "Subnet": resource("EC2::Subnet", VpcId={"Ref": "Network"}, CidrBlock="10.0.0.0/20"),
        "Group": resource("EC2::SecurityGroup", VpcId={"Ref": "Network"}, GroupDescription="none"),
        "Gateway": resource("EC2::InternetGateway"),
        "Joint": resource(
            "EC2::VPCGatewayAttachment", VpcId={"Ref": "Network"}, InternetGatewayId={"Ref": "Gateway"}
        ),
        "Notices": resource("SNS::Topic", DisplayName="Notices"),
        "Owner": resource(
            "SNS::Subscription",
            TopicArn={"Ref": "Notices"},
            Protocol="email",
            Endpoint="owner@example.org",
        ),
    },
    "Outputs": {
        "Subnet": {"Value": {"Ref": "Subnet"}, "Export": {"Name": "network:Subnet"}},
        "Group": {"Value": {"Ref": "Group"}, "Export": {"Name": "network:Group"}},
    },
}


def test_nothing_is_left_and_nothing_comes_back(cloud: Cloud) -> None:
    before = listing(cloud)
    stacks, ec2 = cloud.client("cloudformation"), cloud.client("ec2")
    stack = stacks.create_stack(StackName="network", TemplateBody=json.dumps(NETWORK))["StackId"]
    found = stacks.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found}
    made = {kind for kind, _ in listing(cloud) - before}
    assert {"stack", "VPC", "subnet", "security group", "internet gateway", "topic", "subscription"} <= made
    answer = ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        SubnetId=outputs["Subnet"],
        SecurityGroupIds=[outputs["Group"]],
    )
    assert "network interface" in {kind for kind, _ in listing(cloud) - before}
    ec2.terminate_instances(InstanceIds=[answer["Instances"][0]["InstanceId"]])
    stacks.delete_stack(StackName="network")
    assert stacks.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    assert stacks.list_exports()["Exports"] == []
    assert listing(cloud) - before == set()
