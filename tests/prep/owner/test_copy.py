"""Copy: into another Region, under another key, from another account; a second run finds the first one's."""

import threading
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends

from prep.stages import snapshot as stage
from tests.conftest import REGION
from tests.prep.owner.conftest import (
    ACCOUNT,
    MANIFEST,
    OTHER,
    PARAMETER,
    Command,
    owned,
    parameter,
    take_snapshot,
)
from tests.prep.owner.lending import PROFILE, lend, write_profile
from tests.prep.owner.proxy import Proxy, Refusal

THERE = "eu-west-1"
SHAPE = {
    "snapshot", "region", "source", "source_region", "key", "resumed", "published_before", "once_usd",
    "month_usd", "dataset", "dry_run",
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(stage, "LONGEST_PAUSE", 0.1)


def test_into_another_region(call: Command, published: str) -> None:
    answer = call("copy", "--to", THERE, "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    assert set(document) == SHAPE
    (copy,) = owned(THERE)
    assert document["snapshot"] == copy != published
    assert owned(THERE)[copy] == {
        "Name": "pets",
        "dataset": "pets",
        "dataset-manifest-sha256": MANIFEST,
        "dataset-copy-of": published,
    }
    assert (parameter(THERE), parameter()) == (copy, published)
    assert (document["source"], document["source_region"], document["region"]) == (published, REGION, THERE)
    assert (document["resumed"], document["published_before"]) == (False, None)
    assert (document["once_usd"], document["month_usd"]) == (0.16, 0.4)


def test_a_second_run_finds_the_copy(call: Command, published: str, proxy: Proxy) -> None:
    first = call("copy", "--to", THERE, "--json").document
    again = call("copy", "--to", THERE, "--json").document
    assert (again["snapshot"], again["resumed"]) == (first["snapshot"], True)
    assert proxy.changes() == []
    assert len(owned(THERE)) == 1
    assert f"a copy of {published}" in call("copy", "--to", THERE).out


@pytest.mark.usefixtures("published")
def test_interrupted_and_run_again(call: Command, proxy: Proxy, aws: str) -> None:
    """The copy goes on without us; the next run waits for it, and only then publishes it."""
    copies = ec2_backends[ACCOUNT][THERE].snapshots

    def pending() -> list[Any]:
        found = [each for each in list(copies.values()) if each.volume.size == 8]
        for each in found:
            each.status = "pending"
        return found

    proxy.plan = lambda each: (
        Refusal("UnauthorizedOperation", 403)
        if each.name == "DescribeSnapshots" and pending() and each.number > 4
        else None
    )
    assert call("copy", "--to", THERE).code == 7
    assert parameter(THERE) is None
    proxy.plan = None
    (copy,) = owned(THERE)

    early: list[str | None] = []

    def complete() -> None:
        time.sleep(0.5)
        early.append(parameter(THERE, aws))
        copies[copy].status = "completed"

    thread = threading.Thread(target=complete)
    thread.start()
    answer = call("copy", "--to", THERE, "--json")
    thread.join()
    assert answer.code == 0, answer.err
    assert early == [None]
    assert (answer.document["snapshot"], answer.document["resumed"]) == (copy, True)
    assert parameter(THERE) == copy


def test_a_copy_that_failed_is_made_again(call: Command, published: str) -> None:
    first = call("copy", "--to", THERE, "--json").document["snapshot"]
    ec2_backends[ACCOUNT][THERE].snapshots[first].status = "error"
    second = call("copy", "--to", THERE, "--json").document
    assert second["snapshot"] != first
    assert (second["resumed"], second["published_before"]) == (False, first)
    assert published != second["snapshot"]


def test_failure_while_it_is_copied(call: Command, proxy: Proxy, published: str) -> None:
    """EC2 finds out about a key it may not use after the call."""

    def fail(each: Any) -> None:
        for held in list(ec2_backends[ACCOUNT][THERE].snapshots.values()):
            if each.name == "DescribeSnapshots" and held.volume.size == 8:
                held.status = "error"

    proxy.plan = fail
    answer = call("copy", "--to", THERE)
    assert answer.code == 7
    assert "failed" in answer.err.splitlines()[-1]
    assert parameter(THERE) is None
    assert parameter() == published


def test_under_a_key_in_the_same_region(call: Command, published: str) -> None:
    """As `share` asks for, if the snapshot has the default key."""
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    answer = call("copy", "--to", REGION, "--key", key, "--json")
    assert answer.code == 0, answer.err
    copy = answer.document["snapshot"]
    (found,) = boto3.client("ec2").describe_snapshots(SnapshotIds=[copy])["Snapshots"]
    assert (found["KmsKeyId"], found["Encrypted"]) == (key, True)
    assert (answer.document["published_before"], parameter()) == (published, copy)
    assert f"named {published} before" in answer.err
    assert answer.document["once_usd"] == 0
    assert call("share", "--account", OTHER, "--dry-run").code == 7  # its policy lacks the account, no more


def test_another_key_is_another_copy(call: Command, published: str) -> None:
    assert published
    kms = boto3.client("kms", region_name=THERE)
    one, two = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    first = call("copy", "--to", THERE, "--key", one, "--json").document
    second = call("copy", "--to", THERE, "--key", two, "--json").document
    assert first["snapshot"] != second["snapshot"]
    assert call("copy", "--to", THERE, "--key", one, "--json").document["snapshot"] == first["snapshot"]


def test_dry_run(call: Command, proxy: Proxy, published: str) -> None:
    answer = call("copy", "--to", THERE, "--dry-run")
    assert answer.code == 0, answer.err
    assert f"{published} would be copied to {THERE}: at most $0.16 once and $0.40 a month" in answer.out
    assert f"those of {THERE} differ" in answer.out
    assert proxy.changes() == []
    document = call("copy", "--to", THERE, "--dry-run", "--json").document
    assert (set(document), document["dry_run"], document["snapshot"]) == (SHAPE, True, "")
    assert owned(THERE) == {}


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key_state": "PendingDeletion"}, "its state is PendingDeletion: give another key of eu-west-1"),
        ({"key_spec": "RSA_2048"}, "it is of the kind RSA_2048, and EBS takes symmetric keys only"),
        ({"id": "gone"}, "there is no such key in eu-west-1"),
    ],
)
def test_keys_that_ebs_cannot_use(call: Command, proxy: Proxy, changes: dict[str, str], message: str) -> None:
    """EC2 would find that out when the copy has been accepted."""
    key = boto3.client("kms", region_name=THERE).create_key()["KeyMetadata"]
    held = kms_backends[ACCOUNT][THERE].keys
    if "id" in changes:
        del held[key["KeyId"]]
    for name, value in changes.items():
        if name != "id":
            setattr(held[key["KeyId"]], name, value)
    answer = call("copy", "--to", THERE, "--key", key["Arn"])
    assert (answer.code, answer.out, proxy.changes()) == (2, "", [])
    assert message in answer.err


