"""What the forbidden calls are made on, and the form of their tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

OTHER_ACCOUNT = "210987654321"
ALLOW_ALL = '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'


@dataclass(frozen=True)
class ClusterScene:
    """What there is if the stack Cluster is deployed; else all is empty."""

    head: str = ""  # instances; they may be terminated
    worker: str = ""
    head_role: str = ""  # names of roles, and of an instance profile
    worker_role: str = ""
    prep_profile: str = ""
    head_template: str = ""  # launch templates
    workers_template: str = ""
    training_template: str = ""
    token: str = ""  # ARNs of the secret and of the topic
    topic: str = ""
    subnet: str = ""  # of the data set's network
    foreign_subnet: str = ""
    foreign_group: str = ""


@dataclass(frozen=True)
class Scene:
    """What is there when the calls are made: of this data set, and of others in the same account."""

    dataset: str
    region: str
    account: str
    prep: str  # instances
    training: str
    neighbour: str  # another training instance
    work: str  # volumes: of the prep instance, of the training instance, of its neighbour, of somebody else
    packed: str
    restored: str
    neighbours: str
    foreign_volume: str
    snapshot: str
    foreign_snapshot: str
    key: str  # ARN of the key of the data set's snapshot; also a default key may not be used directly
    bucket: str
    foreign_bucket: str
    foreign_secret: str
    foreign_parameter: str
    prep_role: str  # names of roles
    training_role: str
    cluster: ClusterScene = ClusterScene()

    def role_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account}:role/{name}"

    def topic(self, name: str) -> str:
        return f"arn:aws:sns:{self.region}:{self.account}:{name}"

    def tags(self, kind: str, **tags: str) -> list[dict[str, Any]]:
        """TagSpecifications; an underscore in a key stands for a dash."""
        pairs = [{"Key": key.replace("_", "-"), "Value": value} for key, value in tags.items()]
        return [{"ResourceType": kind, "Tags": pairs}]

    def restored_tags(self, instance: str, dataset: str = "") -> list[dict[str, Any]]:
        """Those that an instance's user data gives to the volume that it makes."""
        arn = f"arn:aws:ec2:{self.region}:{self.account}:instance/{instance}"
        name = dataset or self.dataset
        return self.tags("volume", dataset=name, dataset_role="restored", dataset_instance=arn)

    def launch(self, template: str = "", **changes: Any) -> dict[str, Any]:
        """A call of RunInstances as the head's role allows it, with these changes."""
        tags = {"dataset": self.dataset, "dataset_role": "cluster-worker"}
        return {
            "LaunchTemplate": {"LaunchTemplateId": template or self.cluster.workers_template},
            "SubnetId": self.cluster.subnet,
            "MinCount": 1,
            "MaxCount": 1,
            "TagSpecifications": [*self.tags("instance", **tags), *self.tags("volume", **tags)],
            **changes,
        }


Parameters = Callable[[Scene], Mapping[str, Any]]


@dataclass(frozen=True)
class Forbidden:
    """A call by boto3's names, and in words what it is made on."""

    service: str
    method: str
    on: str
    parameters: Parameters
