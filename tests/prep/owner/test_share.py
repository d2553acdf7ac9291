"""Share: only what the other account can really use, and what it must do is said exactly."""

import json
import shlex
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.ec2.models import ec2_backends

from prep.errors import PrepError
from prep.owner import keys, share
from prep.owner.account import Account
from tests.conftest import REGION
from tests.prep.owner.conftest import (
    MANIFEST,
    OTHER,
    PARAMETER,
    Command,
    publish,
    take_snapshot,
)
from tests.prep.owner.lending import PROFILE, lend, write_profile
from tests.prep.owner.proxy import Proxy, Refusal

SHAPE = {
    "snapshot", "region", "manifest", "key", "key_kind", "checked", "shared_with", "commands", "dataset",
    "dry_run", "published_there",
}  # fmt: skip
OWN = {
    "Sid": "own",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "kms:*",
}


def make_key(*statements: dict[str, Any]) -> str:
    policy = {"Version": "2012-10-17", "Statement": [OWN | {"Resource": "*"}, *statements]}
    arn = boto3.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    return str(arn)


def shared(snapshot: str) -> list[str]:
    given = boto3.client("ec2").describe_snapshot_attribute(
        SnapshotId=snapshot, Attribute="createVolumePermission"
    )["CreateVolumePermissions"]
    return sorted(each["UserId"] for each in given)


@pytest.fixture
def encrypted(aws: str) -> str:
    """A published snapshot under a key that the other account may use."""
    assert aws
    snapshot = take_snapshot(Encrypted=True, KmsKeyId=make_key(*keys.statements(OTHER)))
    publish(snapshot)
    return snapshot


