"""What a request to AWS asks for: the table of resources and condition keys, call by call.

A call that is not in the table is judged on resource "*", without condition keys. The rows follow the
Service Authorization Reference (https://docs.aws.amazon.com/service-authorization/latest/reference/).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from html import unescape
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from rehearsal.cloud.call import Call, ec2_arn, request_tags, tag_context
from rehearsal.cloud.judge import Check
from rehearsal.cloud.keys import Keys, key_checks
from rehearsal.cloud.launches import Launches, run_instances


class Account(Keys, Launches, Protocol):
    """What the table has to look up in the embedded AWS."""

    @property
    def account_id(self) -> str: ...

    def resource_context(self, resource_id: str) -> dict[str, str]:
        """Condition keys of an EC2 resource: its tags, its size and so on; empty if it is not there."""

    def secret_arn(self, name_or_arn: str) -> str: ...

    def stack_arn(self, name_or_arn: str) -> str: ...

    def volumes_at(self, instance_id: str, devices: list[str]) -> list[str]:
        """Ids of the volumes that an instance has at these device names."""

    def has_object(self, bucket: str, key: str) -> bool: ...


def parse(environ: Mapping[str, Any], body: bytes) -> Call | None:
    """The call in a WSGI request, or None if it is not a signed AWS request."""
    scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    if scope is None:
        return None
    region, service = scope[1], scope[2]
    if service == "s3":
        return _parse_s3(environ, region, body)
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return Call(service, target.rpartition(".")[2], region, json.loads(body or b"{}"))
    params = dict(parse_qsl(body.decode(), keep_blank_values=True))
    params |= dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    return Call(service, params.get("Action", ""), region, params)


def deletes_objects(environ: Mapping[str, Any]) -> bool:
    """Whether a request to S3 deletes the objects that its body names."""
    query = str(environ.get("QUERY_STRING", ""))
    return environ["REQUEST_METHOD"] == "POST" and query.startswith("delete")


def _parse_s3(environ: Mapping[str, Any], region: str, body: bytes) -> Call:
    """Path-style addressing: /bucket/key. What IAM asks for is named after the permission."""
    bucket, _, key = unquote(environ.get("PATH_INFO", "/")).lstrip("/").partition("/")
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    method = environ["REQUEST_METHOD"]
    if not key and deletes_objects(environ):
        keys = [unescape(key) for key in re.findall(r"<Key>(.*?)</Key>", body.decode(), re.DOTALL)]
        return Call("s3", "DeleteObject", region, {"bucket": bucket, "key": "", "keys": keys})
    if not key:
        kind = next((name for name in query if name in _S3_BUCKET_PARTS), "")
        action = _S3_BUCKET_PARTS.get(kind, {}).get(method) or _S3_BUCKET.get(method, "ListBucket")
    elif "uploadId" in query and method in ("GET", "DELETE"):
        action = "ListMultipartUploadParts" if method == "GET" else "AbortMultipartUpload"
    else:
        action = _S3_OBJECT.get(method, method)
        if "versionId" in query and method in ("GET", "HEAD", "DELETE"):
            action += "Version"
    return Call("s3", action, region, {"bucket": bucket, "key": key, **query})


# What is asked for or set of a bucket, by a word in the query.
_S3_BUCKET_PARTS = {
    "uploads": {"GET": "ListBucketMultipartUploads"},
    "location": {"GET": "GetBucketLocation"},
    "versions": {"GET": "ListBucketVersions"},
    "policy": {"GET": "GetBucketPolicy", "PUT": "PutBucketPolicy", "DELETE": "DeleteBucketPolicy"},
    "versioning": {"GET": "GetBucketVersioning", "PUT": "PutBucketVersioning"},
    "lifecycle": {"GET": "GetLifecycleConfiguration", "PUT": "PutLifecycleConfiguration"},
    "publicAccessBlock": {"PUT": "PutBucketPublicAccessBlock", "DELETE": "PutBucketPublicAccessBlock"},
}
_S3_BUCKET = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
# Every step of a multipart upload but its listing needs s3:PutObject.
_S3_OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject"}
_S3_OBJECT["DELETE"] = "DeleteObject"


def checks(call: Call, account: Account) -> list[Check]:
    """Every permission that the call needs, all of which must be allowed."""
    if call.name == "sts:GetCallerIdentity":  # needs none
        return []
    row = _s3 if call.service == "s3" else _TABLE.get(call.name)
    own = list(row(call, account)) if row else [Check(call.name)]
    return [*own, *key_checks(call.name, call.region, dict(call.params), account)]


Row = Callable[[Call, Account], Iterator[Check]]


def _s3(call: Call, account: Account) -> Iterator[Check]:
    bucket, key = call.params["bucket"], call.params["key"]
    arn = f"arn:aws:s3:::{bucket}"
    if "keys" in call.params:
        yield from (Check(call.name, f"{arn}/{each}") for each in call.params["keys"])
    elif key:
        yield Check(call.name, f"{arn}/{key}")
        # Who may not list the bucket gets "forbidden" for an object that is not there.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (Permissions)
        if call.name == "s3:GetObject" and not account.has_object(bucket, key):
            yield Check("s3:ListBucket", arn)
    else:
        yield Check(call.name, arn, {"s3:prefix": call.params["prefix"]} if "prefix" in call.params else {})


def _ec2(call: Call, account: Account, kind: str, resource_id: str, **more: str) -> Check:
    context = {**account.resource_context(resource_id), **more}
    return Check(call.name, ec2_arn(call, account.account_id, kind, resource_id), context)


def _new_resource(call: Call, account: Account, kind: str, context: Mapping[str, str]) -> Iterator[Check]:
    """The resource that a call makes, and the ec2:CreateTags that its tags need."""
    arn = ec2_arn(call, account.account_id, kind, "*")
    tags = request_tags(call, kind)
    given = tag_context(tags) if tags else {}
    yield Check(call.name, arn, {**context, **given})
    if tags:
        yield Check("ec2:CreateTags", arn, {**given, "ec2:CreateAction": call.action})


def _volume_context(call: Call) -> dict[str, str]:
    """Condition keys of the volume that a call makes."""
    return {
        key: str(call.params[name])
        for key, name in (
            ("ec2:VolumeSize", "Size"),
            ("ec2:VolumeType", "VolumeType"),
            ("ec2:VolumeIops", "Iops"),
            ("ec2:VolumeThroughput", "Throughput"),
            ("ec2:AvailabilityZone", "AvailabilityZone"),
            ("ec2:Encrypted", "Encrypted"),
        )
        if name in call.params
    }


def _copy_volumes(call: Call, account: Account) -> Iterator[Check]:
    """Source and copy, as AWS's policy AmazonEBSCSIDriverPolicyV2 grants them."""
    source = call.params["SourceVolumeId"]
    yield _ec2(call, account, "volume", source)
    parent = {"ec2:ParentVolume": ec2_arn(call, account.account_id, "volume", source)}
    yield from _new_resource(call, account, "volume", _volume_context(call) | parent)


