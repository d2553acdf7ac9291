"""The Cluster stack: only if it is asked for, closed to the outside, with no more rights than are used."""

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.stacks.conftest import Synthesis
from tests.stacks.test_templates import ANYWHERE, USER_DATA_LIMIT, text

# The tags by which Ray's provider finds the head; ray/autoscaler/tags.py.
RAY_TAGS = {"ray-node-type": "head", "ray-user-node-type": "head", "ray-node-status": "up-to-date"}


@pytest.fixture(params=["cluster", "cluster_extras"])
def synthesis(request: pytest.FixtureRequest) -> Synthesis:
    made: Synthesis = request.getfixturevalue(request.param)
    return made


def template(synthesis: Synthesis, which: str) -> dict[str, Any]:
    """What a launch template holds: "Head" or "Workers"."""
    found = synthesis.resources("AWS::EC2::LaunchTemplate", "Cluster")
    (data,) = (each["Properties"] for name, each in found.items() if name.startswith(which))
    return dict(data["LaunchTemplateData"])


def tags(data: Mapping[str, Any], kind: str = "instance") -> dict[str, str]:
    (found,) = (each["Tags"] for each in data["TagSpecifications"] if each["ResourceType"] == kind)
    return {tag["Key"]: tag["Value"] for tag in found}


def script(synthesis: Synthesis, which: str) -> str:
    (value,) = template(synthesis, which)["UserData"].values()
    return text(value)


def exports(synthesis: Synthesis, which: str) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)='?(.*?)'?$", script(synthesis, which), re.MULTILINE))


def autoscaler(synthesis: Synthesis) -> dict[str, Any]:
    """The configuration of Ray's autoscaler, as the head writes it."""
    given = exports(synthesis, "Head")["AUTOSCALER"]
    given = given.replace("@HEAD@", "10.0.0.1").replace('"@CPUS@"', "16").replace('"@MEMORY@"', "24051816857")
    config: dict[str, Any] = json.loads(given)
    return config


def grants(synthesis: Synthesis, which: str) -> list[tuple[set[str], list[str], dict[str, Any]]]:
    """Actions, resources and conditions of the statements of a role: "Head" or "Worker"."""
    found = synthesis.resources("AWS::IAM::Policy", "Cluster")
    (policy,) = (each["Properties"] for name, each in found.items() if name.startswith(f"{which}Role"))
    return [
        (
            {*_list(each["Action"])},
            [text(resource) for resource in _list(each["Resource"])],
            each.get("Condition", {}),
        )
        for each in policy["PolicyDocument"]["Statement"]
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def of_action(synthesis: Synthesis, which: str, action: str) -> dict[str, dict[str, Any]]:
    """Resource → conditions."""
    return {
        resource: conditions
        for actions, resources, conditions in grants(synthesis, which)
        if action in actions
        for resource in resources
    }


def named(resource: str) -> str:
    """What stands behind Region and account in an ARN, such as instance/*."""
    return re.sub(r"<AWS::(\w+)>", r"\1", resource).split(":", 5)[-1]


def test_there_is_none_by_default(defaults: Synthesis, cluster: Synthesis) -> None:
    assert set(defaults.stacks) == {"Dataset", "Prep", "Training"}
    assert set(cluster.stacks) == {"Dataset", "Prep", "Training", "Cluster"}
    for stack in ("Prep", "Training"):
        assert defaults.resources(stack=stack) == cluster.resources(stack=stack)
    assert defaults.resources(stack="Dataset") == cluster.resources(stack="Dataset")


def test_nothing_runs_after_the_deployment(synthesis: Synthesis) -> None:
    kinds = {each["Type"] for each in synthesis.resources(stack="Cluster").values()}
    assert not kinds & {"AWS::EC2::Instance", "AWS::AutoScaling::AutoScalingGroup", "AWS::EC2::EC2Fleet"}


def test_nothing_comes_in_from_outside(synthesis: Synthesis) -> None:
    ((name, group),) = synthesis.resources("AWS::EC2::SecurityGroup", "Cluster").items()
    assert "SecurityGroupIngress" not in group["Properties"]
    rule = synthesis.only("AWS::EC2::SecurityGroupIngress", "Cluster")["Properties"]
    assert text(rule["SourceSecurityGroupId"]) == text(rule["GroupId"]) == f"<{name}.GroupId>"
    assert not {key for key in rule if "Cidr" in key or "PrefixList" in key}
    for which in ("Head", "Workers"):
        assert [text(each) for each in template(synthesis, which)["SecurityGroupIds"]] == [
            f"<{name}.GroupId>"
        ]


def test_machines_are_closed_encrypted_and_gone_when_they_shut_down(synthesis: Synthesis) -> None:
    for which in ("Head", "Workers"):
        data = template(synthesis, which)
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert [each["Ebs"]["Encrypted"] for each in data["BlockDeviceMappings"]] == [True]
        assert not {"KeyName", "NetworkInterfaces", "Placement"} & set(data)
    # The head's address is in a tag, which a worker reads from its metadata service.
    assert template(synthesis, "Workers")["MetadataOptions"]["InstanceMetadataTags"] == "enabled"


def test_tags(cluster: Synthesis, cluster_extras: Synthesis) -> None:
    for synthesis, name in ((cluster, "ilsvrc2012"), (cluster_extras, "tiny-dev")):
        head, worker = tags(template(synthesis, "Head")), tags(template(synthesis, "Workers"))
        assert head == RAY_TAGS | {
            "dataset": name,
            "dataset-role": "cluster-head",
            "Name": f"{name}-cluster-head",
            "ray-cluster-name": name,
        }
        assert worker == {"dataset": name, "dataset-role": "cluster-worker", "Name": f"{name}-cluster-worker"}
        assert tags(template(synthesis, "Workers"), "volume") == worker
        # A key that the metadata service can't serve would make the launch fail.
        assert all(re.fullmatch(r"[A-Za-z0-9+=.,_:@-]+", key) for key in worker)


def test_only_workers_are_spot(cluster: Synthesis, cluster_extras: Synthesis) -> None:
    assert "InstanceMarketOptions" not in template(cluster, "Workers")
    assert template(cluster_extras, "Workers")["InstanceMarketOptions"]["MarketType"] == "spot"
    for synthesis in (cluster, cluster_extras):
        assert "InstanceMarketOptions" not in template(synthesis, "Head")
    roles = of_action(cluster_extras, "Head", "iam:CreateServiceLinkedRole")
    ((role, condition),) = roles.items()
    assert role.endswith(":role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot")
    assert condition == {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}}
    assert not of_action(cluster, "Head", "iam:CreateServiceLinkedRole")