def test_shared(call: Command, encrypted: str) -> None:
    answer = call("share", "--account", OTHER, "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    assert set(document) == SHAPE
    assert shared(encrypted) == document["shared_with"] == [OTHER]
    assert (document["snapshot"], document["region"], document["manifest"]) == (encrypted, REGION, MANIFEST)
    assert (document["key_kind"], document["checked"], document["published_there"]) == (
        "customer",
        True,
        False,
    )


def test_commands_for_the_other_account(call: Command, encrypted: str) -> None:
    """They are whole: what is printed can be run there as it is."""
    copy, use = call("share", "--account", OTHER, "--json").document["commands"]
    assert shlex.split(copy) == [
        "python", "-m", "prep.owner", "copy", "--dataset", "pets", "--snapshot", encrypted,
        "--region", REGION, "--to", REGION, "--manifest", MANIFEST,
    ]  # fmt: skip
    tag, put = use.split(" && ")
    assert shlex.split(tag)[:7] == ["aws", "ec2", "create-tags", "--region", REGION, "--resources", encrypted]
    assert "Key=dataset,Value=pets" in shlex.split(tag)
    assert f"Key=dataset-manifest-sha256,Value={MANIFEST}" in shlex.split(tag)
    assert shlex.split(put)[5:7] == ["--name", PARAMETER]
    assert shlex.split(put)[-2:] == ["--value", encrypted]
    text = call("share", "--account", OTHER).out
    assert f"{encrypted} in {REGION} is shared with {OTHER}" in text
    assert copy in text
    assert use in text


def test_stop(call: Command, encrypted: str) -> None:
    third = "333333333333"
    key = boto3.client("ec2").describe_snapshots(SnapshotIds=[encrypted])["Snapshots"][0]["KmsKeyId"]
    statements = [OWN | {"Resource": "*"}, *keys.statements(OTHER), *keys.statements(third)]
    policy = {"Version": "2012-10-17", "Statement": statements}
    boto3.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    assert call("share", "--account", OTHER, "--account", third).code == 0
    assert shared(encrypted) == [OTHER, third]
    dry = call("share", "--account", OTHER, "--stop", "--dry-run")
    assert (dry.code, shared(encrypted)) == (0, [OTHER, third])
    answer = call("share", "--account", OTHER, "--stop", "--json")
    assert answer.code == 0, answer.err
    assert (answer.document["shared_with"], answer.document["commands"]) == ([third], [])
    assert shared(encrypted) == [third]
    assert "is not shared" in call("share", "--account", third, "--stop").out


def test_dry_run(call: Command, encrypted: str, proxy: Proxy) -> None:
    answer = call("share", "--account", OTHER, "--dry-run")
    assert answer.code == 0
    assert f"{encrypted} in {REGION} would be shared with {OTHER}" in answer.out
    assert proxy.changes() == []
    assert shared(encrypted) == []


def test_default_key(call: Command, proxy: Proxy, aws: str) -> None:
    assert aws
    snapshot = take_snapshot(Encrypted=True)
    answer = call("share", "--account", OTHER, "--snapshot", snapshot)
    assert (answer.code, answer.out) == (2, "")
    assert f"snapshot {snapshot} is encrypted with the default key aws/ebs, and can't be shared" in answer.err
    assert f"`python -m prep.owner copy --to {REGION} --key ARN`" in answer.err
    assert "deploy with key=new" in answer.err
    assert proxy.changes() == []


def test_key_that_the_account_may_not_use(call: Command, proxy: Proxy) -> None:
    """The statements to add are in the message, and after they are added it works."""
    key = make_key()
    snapshot = take_snapshot(Encrypted=True, KmsKeyId=key)
    answer = call("share", "--account", OTHER, "--snapshot", snapshot)
    assert (answer.code, answer.out) == (7, "")
    assert f"the key {key} does not let account {OTHER} call kms:Decrypt, kms:DescribeKey" in answer.err
    assert proxy.changes() == []
    statements = json.loads(answer.err[answer.err.index("[{") : answer.err.rindex("]") + 1])
    policy = {"Version": "2012-10-17", "Statement": [OWN | {"Resource": "*"}, *statements]}
    boto3.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    assert call("share", "--account", OTHER, "--snapshot", snapshot).code == 0
    assert shared(snapshot) == [OTHER]


USE = {"Effect": "Allow", "Action": [*keys.USE, keys.GRANT], "Resource": "*"}


@pytest.mark.parametrize(
    ("statements", "lacking"),
    [
        ([], [*keys.USE, keys.GRANT]),
        ([USE | {"Principal": {"AWS": OTHER}}], []),
        ([USE | {"Principal": "*", "Condition": {"StringEquals": {"kms:CallerAccount": OTHER}}}], []),
        (
            [USE | {"Principal": "*", "Condition": {"StringEquals": {"kms:CallerAccount": "111111111111"}}}],
            [*keys.USE, keys.GRANT],
        ),
        ([USE | {"Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}}], []),
        ([USE | {"Principal": {"AWS": [f"arn:aws:iam::{OTHER}:role/trainer"]}}], []),
        ([USE | {"Principal": "*"}], []),
        ([USE | {"Principal": {"AWS": "arn:aws:iam::333333333333:root"}}], [*keys.USE, keys.GRANT]),
        ([USE | {"Principal": {"Service": "ec2.amazonaws.com"}}], [*keys.USE, keys.GRANT]),
        ([USE | {"Principal": {"AWS": OTHER}, "Effect": "Deny"}], [*keys.USE, keys.GRANT]),
        ([USE | {"Principal": {"AWS": OTHER}, "Action": "kms:*"}], []),
        ([USE | {"Principal": {"AWS": OTHER}, "Action": list(keys.USE)}], [keys.GRANT]),
        (
            [USE | {"Principal": {"AWS": OTHER}, "Action": ["kms:ReEncrypt*", "kms:GenerateDataKey*"]}],
            ["kms:Decrypt", "kms:DescribeKey", keys.GRANT],
        ),
    ],
)
def test_policies(account: Account, statements: list[dict[str, Any]], lacking: list[str]) -> None:
    assert keys.missing(account, make_key(*statements), OTHER) == lacking


def test_a_grant_counts_as_well(account: Account) -> None:
    key = make_key()
    operations: list[Any] = [action.removeprefix("kms:") for action in (*keys.USE, keys.GRANT)]
    boto3.client("kms").create_grant(
        KeyId=key, GranteePrincipal=f"arn:aws:iam::{OTHER}:role/trainer", Operations=operations
    )
    assert keys.missing(account, key, OTHER) == []
    assert keys.missing(account, key, "333333333333") == [*keys.USE, keys.GRANT]


def test_policy_that_may_not_be_read(call: Command, encrypted: str, proxy: Proxy) -> None:
    """Then KMS decides, and the user knows that nobody has checked."""
    proxy.plan = lambda each: Refusal("AccessDeniedException") if each.name == "GetKeyPolicy" else None
    answer = call("share", "--account", OTHER, "--json")
    assert (answer.code, answer.document["checked"]) == (0, False)
    assert "may not read the policy of" in answer.err
    assert shared(encrypted) == [OTHER]


def test_published_in_the_other_account(
    call: Command, encrypted: str, aws: str, tmp_path: Path, proxy: Proxy
) -> None:
    """Its own tags, because it doesn't see ours; its own parameter."""
    write_profile(aws, tmp_path / "credentials")
    assert call("share", "--account", OTHER).code == 0
    lend(encrypted)
    dry = call("share", "--account", OTHER, "--profile", PROFILE, "--dry-run")
    assert (dry.code, proxy.changes()) == (0, [])
    answer = call("share", "--account", OTHER, "--profile", PROFILE, "--json")
    assert answer.code == 0, answer.err
    assert answer.document["published_there"] is True
    session = boto3.Session(profile_name=PROFILE)
    assert session.client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"] == encrypted
    (seen,) = session.client("ec2").describe_snapshots(SnapshotIds=[encrypted])["Snapshots"]
    tags = {tag["Key"]: tag["Value"] for tag in seen["Tags"]}
    assert tags == {"Name": "pets", "dataset": "pets", "dataset-manifest-sha256": MANIFEST}
    assert (
        "tagged and published in the other account"
        in call("share", "--account", OTHER, "--profile", PROFILE).out
    )


def test_the_other_account_sees_it_late(encrypted: str, call: Command, aws: str, tmp_path: Path) -> None:
    """Descriptions are eventually consistent; a snapshot that never shows is an error, in bounded time."""
    write_profile(aws, tmp_path / "credentials")
    assert call("share", "--account", OTHER).code == 0
    other = Account(REGION, PROFILE)
    pauses: list[float] = []
    with pytest.raises(PrepError, match=f"{encrypted}: not there in us-east-1, or not shared with account"):
        share.adopt(other, "pets", encrypted, MANIFEST, pauses.append)
    assert pauses == list(share.PAUSES)

    def show(_seconds: float) -> None:
        lend(encrypted)

    assert share.adopt(other, "pets", encrypted, MANIFEST, show) is None


@pytest.mark.usefixtures("encrypted")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--account", "123"], 2, "'123' is not an account's number: twelve digits"),
        ([], 2, "Missing option '--account'"),
        (["--account", OTHER, "--snapshot", "vol-1"], 2, "'vol-1' is not a snapshot's ID"),
        (["--account", OTHER, "--snapshot", "snap-00000000"], 1, "snap-00000000: not there in us-east-1"),
        (["--account", OTHER, "--dataset", "cars"], 2, "/cars/snapshot-id names no snapshot in us-east-1"),
        (["--account", OTHER, "--profile", "nobody"], 3, r"nobody.*could not be found.*list-profiles"),
        (["--account", "333333333333", "--profile", PROFILE], 2, f"is of account {OTHER}, not 333333333333"),
        (["--account", OTHER, "--profile", PROFILE, "--stop"], 2, "--profile is for one --account"),
    ],
)
def test_mistakes(
    call: Command, proxy: Proxy, aws: str, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    import re

    write_profile(aws, tmp_path / "credentials")
    answer = call("share", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert re.search(message, answer.err), answer.err
    assert len(answer.err.splitlines()) == 1
    assert proxy.changes() == []


def test_somebody_elses_snapshot(call: Command, encrypted: str) -> None:
    ec2_backends["123456789012"][REGION].snapshots[encrypted].owner_id = OTHER
    answer = call("share", "--account", "333333333333")
    assert answer.code == 2
    assert f"snapshot {encrypted} is of account {OTHER}: make a copy of your own" in answer.err
