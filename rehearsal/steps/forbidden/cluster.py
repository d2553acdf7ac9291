"""What the roles of the cluster's head and of its workers must not be able to do."""

from rehearsal.steps.forbidden.scene import ALLOW_ALL, Forbidden

# Of both.
MACHINE = [
    Forbidden(
        "secretsmanager",
        "get_secret_value",
        "the site's secret",
        lambda s: {"SecretId": f"{s.dataset}/credentials"},
    ),
    Forbidden(
        "secretsmanager", "get_secret_value", "another secret", lambda s: {"SecretId": s.foreign_secret}
    ),
    Forbidden(
        "secretsmanager",
        "put_secret_value",
        "Ray's token",
        lambda s: {"SecretId": s.cluster.token, "SecretString": "x"},
    ),
    Forbidden("secretsmanager", "delete_secret", "Ray's token", lambda s: {"SecretId": s.cluster.token}),
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
        "s3",
        "put_object",
        "an archive in the backup",
        lambda s: {"Bucket": s.bucket, "Key": f"{s.dataset}/archives/a.tar", "Body": b""},
    ),
    Forbidden(
        "s3",
        "delete_object",
        "an archive in the backup",
        lambda s: {"Bucket": s.bucket, "Key": f"{s.dataset}/archives/a.tar"},
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
        "a receipt in the backup",
        lambda s: {"Bucket": s.bucket, "Key": f"{s.dataset}/receipts/run.json", "Body": b""},
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
    Forbidden("s3", "delete_bucket", "the data set's bucket", lambda s: {"Bucket": s.bucket}),
    Forbidden(
        "s3",
        "put_bucket_policy",
        "the data set's bucket",
        lambda s: {"Bucket": s.bucket, "Policy": ALLOW_ALL},
    ),
    Forbidden(
        "ec2", "run_instances", "the head's launch template", lambda s: s.launch(s.cluster.head_template)
    ),
    Forbidden(
        "ec2",
        "run_instances",
        "a new instance, without a launch template",
        lambda s: {"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1},  # noqa: ARG005
    ),
    Forbidden(
        "ec2",
        "create_launch_template_version",
        "the workers' launch template, with other user data",
        lambda s: {
            "LaunchTemplateId": s.cluster.workers_template,
            "LaunchTemplateData": {"UserData": "IyEvYmluL3NoCg=="},
        },
    ),
    Forbidden("ec2", "terminate_instances", "the prep instance", lambda s: {"InstanceIds": [s.prep]}),
    Forbidden("ec2", "terminate_instances", "a training instance", lambda s: {"InstanceIds": [s.training]}),
    Forbidden("ec2", "terminate_instances", "the head", lambda s: {"InstanceIds": [s.cluster.head]}),
    Forbidden("ec2", "stop_instances", "a worker", lambda s: {"InstanceIds": [s.cluster.worker]}),
    Forbidden(
        "ec2",
        "modify_instance_attribute",
        "a worker's user data",
        lambda s: {"InstanceId": s.cluster.worker, "UserData": {"Value": b"#!/bin/sh"}},
    ),
    Forbidden(
        "ec2",
        "create_tags",
        "the prep instance, which would then be a worker",
        lambda s: {"Resources": [s.prep], "Tags": [{"Key": "dataset-role", "Value": "cluster-worker"}]},
    ),
    Forbidden(
        "ec2",
        "attach_volume",
        "the prep instance's volume, to a worker",
        lambda s: {"VolumeId": s.work, "InstanceId": s.cluster.worker, "Device": "/dev/sdz"},
    ),
    Forbidden("ec2", "create_snapshot", "the prep instance's volume", lambda s: {"VolumeId": s.packed}),
    Forbidden("ec2", "delete_snapshot", "the data set's snapshot", lambda s: {"SnapshotId": s.snapshot}),
    Forbidden(
        "iam",
        "put_role_policy",
        "the workers' role",
        lambda s: {"RoleName": s.cluster.worker_role, "PolicyName": "more", "PolicyDocument": ALLOW_ALL},
    ),
    Forbidden(
        "sts",
        "assume_role",
        "the prep instance's role",
        lambda s: {"RoleArn": s.role_arn(s.prep_role), "RoleSessionName": "trial"},
    ),
    Forbidden(
        "kms",
        "generate_data_key",
        "the snapshot's key, not through a service",
        lambda s: {"KeyId": s.key, "KeySpec": "AES_256"},
    ),
    Forbidden("sns", "publish", "another topic", lambda s: {"TopicArn": s.topic("other"), "Message": "x"}),
    Forbidden("logs", "delete_log_group", "a log group", lambda s: {"logGroupName": f"/{s.dataset}/cluster"}),
    Forbidden(
        "cloudformation", "delete_stack", "its own stack", lambda s: {"StackName": f"{s.dataset}-cluster"}
    ),
]

HEAD = [
    *MACHINE,
    Forbidden(
        "ec2",
        "run_instances",
        "the training instances' launch template",
        lambda s: s.launch(s.cluster.training_template),
    ),
    Forbidden(
        "ec2",
        "run_instances",
        "a worker of another type",
        lambda s: s.launch(InstanceType="p4d.24xlarge"),
    ),
    Forbidden("ec2", "run_instances", "a worker with another image", lambda s: s.launch(ImageId="ami-1")),
    Forbidden(
        "ec2",
        "run_instances",
        "a worker in a subnet of another network",
        lambda s: s.launch(SubnetId=s.cluster.foreign_subnet),
    ),
    Forbidden(
        "ec2",
        "run_instances",
        "a worker in another security group",
        lambda s: s.launch(SecurityGroupIds=[s.cluster.foreign_group]),
    ),
    Forbidden(
        "ec2",
        "run_instances",
        "a worker to which it passes the prep instance's role",
        lambda s: s.launch(IamInstanceProfile={"Name": s.cluster.prep_profile}),
    ),
    Forbidden(
        "ec2",
        "run_instances",
        "a worker with another data set's tag",
        lambda s: s.launch(
            TagSpecifications=[
                *s.tags("instance", dataset="other", dataset_role="cluster-worker"),
                *s.tags("volume", dataset="other", dataset_role="cluster-worker"),
            ]
        ),
    ),
    Forbidden(
        "ec2",
        "run_instances",
        "an instance with the tag of a prep instance",
        lambda s: s.launch(TagSpecifications=s.tags("instance", dataset=s.dataset, dataset_role="prep")),
    ),
]

WORKER = [
    *MACHINE,
    Forbidden("ec2", "run_instances", "the workers' launch template", lambda s: s.launch()),
    Forbidden("ec2", "terminate_instances", "a worker", lambda s: {"InstanceIds": [s.cluster.worker]}),
    Forbidden(
        "sts",
        "assume_role",
        "the head's role",
        lambda s: {"RoleArn": s.role_arn(s.cluster.head_role), "RoleSessionName": "trial"},
    ),
    Forbidden(
        "sns",
        "publish",
        "the cluster's topic",
        lambda s: {"TopicArn": s.cluster.topic, "Message": "x"},
    ),
]
