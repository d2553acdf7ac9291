"""What the role of the prep instance must not be able to do."""

from rehearsal.steps.forbidden.scene import ALLOW_ALL, OTHER_ACCOUNT, Forbidden

PREP = [
    Forbidden(
        "secretsmanager", "get_secret_value", "another secret", lambda s: {"SecretId": s.foreign_secret}
    ),
    Forbidden(
        "secretsmanager",
        "put_secret_value",
        "its own secret",
        lambda s: {"SecretId": f"{s.dataset}/credentials", "SecretString": "x"},
    ),
    Forbidden(
        "secretsmanager",
        "delete_secret",
        "its own secret",
        lambda s: {"SecretId": f"{s.dataset}/credentials"},
    ),
    Forbidden("ssm", "get_parameter", "another parameter", lambda s: {"Name": s.foreign_parameter}),
    Forbidden(
        "ssm",
        "put_parameter",
        "another data set's snapshot parameter",
        lambda s: {"Name": s.foreign_parameter, "Value": "snap-0", "Type": "String", "Overwrite": True},
    ),
    Forbidden(
        "ssm",
        "delete_parameter",
        "its own snapshot parameter",
        lambda s: {"Name": f"/{s.dataset}/snapshot-id"},
    ),
    Forbidden(
        "s3",
        "delete_object",
        "a packed file in the backup",
        lambda s: {"Bucket": s.bucket, "Key": f"{s.dataset}/packed/train.rec"},
    ),
    Forbidden(
        "s3",
        "delete_object",
        "a version of a packed file in the backup",
        lambda s: {"Bucket": s.bucket, "Key": f"{s.dataset}/packed/train.rec", "VersionId": "null"},
    ),
    Forbidden(
        "s3",
        "put_object",
        "another data set's folder in the bucket",
        lambda s: {"Bucket": s.bucket, "Key": "other/packed/train.rec", "Body": b""},
    ),
    Forbidden(
        "s3", "get_object", "an object of another bucket", lambda s: {"Bucket": s.foreign_bucket, "Key": "a"}
    ),
    Forbidden("s3", "list_objects_v2", "another bucket", lambda s: {"Bucket": s.foreign_bucket}),
    Forbidden("s3", "delete_bucket", "its own bucket", lambda s: {"Bucket": s.bucket}),
    Forbidden(
        "s3",
        "put_bucket_policy",
        "its own bucket",
        lambda s: {"Bucket": s.bucket, "Policy": ALLOW_ALL},
    ),
    Forbidden(
        "s3",
        "put_bucket_versioning",
        "its own bucket",
        lambda s: {"Bucket": s.bucket, "VersioningConfiguration": {"Status": "Suspended"}},
    ),
    Forbidden(
        "ec2",
        "attach_volume",
        "somebody else's volume, to itself",
        lambda s: {"VolumeId": s.foreign_volume, "InstanceId": s.prep, "Device": "/dev/sdz"},
    ),
    Forbidden(
        "ec2",
        "attach_volume",
        "its own volume, to another instance",
        lambda s: {"VolumeId": s.work, "InstanceId": s.training, "Device": "/dev/sdz"},
    ),
    Forbidden("ec2", "detach_volume", "its own volume", lambda s: {"VolumeId": s.work, "InstanceId": s.prep}),
    Forbidden("ec2", "delete_volume", "its own volume", lambda s: {"VolumeId": s.work}),
    Forbidden("ec2", "modify_volume", "its own volume", lambda s: {"VolumeId": s.packed, "Size": 400}),
    Forbidden(
        "ec2",
        "create_snapshot",
        "somebody else's volume",
        lambda s: {
            "VolumeId": s.foreign_volume,
            "TagSpecifications": s.tags("snapshot", dataset=s.dataset),
        },
    ),
    Forbidden(
        "ec2",
        "create_snapshot",
        "its own volume, with another data set's tag",
        lambda s: {"VolumeId": s.packed, "TagSpecifications": s.tags("snapshot", dataset="other")},
    ),
    Forbidden(
        "ec2",
        "create_snapshot",
        "its other volume, of which no snapshot is taken",
        lambda s: {"VolumeId": s.work, "TagSpecifications": s.tags("snapshot", dataset=s.dataset)},
    ),
    Forbidden(
        "ec2",
        "create_tags",
        "somebody else's snapshot",
        lambda s: {
            "Resources": [s.foreign_snapshot],
            "Tags": [{"Key": "dataset", "Value": s.dataset}],
        },
    ),
    Forbidden("ec2", "delete_snapshot", "its own snapshot", lambda s: {"SnapshotId": s.snapshot}),
    Forbidden(
        "ec2",
        "modify_snapshot_attribute",
        "its own snapshot: shares it with another account",
        lambda s: {
            "SnapshotId": s.snapshot,
            "Attribute": "createVolumePermission",
            "OperationType": "add",
            "UserIds": [OTHER_ACCOUNT],
        },
    ),
    Forbidden(
        "ec2",
        "create_volume",
        "a new volume",
        lambda s: {"AvailabilityZone": f"{s.region}a", "Size": 1},
    ),
    Forbidden(
        "ec2",
        "run_instances",
        "a new instance",
        lambda s: {"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1},  # noqa: ARG005
    ),
    Forbidden("ec2", "stop_instances", "a training instance", lambda s: {"InstanceIds": [s.training]}),
    Forbidden("ec2", "terminate_instances", "itself", lambda s: {"InstanceIds": [s.prep]}),
    Forbidden(
        "ec2",
        "modify_instance_attribute",
        "its own user data",
        lambda s: {"InstanceId": s.prep, "UserData": {"Value": b"#!/bin/sh"}},
    ),
    Forbidden(
        "ec2",
        "associate_iam_instance_profile",
        "a training instance: passes it its own role",
        lambda s: {"InstanceId": s.training, "IamInstanceProfile": {"Name": s.prep_role}},
    ),
    Forbidden(
        "iam",
        "put_role_policy",
        "its own role",
        lambda s: {"RoleName": s.prep_role, "PolicyName": "more", "PolicyDocument": ALLOW_ALL},
    ),
    Forbidden(
        "sts",
        "assume_role",
        "the training instances' role",
        lambda s: {"RoleArn": s.role_arn(s.training_role), "RoleSessionName": "trial"},
    ),
    Forbidden(
        "cloudformation",
        "signal_resource",
        "another stack",
        lambda s: {
            "StackName": f"{s.dataset}-training",
            "LogicalResourceId": "X",
            "UniqueId": "1",
            "Status": "SUCCESS",
        },
    ),
    Forbidden(
        "cloudformation", "delete_stack", "its own stack", lambda s: {"StackName": f"{s.dataset}-prep"}
    ),
    Forbidden(
        "kms",
        "generate_data_key",
        "the snapshot's key, not through S3 or SNS",
        lambda s: {"KeyId": s.key, "KeySpec": "AES_256"},
    ),
    Forbidden(
        "kms",
        "schedule_key_deletion",
        "the snapshot's key",
        lambda s: {"KeyId": s.key},
    ),
    Forbidden("sns", "publish", "another topic", lambda s: {"TopicArn": s.topic("other"), "Message": "x"}),
    Forbidden(
        "sns",
        "subscribe",
        "the data set's topic",
        lambda s: {
            "TopicArn": s.topic(f"{s.dataset}-prep"),
            "Protocol": "email",
            "Endpoint": "x@example.org",
        },
    ),
    Forbidden("logs", "delete_log_group", "a log group", lambda s: {"logGroupName": f"/{s.dataset}/prep"}),
]
