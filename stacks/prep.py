"""The Prep stack: the instance that downloads, packs and snapshots the data set, and its two volumes."""

from typing import Any, Final

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Size, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from prep import contract
from stacks import boot, policies
from stacks.acknowledge import acknowledge
from stacks.dataset import DatasetStack
from stacks.ebs import Volume
from stacks.instance import common_exports, make_role, root_disk, tag_role
from stacks.settings import PACKAGE, Dataset, Settings

APP: Final = "/opt/dataset-prep"

# Covers only the boot: two volumes, Python and its packages take about four minutes on a t2.large.
BOOT_TIMEOUT: Final = Duration.minutes(20)

# For the system, Python and its packages. The data is on other volumes.
ROOT_GIB: Final = 16


class PrepStack(Stack):
    """The prep instance, and two volumes that outlive it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        dataset: Dataset,
        base: DatasetStack,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self._settings = settings
        self._dataset = dataset
        self._base = base
        self._subnet = base.vpc.public_subnets[0]
        self.work_volume = self._make_volume("Work", settings.work_volume, "work")
        self.packed_volume = self._make_volume("Packed", settings.dataset_volume, "packed")
        self._package = assets.Asset(self, "Package", path=str(PACKAGE), exclude=["**/__pycache__"])
        self._description = (
            None if dataset.shipped else assets.Asset(self, "Description", path=str(dataset.path.resolve()))
        )
        self._secret = secretsmanager.Secret.from_secret_name_v2(
            self, "Credentials", settings.secret_name or f"{dataset.name}/credentials"
        )
        self._role = self._make_role()
        self.instance = self._make_instance()
        self._make_outputs()

    def _make_volume(self, construct_id: str, wish: Volume, role: str) -> ec2.Volume:
        volume = ec2.Volume(
            self,
            construct_id,
            availability_zone=self._subnet.availability_zone,
            size=Size.gibibytes(wish.gib),
            volume_type=ec2.EbsDeviceVolumeType(wish.type.upper()),
            iops=wish.iops,
            throughput=wish.throughput,
            encrypted=True,
            volume_name=f"{self._dataset.name}-{role}",
            # `cdk destroy` must not destroy a download of five days.
            removal_policy=RemovalPolicy.SNAPSHOT,
        )
        Tags.of(volume).add(contract.TAG_ROLE, role)
        return volume

    def _make_role(self) -> iam.Role:
        name = self._dataset.name
        work, packed = (
            self._ec2_arn("volume", each.volume_id) for each in (self.work_volume, self.packed_volume)
        )
        snapshot_of = packed if self._settings.snapshot_of == "packed" else work
        fetched = [
            asset.bucket.arn_for_objects(asset.s3_object_key)
            for asset in (self._package, self._description)
            if asset is not None
        ]
        arns = policies.arns(self, name)
        return make_role(
            self,
            f"What the prep instance of {name} may do",
            [
                *policies.prep_boot(arns.ec2, name, [work, packed], self.stack_id, fetched),
                *policies.prep_service(
                    arns.snapshots, name, snapshot_of, self._secret.secret_arn, arns.parameter
                ),
                *policies.backup(self._base.export_value(self._base.bucket.bucket_arn), name),
                *policies.s3_source(self.partition, self._settings.source),
            ],
        )

    def _ec2_arn(self, resource: str, resource_name: str) -> str:
        return self.format_arn(service="ec2", resource=resource, resource_name=resource_name)

    def _make_instance(self) -> ec2.Instance:
        instance_type = ec2.InstanceType(self._settings.prep_instance_type)
        instance = ec2.Instance(
            self,
            "Instance",
            instance_name=f"{self._dataset.name}-prep",
            vpc=self._base.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=[self._subnet]),
            security_group=self._base.security_group,
            instance_type=instance_type,
            # Packing keeps every core busy for hours, but with standard credits a t2.large gets 30 % of each.
            # Surplus credits cost $0.05 for each core and hour.
            credit_specification=ec2.CpuCredits.UNLIMITED if instance_type.is_burstable() else None,
            machine_image=ec2.MachineImage.latest_amazon_linux2023(
                kernel=ec2.AmazonLinux2023Kernel.KERNEL_6_1
            ),
            http_tokens=ec2.HttpTokens.REQUIRED,
            role=self._role,
            block_devices=[root_disk(ROOT_GIB)],
            user_data=boot.render("prep.sh", self._exports()),
            # A new package or setting needs a new instance, to which the volumes are then attached.
            user_data_causes_replacement=True,
            resource_signal_timeout=BOOT_TIMEOUT,
        )
        tag_role(instance, policies.ROLE_PREP)
        acknowledge(
            instance,
            {
                "AwsSolutions-EC28": "The log tells how far the work is; metrics by the minute only cost.",
                "AwsSolutions-EC29": "The instance may be replaced at any time: what counts is on volumes.",
            },
        )
        return instance

    def _exports(self) -> dict[str, str]:
        settings, package, description = self._settings, self._package, self._description
        snapshot_of = self.packed_volume if settings.snapshot_of == "packed" else self.work_volume
        exports = common_exports(self) | {
            "STACK_NAME": self.stack_name,
            "WORK_VOLUME": self.work_volume.volume_id,
            "WORK_MOUNT": contract.WORK_MOUNT,
            "WORK_LABEL": contract.WORK_LABEL,
            "PACKED_VOLUME": self.packed_volume.volume_id,
            "PACKED_MOUNT": contract.PACKED_MOUNT,
            "PACKED_LABEL": contract.PACKED_LABEL,
            "PACKAGE_URL": package.s3_object_url,
            "DESCRIPTION_URL": description.s3_object_url if description else "",
            "SERVICE": contract.SERVICE,
            "ENVIRONMENT_FILE": contract.ENVIRONMENT_FILE,
            contract.ENV_DATASET: f"{APP}/{self._dataset.name}.toml" if description else self._dataset.name,
            contract.ENV_ROOT: contract.WORK_MOUNT,
            contract.ENV_PACKED: contract.PACKED_MOUNT,
            contract.ENV_BUCKET: self._base.bucket.bucket_name,
            contract.ENV_SECRET: self._secret.secret_name,
            contract.ENV_VOLUME: snapshot_of.volume_id,
            contract.ENV_SNAPSHOT_OF: settings.snapshot_of,
            contract.ENV_RESIZE: str(settings.resize),
            contract.ENV_QUALITY: str(settings.quality),
        }
        if settings.source:
            exports[contract.ENV_SOURCE] = settings.source
        return exports

    def _make_outputs(self) -> None:
        CfnOutput(self, "InstanceId", value=self.instance.instance_id, description="The prep instance")
        CfnOutput(
            self,
            "WorkVolumeId",
            value=self.work_volume.volume_id,
            description="Archives and class folders, /data",
        )
        CfnOutput(
            self, "PackedVolumeId", value=self.packed_volume.volume_id, description="Packed files, /dataset"
        )
        CfnOutput(
            self,
            "SnapshotParameter",
            value=contract.snapshot_parameter(self._dataset.name),
            description="SSM parameter that will hold the id of the verified snapshot",
        )
