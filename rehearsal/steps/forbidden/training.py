"""What the role of training instances must not be able to do."""

from rehearsal.steps.forbidden.scene import ALLOW_ALL, Forbidden

TRAINING = [
    Forbidden("ssm", "get_parameter", "another parameter", lambda s: {"Name": s.foreign_parameter}),
    Forbidden(
        "ssm",
        "put_parameter",
        "the data set's snapshot parameter",
        lambda s: {
            "Name": f"/{s.dataset}/snapshot-id",
            "Value": s.foreign_snapshot,
            "Type": "String",
            "Overwrite": True,
        },
    ),
    Forbidden(
        "secretsmanager",
        "get_secret_value",
        "the site's secret",
        lambda s: {"SecretId": f"{s.dataset}/credentials"},
    ),
    Forbidden(
        "s3",
        "get_object",
        "a packed file in the backup",
        lambda s: {"Bucket": s.bucket, "Key": f"{s.dataset}/packed/train.rec"},
    ),
    Forbidden("s3", "list_objects_v2", "the backup's bucket", lambda s: {"Bucket": s.bucket}),
    Forbidden(
        "ec2",
        "create_volume",
        "somebody else's snapshot",
        lambda s: {
            "AvailabilityZone": f"{s.region}a",
            "SnapshotId": s.foreign_snapshot,
            "TagSpecifications": s.restored_tags(s.training),
        },
    ),
    Forbidden(
        "ec2",
        "create_volume",
        "the data set's snapshot, without tags",
        lambda s: {"AvailabilityZone": f"{s.region}a", "SnapshotId": s.snapshot},
    ),
    Forbidden(
        "ec2",
        "create_volume",
        "the data set's snapshot, with another instance's tag",
        lambda s: {
            "AvailabilityZone": f"{s.region}a",
            "SnapshotId": s.snapshot,
            "TagSpecifications": s.restored_tags(s.neighbour),
        },
    ),
    Forbidden(
        "ec2",
        "create_volume",
        "the data set's snapshot, with another data set's tag",
        lambda s: {
            "AvailabilityZone": f"{s.region}a",
            "SnapshotId": s.snapshot,
            "TagSpecifications": s.restored_tags(s.training, dataset="other"),
        },
    ),
    Forbidden(
        "ec2",
        "copy_volumes",
        "somebody else's volume",
        lambda s: {
            "SourceVolumeId": s.foreign_volume,
            "TagSpecifications": s.restored_tags(s.training),
        },
    ),
    Forbidden(
        "ec2",
        "copy_volumes",
        "the prep instance's volume",
        lambda s: {"SourceVolumeId": s.packed, "TagSpecifications": s.restored_tags(s.training)},
    ),
    Forbidden(
        "ec2",
        "attach_volume",
        "another instance's volume, to itself",
        lambda s: {"VolumeId": s.neighbours, "InstanceId": s.training, "Device": "/dev/sdz"},
    ),
    Forbidden(
        "ec2",
        "attach_volume",
        "its own volume, to another instance",
        lambda s: {"VolumeId": s.restored, "InstanceId": s.neighbour, "Device": "/dev/sdz"},
    ),
    Forbidden(
        "ec2",
        "attach_volume",
        "the prep instance's volume, to itself",
        lambda s: {"VolumeId": s.packed, "InstanceId": s.training, "Device": "/dev/sdz"},
    ),
    Forbidden(
        "ec2",
        "detach_volume",
        "another instance's volume",
        lambda s: {"VolumeId": s.neighbours, "InstanceId": s.neighbour},
    ),
    Forbidden("ec2", "delete_volume", "another instance's volume", lambda s: {"VolumeId": s.neighbours}),
    Forbidden("ec2", "delete_volume", "the prep instance's volume", lambda s: {"VolumeId": s.work}),
    Forbidden("ec2", "delete_volume", "somebody else's volume", lambda s: {"VolumeId": s.foreign_volume}),
    Forbidden("ec2", "modify_volume", "its own volume", lambda s: {"VolumeId": s.restored, "Size": 400}),
    Forbidden(
        "ec2",
        "modify_instance_attribute",
        "another training instance",
        lambda s: {"InstanceId": s.neighbour, "InstanceInitiatedShutdownBehavior": {"Value": "stop"}},
    ),
    Forbidden(
        "ec2",
        "modify_instance_attribute",
        "the prep instance",
        lambda s: {"InstanceId": s.prep, "InstanceInitiatedShutdownBehavior": {"Value": "stop"}},
    ),
    Forbidden(
        "ec2",
        "modify_instance_attribute",
        "its own user data",
        lambda s: {"InstanceId": s.training, "UserData": {"Value": b"#!/bin/sh"}},
    ),
    Forbidden(
        "ec2",
        "create_tags",
        "another training instance",
        lambda s: {"Resources": [s.neighbour], "Tags": [{"Key": "dataset-state", "Value": "failed"}]},
    ),
    Forbidden(
        "ec2",
        "create_tags",
        "itself, with another tag than dataset-state",
        lambda s: {"Resources": [s.training], "Tags": [{"Key": "dataset-role", "Value": "prep"}]},
    ),
    Forbidden(
        "ec2",
        "create_tags",
        "another instance's volume",
        lambda s: {
            "Resources": [s.neighbours],
            "Tags": [{"Key": "dataset-instance", "Value": s.training}],
        },
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
    Forbidden("ec2", "create_snapshot", "its own volume", lambda s: {"VolumeId": s.restored}),
    Forbidden("ec2", "delete_snapshot", "the data set's snapshot", lambda s: {"SnapshotId": s.snapshot}),
    Forbidden(
        "ec2",
        "modify_snapshot_attribute",
        "the data set's snapshot: makes it public",
        lambda s: {
            "SnapshotId": s.snapshot,
            "Attribute": "createVolumePermission",
            "OperationType": "add",
            "GroupNames": ["all"],
        },
    ),
    Forbidden(
        "ec2",
        "run_instances",
        "a new instance",
        lambda s: {"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1},  # noqa: ARG005
    ),
    Forbidden("ec2", "stop_instances", "another training instance", lambda s: {"InstanceIds": [s.neighbour]}),
    Forbidden("ec2", "terminate_instances", "the prep instance", lambda s: {"InstanceIds": [s.prep]}),
    Forbidden(
        "iam",
        "put_role_policy",
        "its own role",
        lambda s: {"RoleName": s.training_role, "PolicyName": "more", "PolicyDocument": ALLOW_ALL},
    ),
    Forbidden(
        "sts",
        "assume_role",
        "the prep instance's role",
        lambda s: {"RoleArn": s.role_arn(s.prep_role), "RoleSessionName": "trial"},
    ),
    Forbidden(
        "kms",
        "generate_data_key_without_plaintext",
        "the snapshot's key, not through EC2",
        lambda s: {"KeyId": s.key, "KeySpec": "AES_256"},
    ),
    Forbidden(
        "kms",
        "create_grant",
        "the snapshot's key, for itself",
        lambda s: {
            "KeyId": s.key,
            "GranteePrincipal": s.role_arn(s.training_role),
            "Operations": ["Decrypt"],
        },
    ),
    Forbidden(
        "cloudformation",
        "delete_stack",
        "the stack with the bucket and the network",
        lambda s: {"StackName": f"{s.dataset}-dataset"},
    ),
]