def test_key_that_may_not_be_looked_at(call: Command, proxy: Proxy, published: str) -> None:
    """Then EC2 decides."""
    assert published
    key = boto3.client("kms", region_name=THERE).create_key()["KeyMetadata"]["Arn"]
    proxy.plan = lambda each: Refusal("AccessDeniedException") if each.name == "DescribeKey" else None
    assert call("copy", "--to", THERE, "--key", key).code == 0


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", REGION], 2, "is in us-east-1 already: give another Region with --to, or a --key"),
        (["--to", "Mars"], 2, "'Mars' is not a Region"),
        (["--to", THERE, "--key", "alias/mine"], 2, "--key alias/mine: give the ARN of a key in eu-west-1"),
        (["--to", THERE, "--key", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"], 2, "ARN of a key in eu-west-1"),
        (["--to", THERE, "--key", f"arn:aws:kms:{THERE}:{ACCOUNT}:alias/k"], 2, "ARN of a key in eu-west-1"),
        (["--to", THERE, "--manifest", "x"], 2, "'x' is not a SHA-256"),
        (["--to", THERE, "--snapshot", "snap-00000000"], 1, "snap-00000000: not there in us-east-1"),
        (["--to", THERE, "--dataset", "cars"], 2, "/cars/snapshot-id names no snapshot in us-east-1"),
    ],
)
def test_mistakes(call: Command, proxy: Proxy, arguments: list[str], code: int, message: str) -> None:
    answer = call("copy", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1
    assert proxy.changes() == []


def test_lost_answer_makes_no_second_copy(call: Command, proxy: Proxy, published: str) -> None:
    """CopySnapshot has no token: it is not repeated; the next run finds what the first call made."""
    assert published
    proxy.plan = lambda each: Refusal("Broken", 500, after=True) if each.name == "CopySnapshot" else None
    assert call("copy", "--to", THERE).code == 7
    assert len(proxy.named("CopySnapshot")) == 1
    (copy,) = owned(THERE)
    answer = call("copy", "--to", THERE, "--json")
    assert answer.code == 0, answer.err
    assert (answer.document["snapshot"], answer.document["resumed"]) == (copy, True)
    assert proxy.named("CopySnapshot") == []
    assert parameter(THERE) == copy


@pytest.mark.parametrize("command", [["copy", "--to", THERE], ["share", "--account", OTHER]])
def test_only_checked_data(call: Command, proxy: Proxy, published: str, command: list[str]) -> None:
    """The last snapshot of a volume, or one of another data set, is not what training instances need."""
    work = take_snapshot(role="work")
    answer = call(*command, "--snapshot", work)
    assert (answer.code, answer.out, proxy.changes()) == (2, "", [])
    assert f"snapshot {work} has no tag dataset-manifest-sha256, so it does not hold checked" in answer.err
    answer = call(*command, "--dataset", "cars", "--snapshot", published)
    assert (answer.code, answer.out, proxy.changes()) == (2, "", [])
    assert f"snapshot {published} has no tag dataset=cars" in answer.err


def test_shared_snapshot_into_the_other_account(
    call: Command, published: str, aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that `share` prints, and the other account's credentials."""
    printed = call("share", "--account", OTHER, "--json").document["commands"][0].split()
    lend(published)
    write_profile(aws, tmp_path / "credentials")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", PROFILE)
    boto3.setup_default_session()
    from prep.aws import clients

    clients._session.cache_clear()
    try:
        answer = call(*printed[3:], "--json")
        assert answer.code == 0, answer.err
        session = boto3.Session(profile_name=PROFILE)
        copy = answer.document["snapshot"]
        (found,) = session.client("ec2").describe_snapshots(SnapshotIds=[copy])["Snapshots"]
        assert found["OwnerId"] == OTHER
        tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
        assert tags["dataset-manifest-sha256"] == MANIFEST
        assert (tags["dataset"], tags["dataset-copy-of"]) == ("pets", published)
        assert session.client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"] == copy
    finally:
        monkeypatch.undo()
        boto3.DEFAULT_SESSION = None


def test_not_complete_yet(call: Command, published: str) -> None:
    ec2_backends[ACCOUNT][REGION].snapshots[published].status = "pending"
    answer = call("copy", "--to", THERE)
    assert answer.code == 2
    assert f"snapshot {published} is pending: wait until it is complete" in answer.err
    assert take_snapshot() != published
