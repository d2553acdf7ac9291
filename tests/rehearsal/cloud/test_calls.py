"""The table of resources and conditions: what each call of an instance is judged by."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from rehearsal.cloud.call import Call
from rehearsal.cloud.calls import checks, parse
from rehearsal.cloud.judge import Check

EC2 = "arn:aws:ec2:us-east-1:123456789012"
SNAPSHOT = "arn:aws:ec2:us-east-1::snapshot"


class Account:
    """An account in which everything has one tag."""

    account_id = "123456789012"

    def resource_context(self, resource_id: str) -> dict[str, str]:
        return {"aws:ResourceTag/id": resource_id}

    def secret_arn(self, name_or_arn: str) -> str:
        return f"arn:secret:{name_or_arn}-AbCdEf"

    def stack_arn(self, name_or_arn: str) -> str:
        return f"arn:stack/{name_or_arn}/1"

    def volumes_at(self, instance_id: str, devices: list[str]) -> list[str]:
        return [f"vol-{instance_id}-{device}" for device in devices]

    def has_object(self, bucket: str, key: str) -> bool:  # noqa: ARG002
        return key != "missing"

    def ec2_key(self, resource_id: str) -> str:
        return "arn:key" if resource_id.endswith("encrypted") else ""

    def bucket_key(self, bucket: str) -> str:
        return "arn:key" if bucket == "encrypted" else ""

    def topic_key(self, topic_arn: str) -> str:
        return "arn:key" if topic_arn == "encrypted" else ""


def judged(action: str, **params: Any) -> list[tuple[str, str]]:
    return [(check.action, check.resource) for check in _checks(action, **params)]


def _checks(name: str, **params: Any) -> list[Check]:
    service, _, action = name.partition(":")
    return checks(Call(service, action, "us-east-1", params), Account())


def test_a_volume_from_a_snapshot() -> None:
    found = _checks(
        "ec2:CreateVolume",
        SnapshotId="snap-1",
        AvailabilityZone="us-east-1a",
        **{
            "TagSpecification.1.ResourceType": "volume",
            "TagSpecification.1.Tag.1.Key": "dataset",
            "TagSpecification.1.Tag.1.Value": "sample",
        },
    )
    assert [(check.action, check.resource) for check in found] == [
        ("ec2:CreateVolume", f"{SNAPSHOT}/snap-1"),
        ("ec2:CreateVolume", f"{EC2}:volume/*"),
        ("ec2:CreateTags", f"{EC2}:volume/*"),
    ]
    assert found[0].context == {"aws:ResourceTag/id": "snap-1"}
    assert found[1].context["aws:RequestTag/dataset"] == "sample"
    assert found[1].context["ec2:ParentSnapshot"] == f"{SNAPSHOT}/snap-1"
    assert found[2].context["ec2:CreateAction"] == "CreateVolume"
    assert found[2].context["aws:TagKeys"] == ["dataset"]


@pytest.mark.parametrize(
    ("action", "params", "expected"),
    [
        (
            "ec2:AttachVolume",
            {"VolumeId": "vol-1", "InstanceId": "i-1"},
            [("ec2:AttachVolume", f"{EC2}:volume/vol-1"), ("ec2:AttachVolume", f"{EC2}:instance/i-1")],
        ),
        (
            "ec2:CreateSnapshot",
            {"VolumeId": "vol-1"},
            [("ec2:CreateSnapshot", f"{EC2}:volume/vol-1"), ("ec2:CreateSnapshot", f"{SNAPSHOT}/*")],
        ),
        ("ec2:DeleteVolume", {"VolumeId": "vol-1"}, [("ec2:DeleteVolume", f"{EC2}:volume/vol-1")]),
        (
            "ec2:ModifyInstanceAttribute",
            {"InstanceId": "i-1", "BlockDeviceMapping.1.DeviceName": "/dev/sdf"},
            [
                ("ec2:ModifyInstanceAttribute", f"{EC2}:instance/i-1"),
                ("ec2:ModifyInstanceAttribute", f"{EC2}:volume/vol-i-1-/dev/sdf"),
            ],
        ),
        (
            "ec2:CopyVolumes",
            {"SourceVolumeId": "vol-1"},
            [("ec2:CopyVolumes", f"{EC2}:volume/vol-1"), ("ec2:CopyVolumes", f"{EC2}:volume/*")],
        ),
        ("ec2:DescribeVolumes", {}, [("ec2:DescribeVolumes", "*")]),
        (
            "ssm:PutParameter",
            {"Name": "/sample/snapshot-id"},
            [("ssm:PutParameter", "arn:aws:ssm:us-east-1:123456789012:parameter/sample/snapshot-id")],
        ),
        (
            "secretsmanager:GetSecretValue",
            {"SecretId": "sample/credentials"},
            [("secretsmanager:GetSecretValue", "arn:secret:sample/credentials-AbCdEf")],
        ),
        (
            "cloudformation:SignalResource",
            {"StackName": "sample-prep"},
            [("cloudformation:SignalResource", "arn:stack/sample-prep/1")],
        ),
        ("sts:GetCallerIdentity", {}, []),
        ("ec2:StopInstances", {"InstanceId.1": "i-1"}, [("ec2:StopInstances", f"{EC2}:instance/i-1")]),
        ("sns:Publish", {"TopicArn": "arn:topic"}, [("sns:Publish", "arn:topic")]),
        (
            "logs:PutLogEvents",
            {"logGroupName": "g", "logStreamName": "s"},
            [("logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:g:log-stream:s")],
        ),
    ],
)
def test_calls(action: str, params: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert judged(action, **params) == expected


@pytest.mark.parametrize(
    ("params", "attribute"),
    [
        ({"BlockDeviceMapping.1.DeviceName": "/dev/sdf"}, "BlockDeviceMapping"),
        ({"InstanceInitiatedShutdownBehavior.Value": "terminate"}, "InstanceInitiatedShutdownBehavior"),
        ({"Attribute": "userData", "Value": "x"}, "userData"),
    ],
)
def test_the_attribute_of_an_instance(params: dict[str, str], attribute: str) -> None:
    found = _checks("ec2:ModifyInstanceAttribute", InstanceId="i-1", **params)
    assert found[0].context["ec2:Attribute"] == attribute


def test_tags_on_what_exists() -> None:
    (found,) = _checks(
        "ec2:CreateTags", **{"ResourceId.1": "i-1", "Tag.1.Key": "dataset-state", "Tag.1.Value": "ready"}
    )
    assert found.resource == f"{EC2}:instance/i-1"
    assert found.context["aws:TagKeys"] == ["dataset-state"]
    assert "ec2:CreateAction" not in found.context


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("PUT", "/bucket/a/b.tar", "", ("s3:PutObject", "arn:aws:s3:::bucket/a/b.tar")),
        ("POST", "/bucket/a/b.tar", "uploads", ("s3:PutObject", "arn:aws:s3:::bucket/a/b.tar")),
        ("GET", "/bucket/a", "uploadId=1", ("s3:ListMultipartUploadParts", "arn:aws:s3:::bucket/a")),
        ("DELETE", "/bucket/a", "uploadId=1", ("s3:AbortMultipartUpload", "arn:aws:s3:::bucket/a")),
        ("DELETE", "/bucket/a", "", ("s3:DeleteObject", "arn:aws:s3:::bucket/a")),
        ("HEAD", "/bucket/a%20b", "", ("s3:GetObject", "arn:aws:s3:::bucket/a b")),
        ("GET", "/bucket", "list-type=2&prefix=x", ("s3:ListBucket", "arn:aws:s3:::bucket")),
        ("DELETE", "/bucket/a", "versionId=1", ("s3:DeleteObjectVersion", "arn:aws:s3:::bucket/a")),
        ("PUT", "/bucket", "policy", ("s3:PutBucketPolicy", "arn:aws:s3:::bucket")),
        ("GET", "/bucket", "uploads", ("s3:ListBucketMultipartUploads", "arn:aws:s3:::bucket")),
    ],
)
def test_s3_requests(method: str, path: str, query: str, expected: tuple[str, str]) -> None:
    environ = _environ("s3") | {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    call = parse(environ, b"")
    assert call is not None
    (found,) = checks(call, Account())
    assert (found.action, found.resource) == expected


def test_an_object_that_is_not_there_needs_the_list() -> None:
    environ = _environ("s3") | {"REQUEST_METHOD": "HEAD", "PATH_INFO": "/bucket/missing"}
    call = parse(environ, b"")
    assert call is not None
    assert [check.action for check in checks(call, Account())] == ["s3:GetObject", "s3:ListBucket"]


def test_objects_that_are_deleted_at_once() -> None:
    body = (
        '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a/b&amp;c</Key></Object>'
        "<Object><Key>d</Key></Object><Quiet>true</Quiet></Delete>"
    )
    environ = _environ("s3") | {"REQUEST_METHOD": "POST", "PATH_INFO": "/bucket", "QUERY_STRING": "delete"}
    call = parse(environ, body.encode())
    assert call is not None
    assert [(check.action, check.resource) for check in checks(call, Account())] == [
        ("s3:DeleteObject", "arn:aws:s3:::bucket/a/b&c"),
        ("s3:DeleteObject", "arn:aws:s3:::bucket/d"),
    ]


@pytest.mark.parametrize(
    ("action", "params", "service", "wanted"),
    [
        (
            "ec2:CreateVolume",
            {"SnapshotId": "snap-encrypted"},
            "ec2",
            {"Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"},
        ),
        ("ec2:AttachVolume", {"VolumeId": "vol-encrypted", "InstanceId": "i-1"}, "ec2", {"CreateGrant"}),
        ("s3:PutObject", {"bucket": "encrypted", "key": "a"}, "s3", {"GenerateDataKey", "Decrypt"}),
        ("s3:GetObject", {"bucket": "encrypted", "key": "a"}, "s3", {"Decrypt"}),
        ("sns:Publish", {"TopicArn": "encrypted"}, "sns", {"GenerateDataKey", "Decrypt"}),
        ("ec2:AttachVolume", {"VolumeId": "vol-1", "InstanceId": "i-1"}, "ec2", set()),
    ],
)
def test_keys(action: str, params: dict[str, str], service: str, wanted: set[str]) -> None:
    found = [check for check in _checks(action, **params) if check.action.startswith("kms:")]
    assert {check.action for check in found} == {f"kms:{name}" for name in wanted}
    assert all(check.context["kms:ViaService"] == f"{service}.us-east-1.amazonaws.com" for check in found)


def test_query_and_json_requests() -> None:
    query = parse(_environ("ec2"), urlencode({"Action": "DeleteVolume", "VolumeId": "vol-1"}).encode())
    assert query is not None
    assert (query.name, query.params["VolumeId"]) == ("ec2:DeleteVolume", "vol-1")
    target = _environ("ssm") | {"HTTP_X_AMZ_TARGET": "AmazonSSM.GetParameter"}
    body = parse(target, json.dumps({"Name": "/a"}).encode())
    assert body is not None
    assert (body.name, body.params) == ("ssm:GetParameter", {"Name": "/a"})


def test_an_unsigned_request_is_no_call() -> None:
    assert parse({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, b"") is None


def _environ(service: str) -> dict[str, str]:
    scope = f"AWS4-HMAC-SHA256 Credential=ASIAX/20260101/us-east-1/{service}/aws4_request, Signature=0"
    return {"HTTP_AUTHORIZATION": scope, "REQUEST_METHOD": "POST", "PATH_INFO": "/"}