@pytest.mark.parametrize("which", ["Head", "Workers"])
def test_user_data(synthesis: Synthesis, which: str) -> None:
    found = script(synthesis, which)
    longest = re.sub(r"<[\w:.-]+>", "x" * 63, found)
    assert len(longest.encode()) < USER_DATA_LIMIT
    assert found.isascii()
    checked = subprocess.run(["bash", "-n"], input=longest, capture_output=True, text=True, check=False)  # noqa: S607
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_the_machines_are_told(cluster: Synthesis, cluster_extras: Synthesis) -> None:
    head, worker = exports(cluster, "Head"), exports(cluster, "Workers")
    (token,) = cluster.resources("AWS::SecretsManager::Secret", "Cluster")
    for each, role in ((head, "head"), (worker, "worker")):
        assert (each["ROLE"], each["NAME"], each["TOKEN_SECRET"]) == (role, "ilsvrc2012", f"<{token}>")
    assert not {name for name in worker if name.startswith("PREP_")}
    assert "AUTOSCALER" not in worker
    assert re.fullmatch(r"s3://<[\w:-]+>/ilsvrc2012/archives", head["PREP_SOURCE"])
    assert re.fullmatch(r"s3://<[\w:-]+>/ilsvrc2012/packed", head["PREP_PACKED"])
    assert (head["PREP_DATASET"], head["DESCRIPTION_URL"], head["WHEN_DONE"]) == ("ilsvrc2012", "", "stop")
    assert (head["WORKER_TYPE"], head["PREP_RESIZE"], head["PREP_QUALITY"]) == ("c7i.4xlarge", "480", "95")
    assert not {"PREP_TOPIC", "PREP_ENVIRONMENT"} & set(head)
    extra = exports(cluster_extras, "Head")
    (topic,) = cluster_extras.resources("AWS::SNS::Topic", "Cluster")
    assert (extra["PREP_SOURCE"], extra["PREP_TOPIC"]) == ("s3://mirror-bucket/sets", f"<{topic}>")
    assert (extra["PREP_DATASET"], extra["PREP_ENVIRONMENT"]) == ("/opt/dataset-prep/tiny.toml", "dev")
    assert extra["DESCRIPTION_URL"].endswith(".toml")
    assert (extra["WHEN_DONE"], extra["LOG_GROUP"]) == ("keep", "/tiny-dev/cluster")
    assert exports(cluster_extras, "Workers")["LOG_GROUP"] == "/tiny-dev/cluster"


