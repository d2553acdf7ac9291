"""The list of snapshots, and what prune deletes of it: never what somebody needs."""

from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from moto.ec2.models import ec2_backends

from prep.aws import retries
from prep.owner import options
from tests.conftest import REGION
from tests.prep.owner.conftest import ACCOUNT, MANIFEST, OTHER, Command, owned, publish, take_snapshot
from tests.prep.owner.proxy import Proxy, Refusal

SHAPE = {
    "snapshot", "dataset", "kind", "manifest", "volume", "copy_of", "volume_gib", "used_gb", "started",
    "age_days", "state", "progress", "key", "key_kind", "shared_with", "published", "month_usd",
    "month_is_most",
}  # fmt: skip


def age(snapshot: str, days: float) -> None:
    """Moto knows no time but now: this is its own state."""
    held = ec2_backends[ACCOUNT][REGION].snapshots[snapshot]
    held.start_time = held.start_time - timedelta(days=days)


@pytest.fixture
def four(aws: str) -> list[str]:
    """Four snapshots of the data, the newest first; the third is published."""
    assert aws
    made = [take_snapshot(gib=20 + number) for number in range(4)]
    for number, snapshot in enumerate(made):
        age(snapshot, number * 10)
    publish(made[2])
    return made


def test_list(call: Command, four: list[str]) -> None:
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    encrypted = take_snapshot(10, Encrypted=True, KmsKeyId=key)
    age(encrypted, 1)
    plain = take_snapshot(10, Encrypted=True)
    age(plain, 2)
    work = take_snapshot(1000, role="work")
    age(work, 50)
    take_snapshot(5)
    boto3.client("ec2").modify_snapshot_attribute(
        SnapshotId=four[1], Attribute="createVolumePermission", OperationType="add", UserIds=[OTHER]
    )
    answer = call("snapshots", "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    assert set(document) == {"dataset", "region", "snapshots", "month_usd"}
    found = {each["snapshot"]: each for each in document["snapshots"]}
    assert all(set(each) == SHAPE for each in found.values())
    ages = [each["age_days"] for each in document["snapshots"]]
    assert ages == sorted(ages)
    assert list(found)[-1] == work
    assert [name for name, each in found.items() if each["published"]] == [four[2]]
    assert {each["kind"] for name, each in found.items() if name != work} == {"data"}
    assert (found[work]["kind"], found[work]["month_usd"], found[work]["manifest"]) == ("work", 50.0, "")
    assert found[four[0]]["manifest"] == MANIFEST
    assert (found[four[3]]["volume_gib"], found[four[3]]["age_days"]) == (23, 30.0)
    assert found[four[3]]["month_usd"] == pytest.approx(23 * 0.05)
    assert found[four[3]]["month_is_most"] is True
    assert found[four[1]]["shared_with"] == [OTHER]
    assert (found[encrypted]["key"], found[encrypted]["key_kind"]) == (key, "customer")
    assert found[plain]["key_kind"] == "default"
    assert found[four[0]]["key_kind"] == "none"
    assert datetime.fromisoformat(found[work]["started"]).tzinfo is not None
    assert document["month_usd"] == pytest.approx(sum(each["month_usd"] for each in found.values()))


def test_of_one_data_set_only(call: Command, four: list[str]) -> None:
    assert len(call("snapshots", "--json").document["snapshots"]) == len(four)
    assert call("snapshots", "--dataset", "cars").out.startswith("no snapshots\n")


def test_table(call: Command, four: list[str]) -> None:
    lines = call("snapshots").out.splitlines()
    assert lines[0].split() == [
        "snapshot", "kind", "manifest", "GiB", "days", "state", "key", "shared", "with", "published", "a",
        "month",
    ]  # fmt: skip
    assert lines[3].split() == [
        four[2], "data", "a" * 12, "22", "20.0", "completed", "none", "-", "yes", "<$1.10"
    ]  # fmt: skip
    assert lines[-1].startswith("list prices of us-east-1 of 20")


def test_nothing_from_a_tag_steers_the_terminal(call: Command, four: list[str]) -> None:
    """XML has no escape, but the one-byte form of its sequence, and what turns the direction of text."""
    tag = {"Key": "dataset-manifest-sha256", "Value": "\x9b31mred\u202e"}
    boto3.client("ec2").create_tags(Resources=four, Tags=[tag])  # type: ignore[list-item]
    out = call("snapshots").out
    assert "?31mred?" in out
    assert not {"\x9b", "\u202e"} & set(out)
    shared = call("share", "--account", OTHER).out
    assert "?31mred?" in shared
    assert not {"\x9b", "\u202e"} & set(shared)


def test_what_the_blocks_hold_is_what_costs(call: Command, monkeypatch: pytest.MonkeyPatch, aws: str) -> None:
    """Moto does not tell; EC2 does since 2025."""
    assert aws
    from moto.ec2.models.elastic_block_store import Snapshot

    take_snapshot(200)
    monkeypatch.setattr(Snapshot, "full_snapshot_size_in_bytes", 140 << 30, raising=False)
    (found,) = call("snapshots", "--json").document["snapshots"]
    assert (found["month_usd"], found["month_is_most"]) == (7.0, False)
    assert found["used_gb"] == pytest.approx((140 << 30) / 1e9, abs=0.1)


def test_prune_keeps_the_newest_and_the_published(call: Command, four: list[str], proxy: Proxy) -> None:
    work = take_snapshot(1000, role="work")
    age(work, 99)
    pending = take_snapshot()
    age(pending, 98)
    ec2_backends[ACCOUNT][REGION].snapshots[pending].status = "pending"
    cars = take_snapshot()
    boto3.client("ec2").create_tags(Resources=[cars], Tags=[{"Key": "dataset", "Value": "cars"}])
    dry = call("snapshots", "prune", "--keep", "1", "--dry-run", "--json")
    assert [each["snapshot"] for each in dry.document["snapshots"]] == [four[1], four[3]]
    assert dry.document["deleted"] == []
    assert proxy.changes() == []
    assert len(owned()) == 7
    answer = call("snapshots", "prune", "--keep", "1", "--yes", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["deleted"] == [four[1], four[3]]
    assert set(owned()) == {four[0], four[2], work, pending, cars}
    assert call("snapshots", "prune", "--keep", "1", "--yes").out == "nothing to delete\n"


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("answers", [None, False, True])
def test_prune_asks(
    call: Command, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, answers: bool | None
) -> None:
    """Without a terminal there is nobody to ask."""
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return bool(answers)

    monkeypatch.setattr(options.sys.stdin, "isatty", lambda: answers is not None)
    monkeypatch.setattr(options.click, "confirm", confirm)
    answer = call("snapshots", "prune", "--keep", "2")
    if answers:
        assert (answer.code, proxy.changes()) == (0, ["DeleteSnapshot"])
        return
    assert (answer.code, answer.out, proxy.changes()) == (1, "", [])
    assert "not confirmed: nothing was deleted" in answer.err
    question = f"Delete these 1 snapshots, in account {ACCOUNT}, {REGION}? They can't be restored."
    assert asked == ([] if answers is None else [question])


@pytest.mark.usefixtures("four")
def test_refused(call: Command, proxy: Proxy) -> None:
    proxy.plan = lambda each: (
        Refusal("UnauthorizedOperation", 403) if each.name == "DescribeSnapshots" else None
    )
    answer = call("snapshots")
    assert (answer.code, answer.out) == (7, "")
    assert "list the snapshots of pets: DescribeSnapshots: UnauthorizedOperation" in answer.err
    assert "allow this role to call DescribeSnapshots" in answer.err


def test_snapshot_in_use(call: Command, proxy: Proxy, four: list[str]) -> None:
    proxy.plan = lambda each: Refusal("InvalidSnapshot.InUse") if each.name == "DeleteSnapshot" else None
    answer = call("snapshots", "prune", "--keep", "1", "--yes")
    assert answer.code == 7
    assert f"delete snapshot {four[1]}: DeleteSnapshot: InvalidSnapshot.InUse" in answer.err
    assert len(owned()) == 4


@pytest.mark.usefixtures("four")
def test_key_that_may_not_be_looked_at(call: Command, proxy: Proxy) -> None:
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    snapshot = take_snapshot(10, Encrypted=True, KmsKeyId=key)
    proxy.plan = lambda each: (
        Refusal("AccessDeniedException", message="no") if each.name == "DescribeKey" else None
    )
    found = call("snapshots", "--json").document["snapshots"]
    assert {each["snapshot"]: each["key_kind"] for each in found}[snapshot] == "unknown"


def test_keep_is_needed(call: Command) -> None:
    assert "Missing option '--keep'" in call("snapshots", "prune").err
    assert "'--keep': 0 is not in the range" in call("snapshots", "prune", "--keep", "0").err


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    "option", [["--dataset", "cars"], ["--region", REGION], ["--environment", "dev"], ["--json"]]
)
def test_options_before_prune_are_refused(call: Command, proxy: Proxy, option: list[str]) -> None:
    """They would be those of the list: prune would delete the snapshots of the default data set."""
    answer = call("snapshots", *option, "prune", "--keep", "1", "--yes")
    assert (answer.code, answer.out, proxy.calls) == (2, "", [])
    assert "give all options after prune" in answer.err


def test_environment(call: Command, four: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is part of the name that the tags and the parameter have."""
    boto3.client("ec2").create_tags(Resources=four[:1], Tags=[{"Key": "dataset", "Value": "pets-dev"}])
    for document in (
        call("snapshots", "--environment", "dev", "--json").document,
        call("snapshots", "--dataset", "pets-dev", "--json").document,
    ):
        assert document["dataset"] == "pets-dev"
        assert [each["snapshot"] for each in document["snapshots"]] == four[:1]
    assert "'Dev' is not the name of an environment" in call("snapshots", "--environment", "Dev").err
    long = call("snapshots", "--dataset", "x" * 20, "--environment", "y" * 15)
    assert (long.code, "has more than 30 characters" in long.err) == (2, True)
    monkeypatch.setenv("PREP_ENVIRONMENT", "dev")
    assert call("snapshots", "prune", "--keep", "1", "--yes", "--json").document["dataset"] == "pets-dev"
    assert set(owned()) == set(four)


def test_region_as_the_cdk_takes_it(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert call("snapshots", "--json").document["region"] == "eu-west-1"
    assert call("snapshots", "--region", REGION, "--json").document["region"] == REGION


@pytest.mark.usefixtures("four")
def test_deleted_but_still_listed(call: Command, proxy: Proxy) -> None:
    proxy.plan = lambda each: (
        Refusal("InvalidSnapshot.NotFound") if each.name == "DescribeSnapshotAttribute" else None
    )
    answer = call("snapshots", "--json")
    assert answer.code == 0, answer.err
    assert all(each["shared_with"] == [] for each in answer.document["snapshots"])


def test_lost_answer_of_a_deletion(
    call: Command, proxy: Proxy, four: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeated call finds nothing to delete: that is what was wanted."""
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.2)
    proxy.plan = lambda each: (
        Refusal("InternalError", 500, after=True)
        if each.name == "DeleteSnapshot" and not each.number
        else None
    )
    answer = call("snapshots", "prune", "--keep", "2", "--yes", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["deleted"] == [four[3]]
    assert len(proxy.named("DeleteSnapshot")) == 2
