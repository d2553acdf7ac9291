"""Destroy: what remains is listed with its price; the data, and what is spare, goes only when asked for."""

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from prep import prices
from prep.owner import destroy, options, remains
from prep.owner.account import Account
from prep.owner.options import SNAPSHOT
from tests.conftest import REGION
from tests.prep.owner.conftest import (
    DATASET,
    PARAMETER,
    Command,
    owned,
    parameter,
    publish,
    take_snapshot,
)
from tests.prep.owner.proxy import Proxy
from tests.prep.owner.there import STACKS, bucket, fill, stacks

pytestmark = pytest.mark.usefixtures("deployed")


def test_the_spare_snapshot_is_offered(call: Command, finished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 has what it holds: $50 a month for nothing, at most. Only the newest, and only on a yes."""
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr(options.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(options.click, "confirm", confirm)
    answer = call("destroy", "--yes", "--json")
    assert answer.document["deleted"] == [*STACKS, finished]
    (question,) = asked
    assert question.startswith(f"{finished} of the work volume costs up to $50.00 a month, and S3 has its")
    assert finished not in owned()
    assert len(owned()) == 2


def test_yes_alone_does_not_delete_it(call: Command, finished: str) -> None:
    answer = call("destroy", "--yes", "--json")
    assert answer.document["deleted"] == STACKS
    assert "Then run again with --work-snapshot delete" in answer.err
    assert call("destroy", "--yes", "--work-snapshot", "keep").err.count("--work-snapshot delete") == 0
    assert finished in owned()
    answer = call("destroy", "--yes", "--work-snapshot", "delete", "--json")
    assert answer.document["deleted"] == [finished]
    assert finished not in owned()


@pytest.mark.parametrize("lacks", ["backup", "published", "complete"])
def test_what_is_not_safe_is_not_offered(call: Command, finished: str, lacks: str) -> None:
    if lacks == "backup":
        boto3.client("s3").delete_object(Bucket=bucket() or "", Key="pets/receipts/backup.json")
    elif lacks == "published":
        boto3.client("ssm").delete_parameter(Name=PARAMETER)
    else:
        publish("snap-00000000")
    answer = call("destroy", "--yes", "--work-snapshot", "delete", "--json")
    assert (answer.code, answer.document["deleted"]) == (0, STACKS)
    assert finished in owned()


@pytest.mark.usefixtures("finished")
def test_data_goes_only_with_its_name(call: Command, proxy: Proxy) -> None:
    answer = call("destroy", "--yes", "--also-data", "cars")
    assert (answer.code, answer.out, proxy.calls) == (2, "", [])
    assert "--also-data cars is not the data set, pets: nothing was deleted" in answer.err
    assert len(owned()) == 3


def test_also_the_data(call: Command, finished: str, kept: list[str]) -> None:
    """Everything of this data set, all versions and unfinished uploads; nothing of another, no secret."""
    boto3.client("secretsmanager").create_secret(Name="pets/credentials", SecretString="{}")
    other = take_snapshot()
    boto3.client("ec2").create_tags(Resources=[other], Tags=[{"Key": "dataset", "Value": "cars"}])
    boto3.client("s3").delete_object(Bucket=bucket() or "", Key="pets/archives/train.tar")
    boto3.client("s3").create_multipart_upload(Bucket=bucket() or "", Key="pets/archives/other.tar")
    before = set(owned())
    name = bucket()
    dry = call("destroy", "--dry-run", "--also-data", "pets")
    assert "This can't be undone" in dry.out
    assert set(owned()) == before
    answer = call("destroy", "--yes", "--also-data", "pets", "--json")
    assert answer.code == 0, answer.err
    deleted = answer.document["deleted"]
    assert deleted[:4] == [*STACKS, PARAMETER]
    assert {each for each in deleted if SNAPSHOT.fullmatch(each)} == (before | set(kept)) - {other}
    assert deleted[-1] == name
    assert finished in deleted
    assert (bucket(), parameter(), set(owned())) == (None, None, {other})
    assert [each["what"] for each in answer.document["remaining"]] == ["secret"]


def test_another_region_is_left_alone(call: Command, published: str) -> None:
    """A list of buckets has those of every Region: what is deleted in one must not be another's."""
    fill("pets/packed/train.rec")
    there = "eu-west-1"
    copy = call("copy", "--to", there, "--json").document["snapshot"]
    answer = call("destroy", "--region", there, "--yes", "--also-data", "pets", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["deleted"] == [PARAMETER, copy]
    assert (stacks(), parameter(), set(owned())) == (sorted(STACKS), published, {published})
    assert bucket() is not None


def test_deleted_but_still_listed(account: Account) -> None:
    """Lists of AWS have what was deleted for some time."""
    assert remains.find_buckets(account, "pets", ["pets-dataset-gone"]) == [bucket()]
    assert remains.contents(account, "pets-dataset-gone", lambda _: None) == remains.Contents(0, 0)


def test_what_earlier_deployments_have_left(call: Command, published: str) -> None:
    """Each deployment has a bucket of its own; user data could not delete a volume."""
    old = "pets-dataset-backup-old"
    s3, ec2 = boto3.client("s3"), boto3.client("ec2")
    for name, dataset in ((old, "pets"), ("pets-dataset-of-cars", "cars")):
        s3.create_bucket(Bucket=name)
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "dataset", "Value": dataset}]})
    tags = [{"Key": "dataset", "Value": "pets"}, {"Key": "dataset-role", "Value": "restored"}]
    volume = ec2.create_volume(
        AvailabilityZone=f"{REGION}a", Size=10, VolumeType="gp3",
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],  # type: ignore[list-item]
    )["VolumeId"]  # fmt: skip
    name = bucket()
    things = {each["name"]: each for each in call("destroy", "--yes", "--json").document["remaining"]}
    assert {name, old, published, volume} <= set(things)
    assert "pets-dataset-of-cars" not in things
    assert (things[volume]["what"], things[volume]["month_usd"]) == ("volume", 0.8)
    answer = call("destroy", "--yes", "--also-data", "pets", "--json")
    assert answer.code == 0, answer.err
    assert set(answer.document["deleted"]) == {PARAMETER, published, volume, name, old}
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == ["pets-dataset-of-cars"]


