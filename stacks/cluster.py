"""The Cluster stack: launch templates for a Ray cluster that packs the data set, and its permissions.

Nothing runs after the deployment. `python -m prep.owner cluster` launches the head. On it, Ray's own
autoscaler launches workers for tasks that wait, and ends those that have none.

What Ray 2.60 does with the configuration, by its source in ray/autoscaler:
- `ray start --head --autoscaling-config` runs the autoscaler v1 (_private/monitor.py); v2 only after
  RAY_enable_autoscaler_v2=1, or on KubeRay. It reads the file as it is: nothing is filled in, so every key
  that _private/autoscaler.py asks for must be there.
- `disable_node_updaters` leaves out SSH. The autoscaler then never ends a worker that has not joined, or
  whose Ray has died: the workers' user data ends the machine in both cases.
- Machines are matched by the private address, which `ray start` must therefore be given. The head is found by
  its tags, which must be those that `ray up` would have set: they are in its launch template.
- A worker whose tags tell of another configuration is ended. As the configuration has the address of the
  head, a new head ends the workers of the one before.
- Calls of _private/aws/node_provider.py: DescribeInstances every five seconds, RunInstances with
  `node_config` and a subnet, TerminateInstances. With `cache_stopped_nodes` it would stop machines instead,
  and start them again.
"""

from typing import Any, Final

from aws_cdk import CfnOutput, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from prep import contract
from stacks import boot, cluster_policies, policies
from stacks import instance as machines
from stacks.acknowledge import acknowledge
from stacks.dataset import DatasetStack
from stacks.instance import common_exports, make_role, root_disk
from stacks.settings import Dataset, Settings

# A worker is ready three minutes after its launch: it must not be ended between two phases of the work.
IDLE_MINUTES: Final = 5
# What ray/autoscaler/tags.py calls the head of a cluster that is up.
HEAD, WORKER = "head", "worker"
HEAD_TAGS: Final = {"ray-node-type": HEAD, "ray-user-node-type": HEAD, "ray-node-status": "up-to-date"}
# Each launch uses the newest version of the workers' template.
NEWEST: Final = "$Latest"