def _create_volume(call: Call, account: Account) -> Iterator[Check]:
    context = _volume_context(call)
    snapshot = call.params.get("SnapshotId")
    if snapshot:
        context["ec2:ParentSnapshot"] = ec2_arn(call, account.account_id, "snapshot", snapshot)
        yield _ec2(call, account, "snapshot", snapshot)
    yield from _new_resource(call, account, "volume", context)


def _create_snapshot(call: Call, account: Account) -> Iterator[Check]:
    volume = call.params["VolumeId"]
    yield _ec2(call, account, "volume", volume)
    parent = {"ec2:ParentVolume": ec2_arn(call, account.account_id, "volume", volume)}
    yield from _new_resource(call, account, "snapshot", parent)


def _volume_and_instance(call: Call, account: Account) -> Iterator[Check]:
    yield _ec2(call, account, "volume", call.params["VolumeId"])
    instance = call.params.get("InstanceId")
    if instance is None:  # DetachVolume may leave it out
        instance = account.resource_context(call.params["VolumeId"]).get("attached-to")
    if instance:
        yield _ec2(call, account, "instance", instance)


def _volume(call: Call, account: Account) -> Iterator[Check]:
    yield _ec2(call, account, "volume", call.params["VolumeId"])


def _snapshot(call: Call, account: Account) -> Iterator[Check]:
    yield _ec2(call, account, "snapshot", call.params["SnapshotId"])


def _instances(call: Call, account: Account) -> Iterator[Check]:
    for key, value in call.params.items():
        if re.fullmatch(r"InstanceId\.\d+", key):
            yield _ec2(call, account, "instance", str(value))


def _modify_instance(call: Call, account: Account) -> Iterator[Check]:
    instance = call.params["InstanceId"]
    # Either as Attribute=disableApiTermination or as DisableApiTermination.Value.
    names = [key.partition(".")[0] for key in call.params if "." in key]
    attribute = str(call.params.get("Attribute") or "".join(names[:1]))
    yield _ec2(call, account, "instance", instance, **{"ec2:Attribute": attribute})
    devices = [str(value) for key, value in call.params.items() if key.endswith(".DeviceName")]
    for volume in account.volumes_at(instance, devices):
        yield _ec2(call, account, "volume", volume)