def test_the_autoscaler_takes_its_configuration(cluster: Synthesis, cluster_extras: Synthesis) -> None:
    """By Ray's own check, which a running autoscaler only logs; and with all keys that it reads."""
    from ray.autoscaler._private.util import validate_config

    for synthesis, count in ((cluster, 4), (cluster_extras, 8)):
        config = autoscaler(synthesis)
        validate_config(config)
        assert set(config["available_node_types"]) == {config["head_node_type"], "worker"}
        assert config["available_node_types"]["head"]["resources"] == {"CPU": 0}
        worker = config["available_node_types"]["worker"]
        assert (config["max_workers"], worker["max_workers"], worker["min_workers"]) == (count, count, 0)
        assert config["provider"] == {
            "type": "aws",
            "region": config["provider"]["region"],
            "cache_stopped_nodes": False,
            "disable_node_updaters": True,
        }
        assert config["cluster_name"] == tags(template(synthesis, "Head"))["ray-cluster-name"]
        assert "@" not in json.dumps(config)


def test_the_autoscaler_launches_workers_as_the_heads_role_allows(synthesis: Synthesis) -> None:
    node = autoscaler(synthesis)["available_node_types"]["worker"]["node_config"]
    (name,) = (each for each in synthesis.resources("AWS::EC2::LaunchTemplate") if "Workers" in each)
    assert node["LaunchTemplate"] == {
        "LaunchTemplateId": f"<{name.split('/')[1]}>",
        "Version": "$Latest",
    }
    # What Ray's provider takes from it; every other key is an argument of RunInstances.
    assert set(node) == {"LaunchTemplate", "SubnetIds", "TagSpecifications"}
    allowed = of_action(synthesis, "Head", "ec2:RunInstances")
    assert {f"subnet/{each}" for each in node["SubnetIds"]} == {
        named(resource) for resource in allowed if ":subnet/" in resource
    }
    assert len(node["SubnetIds"]) == len(synthesis.resources("AWS::EC2::Subnet", "Dataset"))
    for kind in ("instance", "volume"):
        (condition,) = (when for resource, when in allowed.items() if resource.endswith(f":{kind}/*"))
        wanted = {
            key.removeprefix("aws:RequestTag/"): value
            for key, value in condition["StringEquals"].items()
            if key.startswith("aws:RequestTag/")
        }
        assert wanted["dataset-role"] == "cluster-worker"
        assert wanted.items() <= tags(node, kind).items()
    assert tags(node)["dataset-head"] == "10.0.0.1"


def test_the_head_launches_nothing_but_workers(synthesis: Synthesis) -> None:
    allowed = of_action(synthesis, "Head", "ec2:RunInstances")
    (own,) = (resource for resource in allowed if ":launch-template/" in resource)
    assert not own.endswith("*")
    for resource, condition in allowed.items():
        if resource != own:
            assert text(condition["ArnEquals"]["ec2:LaunchTemplate"]) == own, resource
    kinds = {named(resource).split("/")[0] for resource in allowed}
    assert kinds == {
        *("instance", "volume", "network-interface", "image", "launch-template", "subnet", "security-group")
    }
    (instance,) = (when for resource, when in allowed.items() if resource.endswith(":instance/*"))
    assert instance["StringEquals"]["ec2:InstanceType"] == template(synthesis, "Workers")["InstanceType"]
    (image,) = (when for resource, when in allowed.items() if resource.endswith("image/*"))
    assert image["Bool"] == {"ec2:IsLaunchTemplateResource": "true"}
    ((role, passed),) = of_action(synthesis, "Head", "iam:PassRole").items()
    assert role.startswith("<WorkerRole")
    assert passed == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


def test_the_head_ends_and_tags_nothing_but_workers(synthesis: Synthesis) -> None:
    ((resource, condition),) = of_action(synthesis, "Head", "ec2:TerminateInstances").items()
    assert resource.endswith(":instance/*")
    assert condition == {
        "StringEquals": {
            "aws:ResourceTag/dataset": synthesis.name,
            "aws:ResourceTag/dataset-role": "cluster-worker",
        }
    }
    for condition in of_action(synthesis, "Head", "ec2:CreateTags").values():
        assert condition == {"StringEquals": {"ec2:CreateAction": "RunInstances"}}


