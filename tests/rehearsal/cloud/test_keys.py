"""A KMS key from a template: its policy and its tags are those of the template."""

import json
import os
import sys

import pytest

from rehearsal.operator.account import Cloud

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "kms:*",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Resource": "*",
        }
    ],
}
KEY = {
    "Type": "AWS::KMS::Key",
    "Properties": {"KeyPolicy": POLICY, "Tags": [{"Key": "dataset", "Value": "sample"}]},
}


def test_a_key_from_a_template(cloud: Cloud) -> None:
    template = {
        "Resources": {"Key": KEY},
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Key", "Arn"]}}},
    }
    stacks, kms = cloud.client("cloudformation"), cloud.client("kms")
    stacks.create_stack(StackName="keys", TemplateBody=json.dumps(template))
    (output,) = stacks.describe_stacks(StackName="keys")["Stacks"][0]["Outputs"]
    (key,) = kms.list_keys()["Keys"]
    assert output["OutputValue"] == key["KeyArn"]
    assert kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == [{"TagKey": "dataset", "TagValue": "sample"}]
    policy = kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
    assert json.loads(policy) == POLICY
