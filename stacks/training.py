"""The Training stack: a launch template whose instances mount the data set at boot."""

from typing import Any

from aws_cdk import CfnOutput, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from prep import contract
from stacks import boot, policies
from stacks.dataset import DatasetStack
from stacks.instance import common_exports, make_role, root_disk, tag_role
from stacks.machines import TRAINING_IMAGE
from stacks.settings import Dataset, Settings


class TrainingStack(Stack):
    """A launch template without a subnet, so that it can be used in any zone."""

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
        self._mounted = settings.mounted(dataset.name)
        self._role = self._make_role()
        self.launch_template = self._make_launch_template()
        self._make_outputs()

    def _make_role(self) -> iam.Role:
        name = self._dataset.name
        arns = policies.arns(self, name)
        return make_role(
            self,
            f"What a training instance of {name} may do",
            [
                *policies.training(
                    arns,
                    name,
                    self._mounted,
                    [policies.parameter(self, each) for each in self._mounted],
                    copies=self._settings.restore != "snapshot",
                ),
                *(policies.use_key(self._base.key.key_arn, self.region) if self._base.key else []),
            ],
        )

    def _make_launch_template(self) -> ec2.LaunchTemplate:
        template = ec2.LaunchTemplate(
            self,
            "LaunchTemplate",
            instance_type=ec2.InstanceType(self._settings.training_instance_type),
            machine_image=ec2.MachineImage.resolve_ssm_parameter_at_launch(TRAINING_IMAGE),
            http_tokens=ec2.LaunchTemplateHttpTokens.REQUIRED,
            # Two hops: frameworks run in containers, from which the metadata service is one hop farther.
            http_put_response_hop_limit=2,
            role=self._role,
            security_group=self._base.security_group,
            block_devices=[root_disk(contract.TRAINING_ROOT_GIB, self._base.key)],
            user_data=boot.render("training.sh", self._exports()),
        )
        Tags.of(template).add("Name", f"{self._dataset.name}-training")
        tag_role(template, policies.ROLE_TRAINING)
        return template

    def _exports(self) -> dict[str, str]:
        wish = self._settings.restored_volume
        rate = self._settings.initialization_rate
        return common_exports(self) | {
            "DATASETS": " ".join(self._mounted),
            "SNAPSHOT_PARAMETER": contract.snapshot_parameter("*"),
            "MOUNT_POINT": self._settings.mount_point,
            "RESTORE": self._settings.restore,
            "VOLUME_TYPE": wish.type,
            "VOLUME_IOPS": str(wish.iops or ""),
            "VOLUME_THROUGHPUT": str(wish.throughput or ""),
            "INITIALIZATION_RATE": str(rate or ""),
            "TAG_DATASET": contract.TAG_DATASET,
            "TAG_ROLE": contract.TAG_ROLE,
            "TAG_STATE": contract.TAG_STATE,
            "TAG_REASON": contract.TAG_REASON,
            "TAG_INSTANCE": contract.TAG_INSTANCE,
            "TAG_SNAPSHOT": contract.TAG_SNAPSHOT,
            "INSTANCE_ARNS": f"{policies.arns(self, self._dataset.name).ec2}:instance/",
        }

    def _make_outputs(self) -> None:
        template_id = self.launch_template.launch_template_id
        CfnOutput(
            self,
            "LaunchTemplateId",
            value=template_id or "",
            description="Launch training instances from it, in any subnet of the Dataset stack",
        )
        CfnOutput(self, "Datasets", value=",".join(self._mounted), description="What the instances mount")
