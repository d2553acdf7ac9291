"""Destroy: the stacks go in order, the data stays, what stays has its price; data goes only by its name."""

import json
from typing import Any

import boto3
import pytest

from prep.aws import retries
from prep.owner import options
from tests.conftest import REGION
from tests.prep.owner.conftest import (
    ACCOUNT,
    DATASET,
    PARAMETER,
    Command,
    owned,
    parameter,
    publish,
    take_snapshot,
)
from tests.prep.owner.proxy import Call, Proxy, Refusal
from tests.prep.owner.there import STACKS, bucket, fill, stacks

pytestmark = pytest.mark.usefixtures("deployed")
SHAPE = {"dataset", "region", "dry_run", "also_data", "stacks", "deleted", "remaining", "month_usd",
    "settings_to_continue",
}  # fmt: skip


def test_stacks_go_in_order_and_the_data_stays(
    call: Command, published: str, proxy: Proxy, kept: list[str]
) -> None:
    fill("pets/packed/train.rec")
    name = bucket()
    answer = call("destroy", "--yes", "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    assert set(document) == SHAPE
    assert document["deleted"] == STACKS
    deleted = [each.parameters["StackName"] for each in proxy.named("DeleteStack")]
    assert [each.split("/")[1] for each in deleted] == STACKS
    assert (stacks(), document["stacks"]) == ([], [])
    assert bucket() == name
    assert parameter() == published
    remaining = {each["name"]: each for each in document["remaining"]}
    assert set(remaining) == {name, published, *kept}
    assert all(set(each) == {"what", "name", "gib", "month_usd", "note"} for each in remaining.values())
    assert (remaining[str(name)]["what"], remaining[str(name)]["note"]) == ("bucket", "2 objects")
    assert remaining[published]["note"] == "data, published, at most"
    assert document["month_usd"] == pytest.approx(0.4 + 50 + 50)
    # The snapshots of the volumes are found by these tags, which CloudFormation may not have given them.
    assert sorted(owned()[each]["dataset-role"] for each in kept) == ["packed", "work"]
    assert all(owned()[each]["dataset"] == DATASET for each in kept)
    for stack in STACKS:
        assert f"destroy: {stack}: gone" in answer.err


def test_dry_run_says_what_goes_and_what_stays(call: Command, proxy: Proxy, published: str) -> None:
    boto3.client("secretsmanager").create_secret(Name="pets/credentials", SecretString="{}")
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    encrypted = take_snapshot(16, Encrypted=True, KmsKeyId=key)
    answer = call("destroy", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    assert proxy.changes() == []
    document = answer.document
    assert set(document) == SHAPE
    assert [each["name"] for each in document["stacks"]] == STACKS
    actions = {each["logical"]: each["action"] for stack in document["stacks"] for each in stack["resources"]}
    assert (actions["LaunchTemplate"], actions["Backup"]) == ("delete", "retain")
    assert (actions["WorkABC"], actions["Network"]) == ("snapshot", "delete")
    volumes = {
        each["logical"]: each["physical"] for stack in document["stacks"] for each in stack["resources"]
    }
    prices = {each["name"]: (each["what"], each["month_usd"]) for each in document["remaining"]}
    assert prices == {
        bucket(): ("bucket", 0.0),
        published: ("snapshot", 0.4),
        encrypted: ("snapshot", 0.8),
        volumes["WorkABC"]: ("snapshot to come", 50.0),
        volumes["PackedABC"]: ("snapshot to come", 50.0),
        key: ("key", 1.0),
        "pets/credentials": ("secret", 0.4),
    }
    text = call("destroy", "--dry-run").out
    assert "pets-prep      AWS::EC2::Volume" in text
    assert "goes, a snapshot stays" in text
    assert "Stays, and its cost a month:" in text
    assert "total a month: $102.60 (list prices of us-east-1" in text
    assert sorted(STACKS) == stacks()


def test_a_second_run_does_the_rest(call: Command, published: str, proxy: Proxy) -> None:
    """A stack that could not be deleted: its reason, what is done stays done, and the next run goes on."""
    proxy.plan = lambda each: (
        Refusal("ValidationError", message="Export pets-dataset:x is in use")
        if each.name == "DeleteStack" and "pets-dataset" in each.parameters["StackName"]
        else None
    )
    answer = call("destroy", "--yes")
    assert (answer.code, answer.out) == (7, "")
    assert "delete the stack pets-dataset: DeleteStack: ValidationError: Export" in answer.err
    assert stacks() == ["pets-dataset"]
    proxy.plan = None
    answer = call("destroy", "--yes", "--json")
    assert (answer.code, answer.document["deleted"]) == (0, ["pets-dataset"])
    # Without the stack, the bucket is found by its name and its tag.
    again = call("destroy", "--yes", "--json")
    assert (again.code, again.document["deleted"]) == (0, [])
    assert {each["name"] for each in again.document["remaining"]} == {bucket(), published}


def test_failed_deletion_names_the_resource(call: Command, proxy: Proxy) -> None:
    from moto.cloudformation.models import cloudformation_backends

    backend = cloudformation_backends["123456789012"][REGION]

    def plan(each: Call) -> Refusal | None:
        if each.name == "DeleteStack":
            (stack,) = [held for held in backend.stacks.values() if held.name == "pets-training"]
            stack.status = "DELETE_FAILED"
            stack.status_reason = "The following resource(s) failed to delete: [Role]."
            return Refusal("Throttling", 503) if each.number else None
        return None

    proxy.plan = plan
    original = backend.delete_stack
    backend.delete_stack = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        answer = call("destroy", "--yes")
    finally:
        backend.delete_stack = original  # type: ignore[method-assign]
    assert answer.code == 7
    assert "destroy: pets-training: " in answer.err.splitlines()[-1]
    assert "remove the cause, then run again" in answer.err.splitlines()[-1]
    assert len(proxy.named("DeleteStack")) == 1


def test_training_instances_are_in_the_way(call: Command, proxy: Proxy) -> None:
    """They cost money, and hold the network: they are named, not ended."""
    ec2 = boto3.client("ec2")
    tags = [{"Key": "dataset", "Value": "pets"}, {"Key": "dataset-role", "Value": "training"}]
    made = ec2.run_instances(
        ImageId="ami-12c6146b", MinCount=2, MaxCount=2,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],  # type: ignore[list-item]
    )["Instances"]  # fmt: skip
    names = [each["InstanceId"] for each in made]
    ec2.stop_instances(InstanceIds=names[:1])
    answer = call("destroy", "--yes")
    assert (answer.code, answer.out, proxy.changes()) == (2, "", [])
    assert "2 training instances are still there: end them first" in answer.err
    assert all(name in answer.err for name in names)
    ec2.terminate_instances(InstanceIds=names)
    assert call("destroy", "--yes").code == 0


@pytest.mark.parametrize("answers", [None, False, True])
def test_it_asks(call: Command, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, answers: bool | None) -> None:
    monkeypatch.setattr(options.sys.stdin, "isatty", lambda: answers is not None)
    monkeypatch.setattr(options.click, "confirm", lambda *_, **__: bool(answers))
    answer = call("destroy")
    assert "Stays, and its cost a month:" in answer.err
    if answers:
        assert (answer.code, stacks()) == (0, [])
    else:
        assert (answer.code, answer.out, proxy.changes()) == (1, "", [])
        assert "not confirmed: nothing was deleted" in answer.err


def test_one_stack(call: Command, kept: list[str], published: str) -> None:
    """As when the prep instance is done: training goes on, and its instances are in nobody's way."""
    assert published
    tags = [{"Key": "dataset", "Value": "pets"}, {"Key": "dataset-role", "Value": "training"}]
    boto3.client("ec2").run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],  # type: ignore[list-item]
    )  # fmt: skip
    answer = call("destroy", "--stack", "prep", "--yes", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["deleted"] == ["pets-prep"]
    assert stacks() == ["pets-dataset", "pets-training"]
    assert {each["name"] for each in answer.document["remaining"]} == {bucket(), published, *kept}
    assert "leave out --stack" in call("destroy", "--stack", "prep", "--also-data", "pets").err


def test_a_stack_of_somebody_else(call: Command, proxy: Proxy, deployed: str) -> None:
    """It has the right name by chance: without the tag, nothing is touched."""
    cloudformation = boto3.client("cloudformation", endpoint_url=deployed)
    topic = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    cloudformation.create_stack(StackName="cars-training", TemplateBody=json.dumps(topic))
    answer = call("destroy", "--dataset", "cars", "--yes")
    assert (answer.code, answer.out, proxy.changes()) == (2, "", [])
    assert "the stack cars-training has no tag dataset=cars: it is not of this data set" in answer.err


def test_questions_name_the_place(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr(options.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(options.click, "confirm", confirm)
    assert call("destroy").code == 1
    assert call("destroy", "--also-data", "pets").code == 1
    place = f"in account {ACCOUNT}, {REGION}?"
    assert asked == [
        f"Delete all that is listed as going, {place}",
        f"Delete all data of pets as well, {place}",
    ]


def test_lost_answers(call: Command, finished: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was deleted is not there when the call is repeated: that is what was wanted."""
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.2)
    proxy.plan = lambda each: (
        Refusal("InternalError", 500, after=True)
        if each.name in ("DeleteSnapshot", "DELETE") and each.number == 0
        else None
    )
    answer = call("destroy", "--yes", "--also-data", "pets", "--json")
    assert answer.code == 0, answer.err
    assert len(proxy.named("DELETE")) == 2
    assert finished in answer.document["deleted"]
    assert (answer.document["remaining"], bucket(), owned()) == ([], None, {})


def test_unfinished_work_under_a_key(call: Command) -> None:
    """Volumes from these snapshots need the same key. While the Prep stack is there, it has the work."""
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    work = take_snapshot(1000, role="work", Encrypted=True, KmsKeyId=key)
    training = call("destroy", "--stack", "training", "--yes", "--json").document
    assert training["settings_to_continue"] == {}
    answer = call("destroy", "--yes", "--json")
    assert answer.document["settings_to_continue"] == {"work_snapshot": work, "key": key}
    text = call("destroy", "--dry-run").out
    assert "(dataset, environment)" in text
    assert f'make deploy SETTINGS="… work_snapshot={work} key={key}"' in text


def test_unfinished_work_can_be_continued(call: Command, kept: list[str], published: str) -> None:
    boto3.client("ssm").delete_parameter(Name=PARAMETER)
    settings = call("destroy", "--yes", "--json").document["settings_to_continue"]
    roles = {owned()[each]["dataset-role"]: each for each in kept}
    assert settings == {"work_snapshot": roles["work"], "dataset_snapshot": roles["packed"]}
    wanted = f'make deploy SETTINGS="… work_snapshot={roles["work"]} dataset_snapshot={roles["packed"]}"'
    assert wanted in call("destroy", "--dry-run").out
    publish(published)
    assert call("destroy", "--yes", "--json").document["settings_to_continue"] == {}


def test_nothing_there(call: Command) -> None:
    answer = call("destroy", "--dataset", "cars", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert "nothing of cars is left" in answer.out


def test_refused(call: Command, proxy: Proxy) -> None:
    proxy.plan = lambda each: Refusal("AccessDenied", 403) if each.name == "DescribeStacks" else None
    answer = call("destroy", "--yes")
    assert (answer.code, answer.out, proxy.changes()) == (7, "", [])
    assert "look at the stack pets-cluster: DescribeStacks: AccessDenied" in answer.err