@pytest.mark.parametrize("which", ["Head", "Worker"])
def test_what_a_machine_may_do_with_the_bucket(synthesis: Synthesis, which: str) -> None:
    """A worker deletes nothing: the driver, on the head, clears up."""
    name = synthesis.name
    writing = {"s3:PutObject"}
    if which == "Head":
        writing |= {"s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
    for action in writing:
        found = of_action(synthesis, which, action)
        assert {resource.split("/", 1)[1] for resource in found} == {f"{name}/packed/*"}, action
        assert not any(found.values())
    read = {resource.split("/", 1)[-1] for resource in of_action(synthesis, which, "s3:GetObject")}
    folders = {each for each in read if each.endswith("/*")}
    assert folders == {f"{name}/packed/*", "sets/*" if name == "tiny-dev" else f"{name}/archives/*"}
    # The package, and for the head a description of the user's own.
    assert len(read - folders) == 1 + (which == "Head" and name == "tiny-dev")
    every = {action for actions, _, _ in grants(synthesis, which) for action in actions}
    listing = {"s3:ListBucket"} if which == "Head" else set()
    assert {each for each in every if each.startswith("s3:")} == writing | listing | {"s3:GetObject"}


@pytest.mark.parametrize("which", ["Head", "Worker"])
def test_what_else_a_machine_may_do(synthesis: Synthesis, which: str) -> None:
    (token,) = synthesis.resources("AWS::SecretsManager::Secret", "Cluster")
    assert set(of_action(synthesis, which, "secretsmanager:GetSecretValue")) == {f"<{token}>"}
    every = {action for actions, _, _ in grants(synthesis, which) for action in actions}
    assert not [action for action in every if "*" in action]
    ec2 = {action for action in every if action.startswith("ec2:")}
    assert ec2 == (
        {
            *("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:RunInstances", "ec2:CreateTags"),
            "ec2:TerminateInstances",
        }
        if which == "Head"
        else set()
    )
    for actions, resources, _ in grants(synthesis, which):
        if "*" in resources:
            assert [action for action in actions if not ANYWHERE.fullmatch(action)] == []


def test_the_key(cluster: Synthesis, cluster_extras: Synthesis) -> None:
    assert "kms:" not in json.dumps(cluster.template("Cluster"))
    for which in ("Head", "Workers"):
        (disk,) = template(cluster_extras, which)["BlockDeviceMappings"]
        assert disk["Ebs"]["KmsKeyId"]

    def through(which: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for actions, _, condition in grants(cluster_extras, which):
            for action in actions:
                if action.startswith("kms:"):
                    services = _list(condition["StringEquals"]["kms:ViaService"])
                    found.setdefault(action, []).extend(each.split(".")[0] for each in services)
        return found

    assert through("Worker") == {"kms:Decrypt": ["s3"], "kms:GenerateDataKey": ["s3"]}
    # The head launches machines whose disks have the key.
    head = through("Head")
    assert sorted(head["kms:Decrypt"]) == ["ec2", "s3", "sns"]
    assert head["kms:CreateGrant"] == ["ec2"]


def test_the_token_is_made_by_aws_and_read_by_the_machines_alone(synthesis: Synthesis) -> None:
    token = synthesis.only("AWS::SecretsManager::Secret", "Cluster")["Properties"]
    assert token["GenerateSecretString"] == {"ExcludePunctuation": True, "PasswordLength": 64}
    assert "SecretString" not in token
    assert "{{resolve:secretsmanager" not in json.dumps(synthesis.template("Cluster"))


def test_outputs(cluster: Synthesis, cluster_extras: Synthesis) -> None:
    for synthesis, wanted in (
        (cluster, ("c7i.4xlarge", "4", "on-demand")),
        (cluster_extras, ("c7i.large", "8", "spot")),
    ):
        outputs = synthesis.template("Cluster")["Outputs"]
        given = tuple(outputs[name]["Value"] for name in ("WorkerType", "MostWorkers", "Market"))
        assert given == wanted
        assert text(outputs["HeadTemplateId"]["Value"]).startswith("<Head")
        assert all(each["Description"] for each in outputs.values())