class ClusterStack(Stack):
    """The launch templates of the head and of the workers."""

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
        self._bucket = base.export_value(base.bucket.bucket_arn)
        self._package = machines.make_package(self)
        self._description = machines.make_description(self, dataset)
        self._topic = machines.make_topic(self, dataset.name, settings, base.key)
        self._log_group = machines.make_log_group(
            self, f"/{dataset.name}/cluster", settings.log_retention_days
        )
        self._group = self._make_security_group()
        self._token = self._make_token()
        self._worker_role = self._make_role("WorkerRole", "a worker", [self._package], [])
        self.workers = self._make_workers()
        fetched = [self._package, self._description]
        self._head_role = self._make_role("HeadRole", "the head", fetched, self._head_grants())
        self.head = self._make_head()
        self._make_outputs()

    def _make_security_group(self) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self,
            "Inside",
            vpc=self._base.vpc,
            description="Out to anywhere, in from machines of the cluster only",
        )
        group.add_ingress_rule(group, ec2.Port.all_traffic(), "Ray")
        return group

    def _make_token(self) -> secretsmanager.Secret:
        """What machines of the cluster show to each other: who can call Ray can run anything on it."""
        token = secretsmanager.Secret(
            self,
            "Token",
            description=f"What machines of the cluster of {self._dataset.name} show to each other",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=64, exclude_punctuation=True
            ),
        )
        acknowledge(
            token,
            {"AwsSolutions-SMG4": "It is good only within the security group, while a cluster runs."},
        )
        return token

    def _make_role(
        self,
        construct_id: str,
        what: str,
        fetched: list[assets.Asset | None],
        grants: list[policies.Grant],
    ) -> iam.Role:
        name, key = self._dataset.name, self._base.key
        return make_role(
            self,
            f"What {what} of the cluster of {name} may do",
            [
                *cluster_policies.machine(
                    self._bucket,
                    name,
                    self._archives()[1],
                    self._token.secret_arn,
                    machines.arns_of(fetched),
                ),
                *machines.log_grants(self, self._log_group),
                *(policies.data_keys(key.key_arn, self.region, ["s3"]) if key else []),
                *grants,
            ],
            construct_id,
        )

    def _archives(self) -> tuple[str, str]:
        """Address and ARN of the folder of archives: the setting `source` if it is in S3, or the backup."""
        given = (self._settings.source or "").rstrip("/")
        if given.startswith("s3://"):
            return given, f"arn:{self.partition}:s3:::{given.removeprefix('s3://')}"
        folder = contract.archives_prefix(self._dataset.name).rstrip("/")
        return f"s3://{self._base.bucket.bucket_name}/{folder}", f"{self._bucket}/{folder}"

    def _head_grants(self) -> list[policies.Grant]:
        ec2_arns = policies.arns(self, self._dataset.name).ec2
        key = self._base.key
        launch = cluster_policies.Launch(
            ec2_arns,
            f"arn:{self.partition}:ec2:{self.region}::image",
            f"{ec2_arns}:launch-template/{self.workers.launch_template_id}",
            self._settings.cluster_instance_type,
            f"{ec2_arns}:security-group/{self._group.security_group_id}",
            [f"{ec2_arns}:subnet/{subnet.subnet_id}" for subnet in self._base.vpc.public_subnets],
            self._worker_role.role_arn,
        )
        return [
            *cluster_policies.driver(self._bucket, self._dataset.name),
            *cluster_policies.head(self._dataset.name, launch),
            *(cluster_policies.spot(self.partition) if self._settings.cluster_spot == "yes" else []),
            *(policies.notices(self._topic.topic_arn) if self._topic else []),
            *(policies.use_key(key.key_arn, self.region) if key else []),
            *(policies.data_keys(key.key_arn, self.region, ["sns"]) if key and self._topic else []),
        ]

    def _make_workers(self) -> ec2.LaunchTemplate:
        spot = self._settings.cluster_spot == "yes"
        return self._make_template(
            "Workers",
            contract.ROLE_WORKER,
            self._settings.cluster_instance_type,
            contract.CLUSTER_ROOT_GIB,
            self._worker_role,
            self._common_exports(WORKER),
            # The head tells a worker its address in a tag.
            instance_metadata_tags=True,
            # The defaults: one request for one launch, and an interruption ends the machine.
            spot_options=ec2.LaunchTemplateSpotOptions() if spot else None,
        )

    def _make_head(self) -> ec2.LaunchTemplate:
        head = self._make_template(
            "Head",
            contract.ROLE_HEAD,
            self._settings.cluster_head_type,
            contract.CLUSTER_HEAD_ROOT_GIB,
            self._head_role,
            self._common_exports(HEAD) | self._head_exports(),
        )
        for key, value in (HEAD_TAGS | {"ray-cluster-name": self._dataset.name}).items():
            Tags.of(head).add(key, value)
        return head

    def _make_template(
        self,
        construct_id: str,
        role_tag: str,
        instance_type: str,
        root_gib: int,
        role: iam.Role,
        exports: dict[str, str],
        **more: Any,
    ) -> ec2.LaunchTemplate:
        template = ec2.LaunchTemplate(
            self,
            construct_id,
            instance_type=ec2.InstanceType(instance_type),
            machine_image=ec2.MachineImage.latest_amazon_linux2023(
                kernel=ec2.AmazonLinux2023Kernel.KERNEL_6_1
            ),
            http_tokens=ec2.LaunchTemplateHttpTokens.REQUIRED,
            role=role,
            security_group=self._group,
            block_devices=[root_disk(root_gib, self._base.key)],
            # A machine that shuts itself down is gone, and costs nothing any more.
            instance_initiated_shutdown_behavior=ec2.InstanceInitiatedShutdownBehavior.TERMINATE,
            user_data=boot.render("cluster.sh", exports),
            **more,
        )
        Tags.of(template).add("Name", f"{self._dataset.name}-{role_tag}")
        machines.tag_role(template, role_tag)
        return template

    def _common_exports(self, role: str) -> dict[str, str]:
        return common_exports(self) | {
            "ROLE": role,
            "NAME": self._dataset.name,
            "PACKAGE_URL": self._package.s3_object_url,
            "TOKEN_SECRET": self._token.secret_arn,
            "LOG_GROUP": self._log_group.log_group_name or "" if self._log_group else "",
            "TAG_DATASET": contract.TAG_DATASET,
            "TAG_ROLE": contract.TAG_ROLE,
            "TAG_HEAD": contract.TAG_HEAD,
            "RAY_SERVICE": contract.RAY_SERVICE,
            "CLUSTER_SERVICE": contract.CLUSTER_SERVICE,
            "ENVIRONMENT_FILE": contract.ENVIRONMENT_FILE,
        }

    def _head_exports(self) -> dict[str, str]:
        settings, name, bucket = self._settings, self._dataset.name, self._base.bucket.bucket_name
        exports = {
            "DESCRIPTION_URL": self._description.s3_object_url if self._description else "",
            "AUTOSCALER": self.to_json_string(self._autoscaler()),
            "WORKER_TYPE": settings.cluster_instance_type,
            "WHEN_DONE": settings.when_done,
            contract.ENV_DATASET: machines.description_place(self._dataset),
            contract.ENV_SOURCE: self._archives()[0],
            contract.ENV_PACKED: f"s3://{bucket}/{contract.packed_prefix(name).rstrip('/')}",
            contract.ENV_BUCKET: bucket,
            contract.ENV_RESIZE: str(settings.resize),
            contract.ENV_QUALITY: str(settings.quality),
        }
        if settings.environment:
            exports[contract.ENV_ENVIRONMENT] = settings.environment
        if self._topic:
            exports[contract.ENV_TOPIC] = self._topic.topic_arn
        return exports

    def _autoscaler(self) -> dict[str, Any]:
        """The configuration of Ray's autoscaler. The head replaces the words between @ signs; see cluster.sh.

        https://docs.ray.io/en/latest/cluster/vms/references/ray-cluster-configuration.html
        """
        count, name = self._settings.cluster_workers, self._dataset.name
        tags = {
            "Name": f"{name}-{contract.ROLE_WORKER}",
            contract.TAG_DATASET: name,
            contract.TAG_ROLE: contract.ROLE_WORKER,
            contract.TAG_HEAD: "@HEAD@",
        }
        node = {
            "LaunchTemplate": {"LaunchTemplateId": self.workers.launch_template_id, "Version": NEWEST},
            # Ray tries them in this order.
            "SubnetIds": [subnet.subnet_id for subnet in self._base.vpc.public_subnets],
            # The head's permission asks for them in the call itself.
            "TagSpecifications": [
                {
                    "ResourceType": kind,
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
                for kind in ("instance", "volume")
            ],
        }
        resources = {"CPU": "@CPUS@", "memory": "@MEMORY@"}
        return {
            "cluster_name": name,
            "max_workers": count,
            # By so many times their number workers may grow at once: all that are wanted.
            "upscaling_speed": count,
            "idle_timeout_minutes": IDLE_MINUTES,
            "provider": {
                "type": "aws",
                "region": self.region,
                "cache_stopped_nodes": False,
                "disable_node_updaters": True,
            },
            "head_node_type": HEAD,
            "available_node_types": {
                HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                WORKER: {"resources": resources, "node_config": node, "min_workers": 0, "max_workers": count},
            },
            "auth": {},
            "file_mounts": {},
            "cluster_synced_files": [],
            "worker_setup_commands": [],
            "worker_start_ray_commands": [],
        }

    def _make_outputs(self) -> None:
        CfnOutput(
            self,
            "HeadTemplateId",
            value=self.head.launch_template_id or "",
            description="Launch template of the head; python -m prep.owner cluster uses it",
        )
        CfnOutput(
            self,
            "WorkerType",
            value=self._settings.cluster_instance_type,
            description="Instance type of the workers",
        )
        CfnOutput(
            self,
            "MostWorkers",
            value=str(self._settings.cluster_workers),
            description="Most workers at the same time",
        )
        CfnOutput(
            self,
            "Market",
            value="spot" if self._settings.cluster_spot == "yes" else "on-demand",
            description="How the workers are paid for",
        )
