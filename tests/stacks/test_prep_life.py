"""What the settings of the prep instance's life make of the templates."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.conftest import ACCOUNT, Synthesis, run_app, synthesize
from tests.stacks.test_templates import launch_template, statements, text, user_data

KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/12345678-90ab-cdef-1234-567890abcdef"


def exports(synthesis: Synthesis) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(.*)$", user_data(synthesis, "Prep"), re.MULTILINE))


def granted(synthesis: Synthesis, stack: str, action: str) -> list[tuple[list[str], dict[str, Any]]]:
    return [(named, when) for actions, named, when in statements(synthesis, stack) if action in actions]


def test_nothing_of_it_by_default(defaults: Synthesis) -> None:
    kinds = {resource["Type"] for resource in defaults.resources().values()}
    assert not {kind for kind in kinds if kind.startswith(("AWS::SNS", "AWS::Logs", "AWS::KMS"))}
    assert "kms:" not in json.dumps(defaults.template("Prep")) + json.dumps(defaults.template("Training"))
    for volume in defaults.resources("AWS::EC2::Volume").values():
        assert not {"SnapshotId", "KmsKeyId"} & set(volume["Properties"])
    given = exports(defaults)
    assert (given["WHEN_DONE"], given["LOG_GROUP"]) == ("stop", "''")
    assert not {"PREP_TOPIC", "PREP_ENVIRONMENT"} & set(given)


def test_a_shutdown_stops_the_instance(defaults: Synthesis, extras: Synthesis) -> None:
    for synthesis, when_done in ((defaults, "stop"), (extras, "keep")):
        instance = synthesis.only("AWS::EC2::Instance")["Properties"]
        assert instance["InstanceInitiatedShutdownBehavior"] == "stop"
        assert exports(synthesis)["WHEN_DONE"] == when_done


def test_the_topic(extras: Synthesis) -> None:
    (name,) = extras.resources("AWS::SNS::Topic", "Prep")
    subscription = extras.only("AWS::SNS::Subscription")["Properties"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "owner@example.org")
    assert text(subscription["TopicArn"]) == f"<{name}>"
    (statement,) = extras.only("AWS::SNS::TopicPolicy")["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )
    assert granted(extras, "Prep", "sns:Publish") == [([f"<{name}>"], {})]
    assert exports(extras)["PREP_TOPIC"] == f"'<{name}>'"


def test_the_service_knows_what_is_paid_for(defaults: Synthesis, custom: Synthesis) -> None:
    assert exports(defaults)["PREP_MACHINE"] == "t2.large,sc1=1000,gp3=200"
    assert exports(custom)["PREP_MACHINE"] == "m7i.large,st1=500,io2=100"


def test_logs_have_an_end_and_a_group_of_their_own(extras: Synthesis) -> None:
    group = extras.only("AWS::Logs::LogGroup")
    assert group["Properties"]["RetentionInDays"] == 14
    assert group["Properties"]["LogGroupName"] == exports(extras)["LOG_GROUP"] == "/ilsvrc2012-dev/prep"
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        ((resources, _),) = granted(extras, "Prep", action)
        assert [r.split(":", 5)[-1] for r in resources] == ["log-group:/ilsvrc2012-dev/prep:*"]
    assert not granted(extras, "Prep", "logs:CreateLogGroup")


def test_volumes_begin_from_snapshots(extras: Synthesis) -> None:
    volumes = [volume["Properties"] for volume in extras.resources("AWS::EC2::Volume").values()]
    made_from = {
        next(tag["Value"] for tag in volume["Tags"] if tag["Key"] == "dataset-role"): volume["SnapshotId"]
        for volume in volumes
    }
    assert made_from == {"work": "snap-0123456789abcdef0", "packed": "snap-0fedcba9876543210"}


def test_instance_and_volumes_are_in_the_zone(extras: Synthesis) -> None:
    machines = [extras.only("AWS::EC2::Instance"), *extras.resources("AWS::EC2::Volume").values()]
    assert {machine["Properties"]["AvailabilityZone"] for machine in machines} == {"us-east-1b"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"region": "us-east-1", "account": ACCOUNT, "prep_zone": "us-east-1f"},
            "setting prep_zone=us-east-1f: use one of us-east-1a, us-east-1b",
        ),
        (
            {"prep_zone": "us-east-1a"},
            "setting prep_zone=us-east-1a: the zones are known only with AWS credentials: log in",
        ),
    ],
)
def test_a_zone_that_is_none_of_the_accounts(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    zones = {f"availability-zones:account={ACCOUNT}:region=us-east-1": ["us-east-1a", "us-east-1b"]}
    result = run_app(tmp_path / "out", {**settings, **zones})
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"{said}\n")


def test_a_zone_while_the_zones_are_being_looked_up(tmp_path: Path) -> None:
    """The CDK command line runs the app without them first, and again when it knows them."""
    settings = {"region": "us-east-1", "account": ACCOUNT, "prep_zone": "us-east-1f"}
    assert run_app(tmp_path / "out", settings).returncode == 0


def test_one_key_for_everything_at_rest(extras: Synthesis) -> None:
    (name,) = extras.resources("AWS::KMS::Key", "Dataset")
    key = extras.only("AWS::KMS::Key")
    assert key["DeletionPolicy"] == key["UpdateReplacePolicy"] == "Retain"
    assert key["Properties"]["EnableKeyRotation"] is True
    encryption = extras.only("AWS::S3::Bucket")["Properties"]["BucketEncryption"]
    (rule,) = encryption["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": {"Fn::GetAtt": [name, "Arn"]},
    }
    machines = [extras.only("AWS::EC2::Instance")["Properties"], launch_template(extras)]
    disks = [disk["Ebs"] for machine in machines for disk in machine["BlockDeviceMappings"]]
    volumes = [volume["Properties"] for volume in extras.resources("AWS::EC2::Volume").values()]
    topic = extras.only("AWS::SNS::Topic")["Properties"]
    used = {text(disk["KmsKeyId"]) for disk in disks + volumes} | {text(topic["KmsMasterKeyId"])}
    assert len(used) == 1
    assert name in used.pop()


def test_spot_instances_may_use_a_new_key(extras: Synthesis) -> None:
    """Their root disk has it, and EC2 launches them in its own role."""
    policy = extras.only("AWS::KMS::Key")["Properties"]["KeyPolicy"]
    (spot,) = [each for each in policy["Statement"] if each.get("Sid") == "SpotInstances"]
    assert {"kms:CreateGrant", "kms:GenerateDataKeyWithoutPlaintext"} < set(spot["Action"])
    when = spot["Condition"]["StringEquals"]
    assert text(when["aws:PrincipalArn"]).endswith(
        f"::{ACCOUNT}:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
    )
    assert (when["kms:CallerAccount"], when["kms:ViaService"]) == (ACCOUNT, "ec2.us-east-1.amazonaws.com")


def test_what_the_roles_may_do_with_the_key(tmp_path: Path) -> None:
    made = synthesize(tmp_path, {"region": "eu-west-1", "key": KEY, "notify": "a@example.org"})
    assert not made.resources("AWS::KMS::Key")

    def actions(stack: str) -> dict[str, tuple[str, ...]]:
        """Action → the services through which alone it may come."""
        found = {}
        for names, resources, when in statements(made, stack):
            for name in names:
                if name.startswith("kms:"):
                    assert resources == [KEY]
                    through = when["StringEquals"]["kms:ViaService"]
                    services = [through] if isinstance(through, str) else through
                    found[name] = tuple(service.split(".")[0] for service in services)
        return found

    grant = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    for stack in ("Prep", "Training"):
        ((_, when),) = granted(made, stack, "kms:CreateGrant")
        assert grant.items() <= when.items()
    assert actions("Prep") == {
        "kms:CreateGrant": ("ec2",),
        "kms:Decrypt": ("s3", "sns"),
        "kms:GenerateDataKey": ("s3", "sns"),
    }
    assert actions("Training") == dict.fromkeys(
        [
            *("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"),
            *("kms:ReEncryptFrom", "kms:ReEncryptTo"),
        ],
        ("ec2",),
    )


def test_an_environment_shares_no_name_with_the_data_set_itself(
    defaults: Synthesis, extras: Synthesis
) -> None:
    def names(synthesis: Synthesis) -> set[str]:
        """Stacks, parameter, tag, log group, keys of S3: what two deployments must not have in common."""
        manifest = json.loads((synthesis.folder / "manifest.json").read_text())["artifacts"]
        stacks = {
            artifact["properties"]["stackName"]
            for artifact in manifest.values()
            if artifact["type"] == "aws:cloudformation:stack"
        }
        ((objects, _),) = granted(synthesis, "Prep", "s3:PutObject")
        ((parameter, _),) = granted(synthesis, "Prep", "ssm:PutParameter")
        ((read, _),) = granted(synthesis, "Training", "ssm:GetParameter")
        tags = {
            f"tag {tag['Value']}"
            for volume in synthesis.resources("AWS::EC2::Volume").values()
            for tag in volume["Properties"]["Tags"]
            if tag["Key"] in ("dataset", "Name")
        }
        return (
            stacks
            | tags
            | {parameter[0].split(":")[-1], objects[0].split("/", 1)[1]}
            | {read[0].split(":")[-1]}
        )

    assert names(extras) == {name.replace("ilsvrc2012", "ilsvrc2012-dev") for name in names(defaults)}
    assert not names(extras) & names(defaults)
    given = exports(extras)
    # What the data set is called for itself: its description, and its site's credentials.
    assert (given["PREP_DATASET"], given["PREP_ENVIRONMENT"]) == ("ilsvrc2012", "dev")
    assert given["PREP_SECRET"] == exports(defaults)["PREP_SECRET"]