def test_bucket_of_the_stack_goes_even_if_nothing_else_leads_to_it(call: Command) -> None:
    """Its tag was removed: after the stack is gone, it is known from the plan before."""
    boto3.client("s3").delete_bucket_tagging(Bucket=bucket() or "")
    name = bucket()
    answer = call("destroy", "--yes", "--also-data", "pets", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["deleted"][-1] == name
    assert bucket() is None


def test_the_spare_snapshot_is_not_offered_while_prep_is_there(call: Command, finished: str) -> None:
    answer = call("destroy", "--stack", "training", "--yes", "--work-snapshot", "delete", "--json")
    assert answer.document["deleted"] == ["pets-training"]
    assert finished in owned()


def test_the_secret_has_no_environment(call: Command) -> None:
    boto3.client("secretsmanager").create_secret(Name="pets/credentials", SecretString="{}")
    document = call("destroy", "--environment", "dev", "--dry-run", "--json").document
    assert document["dataset"] == "pets-dev"
    (secret,) = document["remaining"]
    assert (secret["what"], secret["name"]) == ("secret", "pets/credentials")
    assert "every environment of the data set uses it" in secret["note"]


def test_a_key_is_listed_once(account: Account) -> None:
    """The stack knew it by its ID; the last snapshots of the volumes, by its ARN."""
    arn = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    take_snapshot(role="work", Encrypted=True, KmsKeyId=arn)
    kept = remains.Thing("key", arn.rpartition("/")[2], None, 1.0, "kept by its stack")
    before = destroy.Plan(destroy.Wish(DATASET, DATASET, ()), [], False, [], [], [], [kept])
    plan = destroy.make_plan_after(account, before, (), prices.load(), datetime.now(UTC), lambda _: None)
    assert [each.name for each in plan.remaining if each.what == "key"] == [arn]


def test_a_key_is_named_even_when_nothing_leads_to_it_any_more(call: Command, deployed: str) -> None:
    """It costs a dollar a month, and is not deleted: copies elsewhere may need it."""
    assert deployed
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    take_snapshot(Encrypted=True, KmsKeyId=key)
    answer = call("destroy", "--yes", "--also-data", "pets", "--json")
    assert answer.code == 0, answer.err
    assert [(each["what"], each["name"], each["month_usd"]) for each in answer.document["remaining"]] == [
        ("key", key, 1.0)
    ]
