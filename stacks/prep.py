"""The Prep stack: the instance that downloads, packs and snapshots the data set, and its two volumes."""

from typing import Any, Final

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Size, Stack, Tags, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from prep import contract
from prep.ebs import Volume
from stacks import boot, policies
from stacks import instance as machines
from stacks.acknowledge import acknowledge
from stacks.dataset import DatasetStack
from stacks.instance import common_exports, make_role, root_disk, tag_role
from stacks.settings import Dataset, Settings, SettingsError

# Covers only the boot: two volumes, Python and its packages take about four minutes on a t2.large.
BOOT_TIMEOUT: Final = Duration.minutes(20)

# The zone that CDK gives before it has looked up the real ones; it then builds the stacks again.
UNKNOWN_YET: Final = "dummy1a"

# Only where the zones are known at synthesis is there a finding.
ONE_ZONE: Final = {
    "CloudFormation-Validate::W3010": "The zone is one that the account has, and volumes can't leave theirs."
}


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
        self._subnet = self._choose_subnet()
        self.work_volume = self._make_volume("Work", settings.work_volume, "work", settings.work_snapshot)
        self.packed_volume = self._make_volume(
            "Packed", settings.dataset_volume, "packed", settings.dataset_snapshot
        )
        self._package = machines.make_package(self)
        self._description = machines.make_description(self, dataset)
        self._secret = secretsmanager.Secret.from_secret_name_v2(
            self, "Credentials", settings.secret_name or f"{dataset.own_name}/credentials"
        )
        self._topic = machines.make_topic(self, dataset.name, settings, base.key)
        self._log_group = machines.make_log_group(self, f"/{dataset.name}/prep", settings.log_retention_days)
        self._role = self._make_role()
        self.instance = self._make_instance()
        self._make_outputs()

    def _choose_subnet(self) -> ec2.ISubnet:
        """The subnet in the zone of the settings, or the first one.

        Raises:
            SettingsError: there is no such zone, or the zones are not known without credentials.
        """
        zone, subnets = self._settings.prep_zone, self._base.vpc.public_subnets
        zones = [subnet.availability_zone for subnet in subnets]
        if zone is None or zones[0] == UNKNOWN_YET:
            return subnets[0]
        if zone in zones:
            return subnets[zones.index(zone)]
        if any(Token.is_unresolved(known) for known in zones):
            raise SettingsError("prep_zone", zone, "the zones are known only with AWS credentials: log in")
        raise SettingsError("prep_zone", zone, f"use one of {', '.join(zones)}")

    def _make_volume(self, construct_id: str, wish: Volume, role: str, snapshot: str | None) -> ec2.Volume:
        volume = ec2.Volume(
            self,
            construct_id,
            availability_zone=self._subnet.availability_zone,
            size=Size.gibibytes(wish.gib),
            volume_type=ec2.EbsDeviceVolumeType(wish.type.upper()),
            iops=wish.iops,
            throughput=wish.throughput,
            encrypted=True,
            encryption_key=self._base.key,
            snapshot_id=snapshot,
            volume_name=f"{self._dataset.name}-{role}",
            # `cdk destroy` must not destroy a download of five days.
            removal_policy=RemovalPolicy.SNAPSHOT,
        )
        Tags.of(volume).add(contract.TAG_ROLE, role)
        acknowledge(volume, ONE_ZONE)
        return volume

    def _make_role(self) -> iam.Role:
        name = self._dataset.name
        work, packed = (
            self._ec2_arn("volume", each.volume_id) for each in (self.work_volume, self.packed_volume)
        )
        snapshot_of = packed if self._settings.snapshot_of == "packed" else work
        fetched = machines.arns_of([self._package, self._description])
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
                *self._optional_grants(),
            ],
        )

    def _optional_grants(self) -> list[policies.Grant]:
        grants = []
        if self._topic:
            grants += policies.notices(self._topic.topic_arn)
        grants += machines.log_grants(self, self._log_group)
        if self._base.key:
            key = self._base.key.key_arn
            grants += policies.attach_by_key(key, self.region)
            grants += policies.data_keys(key, self.region, ["s3", "sns"] if self._topic else ["s3"])
        return grants

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
            block_devices=[root_disk(contract.PREP_ROOT_GIB, self._base.key)],
            # The service shuts the machine down when all is done; that must not terminate it.
            instance_initiated_shutdown_behavior=ec2.InstanceInitiatedShutdownBehavior.STOP,
            user_data=boot.render("prep.sh", self._exports()),
            # A new package or setting needs a new instance, to which the volumes are then attached.
            user_data_causes_replacement=True,
            resource_signal_timeout=BOOT_TIMEOUT,
        )
        tag_role(instance, policies.ROLE_PREP)
        acknowledge(
            instance,
            {
                **ONE_ZONE,
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
            "WHEN_DONE": settings.when_done,
            "LOG_GROUP": self._log_group.log_group_name or "" if self._log_group else "",
            contract.ENV_DATASET: machines.description_place(self._dataset),
            contract.ENV_ROOT: contract.WORK_MOUNT,
            contract.ENV_PACKED: contract.PACKED_MOUNT,
            contract.ENV_BUCKET: self._base.bucket.bucket_name,
            contract.ENV_SECRET: self._secret.secret_name,
            contract.ENV_VOLUME: snapshot_of.volume_id,
            contract.ENV_SNAPSHOT_OF: settings.snapshot_of,
            contract.ENV_RESIZE: str(settings.resize),
            contract.ENV_QUALITY: str(settings.quality),
            contract.ENV_MACHINE: _machine(settings),
        }
        if settings.source:
            exports[contract.ENV_SOURCE] = settings.source
        if settings.environment:
            exports[contract.ENV_ENVIRONMENT] = settings.environment
        if self._topic:
            exports[contract.ENV_TOPIC] = self._topic.topic_arn
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


def _machine(settings: Settings) -> str:
    """What is paid for by the hour; contract.ENV_MACHINE gives the form."""
    volumes = (settings.work_volume, settings.dataset_volume)
    return ",".join([settings.prep_instance_type, *(f"{volume.type}={volume.gib}" for volume in volumes)])