_KINDS = {"i": "instance", "vol": "volume", "snap": "snapshot", "lt": "launch-template"}


def _tags(call: Call, account: Account) -> Iterator[Check]:
    tags = {
        str(value): str(call.params.get(key.removesuffix("Key") + "Value", ""))
        for key, value in call.params.items()
        if re.fullmatch(r"Tag\.\d+\.Key", key)
    }
    for key, value in call.params.items():
        if re.fullmatch(r"ResourceId\.\d+", key):
            kind = _KINDS.get(str(value).partition("-")[0], "*")
            found = _ec2(call, account, kind, str(value))
            yield Check(found.action, found.resource, {**found.context, **tag_context(tags)})


def _topic(call: Call, account: Account) -> Iterator[Check]:  # noqa: ARG001 (every row has this shape)
    yield Check(call.name, str(call.params.get("TopicArn") or call.params.get("TargetArn", "*")))


def _key(call: Call, account: Account) -> Iterator[Check]:  # noqa: ARG001 (every row has this shape)
    yield Check(call.name, str(call.params.get("KeyId", "*")))


def _log_group(call: Call, account: Account) -> Iterator[Check]:
    name = call.params.get("logGroupName", "*")
    arn = f"arn:aws:logs:{call.region}:{account.account_id}:log-group:{name}"
    stream = call.params.get("logStreamName")
    yield Check(call.name, f"{arn}:log-stream:{stream}" if stream else arn)


def _parameter_arn(call: Call, account: Account, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:ssm:{call.region}:{account.account_id}:parameter/{name.lstrip('/')}"


def _parameter(call: Call, account: Account) -> Iterator[Check]:
    names = call.params.get("Names", [call.params.get("Name", call.params.get("Path", "*"))])
    for name in names:
        yield Check(call.name, _parameter_arn(call, account, name))


def _secret(call: Call, account: Account) -> Iterator[Check]:
    yield Check(call.name, account.secret_arn(call.params["SecretId"]))


def _stack(call: Call, account: Account) -> Iterator[Check]:
    yield Check(call.name, account.stack_arn(call.params.get("StackName", "*")))


def _role(call: Call, account: Account) -> Iterator[Check]:  # noqa: ARG001 (every row has this shape)
    yield Check(call.name, call.params["RoleArn"])


_TABLE: dict[str, Row] = {
    "ec2:AttachVolume": _volume_and_instance,
    "ec2:CopyVolumes": _copy_volumes,
    "ec2:CreateSnapshot": _create_snapshot,
    "ec2:CreateTags": _tags,
    "ec2:CreateVolume": _create_volume,
    "ec2:DeleteSnapshot": _snapshot,
    "ec2:DeleteTags": _tags,
    "ec2:DeleteVolume": _volume,
    "ec2:DetachVolume": _volume_and_instance,
    "ec2:ModifyInstanceAttribute": _modify_instance,
    "ec2:ModifySnapshotAttribute": _snapshot,
    "ec2:ModifyVolume": _volume,
    "ec2:RebootInstances": _instances,
    "ec2:RunInstances": run_instances,
    "ec2:StartInstances": _instances,
    "ec2:StopInstances": _instances,
    "ec2:TerminateInstances": _instances,
    "kms:CreateGrant": _key,
    "kms:Decrypt": _key,
    "kms:DescribeKey": _key,
    "kms:GenerateDataKey": _key,
    "kms:GenerateDataKeyWithoutPlaintext": _key,
    "kms:ScheduleKeyDeletion": _key,
    "logs:CreateLogGroup": _log_group,
    "logs:CreateLogStream": _log_group,
    "logs:DeleteLogGroup": _log_group,
    "logs:PutLogEvents": _log_group,
    "sns:Publish": _topic,
    "sns:Subscribe": _topic,
    "ssm:DeleteParameter": _parameter,
    "ssm:GetParameter": _parameter,
    "ssm:GetParameters": _parameter,
    "ssm:GetParametersByPath": _parameter,
    "ssm:PutParameter": _parameter,
    "secretsmanager:DeleteSecret": _secret,
    "secretsmanager:DescribeSecret": _secret,
    "secretsmanager:GetSecretValue": _secret,
    "secretsmanager:PutSecretValue": _secret,
    "cloudformation:DescribeStackEvents": _stack,
    "cloudformation:DescribeStackResource": _stack,
    "cloudformation:DescribeStackResources": _stack,
    "cloudformation:DescribeStacks": _stack,
    "cloudformation:DeleteStack": _stack,
    "cloudformation:SignalResource": _stack,
    "cloudformation:UpdateStack": _stack,
    "sts:AssumeRole": _role,
}
