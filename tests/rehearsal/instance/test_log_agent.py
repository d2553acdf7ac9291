"""The CloudWatch agent of an instance: lines of a file arrive in the log group that its role may write to."""

import json
import os
import sys

import pytest

from rehearsal.operator.account import Cloud, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="loop devices and mounts need Linux and root"
)
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    ],
}
USER_DATA = """#!/usr/bin/env bash
set -euxo pipefail
export AWS_DEFAULT_REGION=us-east-1
dnf install --assumeyes --quiet amazon-cloudwatch-agent
home=/opt/aws/amazon-cloudwatch-agent
echo 'before the agent' >/var/log/some.log
cat >"$home/etc/config.json" <<'END'
{"logs": {"logs_collected": {"files": {"collect_list": [
  {"file_path": "/var/log/some.log", "log_group_name": "group", "log_stream_name": "{instance_id}/some"}
]}}}}
END
"$home/bin/amazon-cloudwatch-agent-ctl" -a fetch-config -m ec2 -s -c "file:$home/etc/config.json"
sleep 3
echo 'after its start' >>/var/log/some.log
"""


def test_lines_arrive(cloud: Cloud) -> None:
    iam, logs, ec2 = cloud.client("iam"), cloud.client("logs"), cloud.client("ec2")
    may = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
    iam.create_role(RoleName="writer", AssumeRolePolicyDocument=json.dumps(TRUST))
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_role_policy(RoleName="writer", PolicyName="may", PolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName="writer")
    iam.add_role_to_instance_profile(InstanceProfileName="writer", RoleName="writer")
    logs.create_log_group(logGroupName="group")
    made = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="t2.large",
        MinCount=1,
        MaxCount=1,
        IamInstanceProfile={"Name": "writer"},
        UserData=USER_DATA,
    )
    name = f"{made['Instances'][0]['InstanceId']}/some"

    def lines() -> list[str]:
        if not logs.describe_log_streams(logGroupName="group", logStreamNamePrefix=name)["logStreams"]:
            return []
        events = logs.get_log_events(logGroupName="group", logStreamName=name)["events"]
        return [event["message"] for event in events]

    wait_until("the lines", 60, lambda: lines() == ["before the agent", "after its start"])
    assert cloud.refused_calls() == []
