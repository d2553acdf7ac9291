"""The Dataset stack: the resources that outlive instances: bucket, network, and a key if there is one."""

from typing import Any, Final

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from prep import contract
from stacks.acknowledge import acknowledge
from stacks.settings import Dataset, Settings

# A complete run may take five days. An interrupted upload must still exist when the run continues it.
ABORT_UPLOADS_AFTER: Final = Duration.days(14)
# An object that the prep instance overwrites by mistake can be restored for a month.
KEEP_REPLACED_FOR: Final = Duration.days(30)
# The run writes its status every 15 seconds. Of two rules the shorter counts.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html
KEEP_STATUS_FOR: Final = Duration.days(1)
# What a cluster deletes when all is packed is as large as the data set, and could be made again.
KEEP_SHUFFLED_FOR: Final = Duration.days(1)
SPOT_ACTIONS: Final = (
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
)


class DatasetStack(Stack):
    """The bucket, the VPC, a security group that allows no inbound traffic, and the key if there is one.

    `key` is None where EBS and S3 use their default keys.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        dataset: Dataset,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.key = self._find_key(settings.key)
        self.bucket = self._make_bucket(dataset.name)
        self.vpc = self._make_vpc()
        self.security_group = self._make_security_group()
        self._make_outputs()

    def _find_key(self, wish: str | None) -> kms.IKey | None:
        if wish is None:
            return None
        if wish != "new":
            return kms.Key.from_key_arn(self, "Key", wish)
        key = kms.Key(
            self,
            "Key",
            description=f"Volumes, snapshots, backup and notices of {self.stack_name}",
            enable_key_rotation=True,
            # Without the key, the snapshots and the backup that remain could not be read any more.
            removal_policy=RemovalPolicy.RETAIN,
        )
        key.add_to_resource_policy(self._allow_spot())
        return key

    def _allow_spot(self) -> iam.PolicyStatement:
        """Lets EC2 launch Spot Instances, whose root disk has the key.

        EC2 does that in its service-linked role, which can't be the principal, since it may not exist yet.
        The actions are those of the grant in
        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/service-linked-roles-spot-instance-requests.html
        """
        role = "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
        return iam.PolicyStatement(
            sid="SpotInstances",
            principals=[iam.AnyPrincipal()],
            actions=[f"kms:{action}" for action in SPOT_ACTIONS],
            resources=["*"],
            conditions={
                "StringEquals": {
                    "aws:PrincipalArn": f"arn:{self.partition}:iam::{self.account}:{role}",
                    "kms:CallerAccount": self.account,
                    "kms:ViaService": f"ec2.{self.region}.amazonaws.com",
                }
            },
        )

    def _make_bucket(self, dataset: str) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Backup",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.KMS if self.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self.key,
            # One data key for many objects: otherwise each part of an upload would be a paid call to KMS.
            bucket_key_enabled=True if self.key else None,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            # The prep instance may overwrite objects. With versions, it can't destroy a backup.
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=ABORT_UPLOADS_AFTER,
                    noncurrent_version_expiration=KEEP_REPLACED_FOR,
                ),
                s3.LifecycleRule(
                    prefix=contract.status_key(dataset), noncurrent_version_expiration=KEEP_STATUS_FOR
                ),
                s3.LifecycleRule(
                    prefix=contract.shuffle_prefix(dataset),
                    noncurrent_version_expiration=KEEP_SHUFFLED_FOR,
                    # A deleted object leaves a marker, which nothing else removes.
                    expired_object_delete_marker=True,
                ),
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(
            bucket,
            {
                "AwsSolutions-S1": "One instance writes here, by one role; access logs would tell nothing "
                "more, and CloudTrail's data events can be turned on where an audit needs them."
            },
        )
        return bucket

    def _make_vpc(self) -> ec2.Vpc:
        vpc = ec2.Vpc(
            self,
            "Network",
            # All zones: a GPU instance type is often available in only one of them.
            max_azs=16,
            # Public subnets, no NAT: 300 GB through a NAT gateway would cost more than the instance.
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=20)
            ],
            # With the endpoint, the backup goes to S3 inside AWS's network, free of charge.
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)
            },
            # Removing the rules of the default group takes a Lambda function, and no instance uses the group.
            restrict_default_security_group=False,
        )
        acknowledge(
            vpc,
            {
                "AwsSolutions-VPC7": "Nothing can connect to these instances, and what they connect to is "
                "known; flow logs of hundreds of GB of downloads would only cost."
            },
        )
        return vpc

    def _make_security_group(self) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self,
            "NoInbound",
            vpc=self.vpc,
            description="Out to anywhere, in from nowhere: a shell comes through Session Manager",
        )

    def _make_outputs(self) -> None:
        CfnOutput(
            self,
            "BucketName",
            value=self.bucket.bucket_name,
            description="Backup of archives and packed files",
        )
        CfnOutput(
            self,
            "SubnetIds",
            value=",".join(subnet.subnet_id for subnet in self.vpc.public_subnets),
            description="A public subnet in every zone, to launch instances in",
        )
        if self.key:
            CfnOutput(
                self,
                "KeyArn",
                value=self.key.key_arn,
                description="Key of volumes, snapshots and backup",
            )
        CfnOutput(
            self,
            "SecurityGroupId",
            value=self.security_group.security_group_id,
            description="Security group of all instances; no inbound rule",
        )
