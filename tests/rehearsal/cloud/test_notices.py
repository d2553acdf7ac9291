"""A topic's subscription from a template: there with its stack, and gone with it."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.operator.account import Cloud, start_cloud

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)
TEMPLATE = {
    "Resources": {
        "Notices": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "Data set"}},
        "Owner": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "Notices"},
                "Protocol": "email",
                "Endpoint": "owner@example.org",
            },
        },
    }
}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = start_cloud(tmp_path, tmp_path / "cloud.log")
    yield cloud
    cloud.stop()


def test_a_subscription_lives_as_long_as_its_stack(cloud: Cloud) -> None:
    stacks, sns = cloud.client("cloudformation"), cloud.client("sns")
    stacks.create_stack(StackName="told", TemplateBody=json.dumps(TEMPLATE))
    (topic,) = sns.list_topics()["Topics"]
    (subscription,) = sns.list_subscriptions()["Subscriptions"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "owner@example.org")
    assert subscription["TopicArn"] == topic["TopicArn"]
    stacks.delete_stack(StackName="told")
    assert (sns.list_topics()["Topics"], sns.list_subscriptions()["Subscriptions"]) == ([], [])
