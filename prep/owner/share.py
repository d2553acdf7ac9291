"""Share: let other accounts make volumes from a snapshot, after its key's rules have been checked.

The other account doesn't see the tags of a shared snapshot, but it may give it tags of its own, at which its
policies then look. The role of training instances asks for the tag with the data set's name: `adopt` sets it.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
"""

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from prep import contract
from prep.aws.errors import aws_errors
from prep.aws.retries import Note
from prep.errors import AwsError, DescriptionError
from prep.owner import keys, snapshots
from prep.owner.account import Account, publish, published_snapshot

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import SnapshotTypeDef

# The other account may see a shared snapshot some seconds later, as descriptions are eventually consistent.
# https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
PAUSES = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Sharing:
    """A snapshot, and the accounts that may use it. `checked`: the key's policy lets them."""

    snapshot: str
    region: str
    manifest: str
    key: str
    key_kind: str
    checked: bool
    shared_with: list[str]
    commands: list[str]


def share(
    account: Account, dataset: str, snapshot: str | None, others: Sequence[str], dry_run: bool, note: Note
) -> Sharing:
    """Let other accounts use a snapshot, by default the published one.

    Raises:
        DescriptionError: nothing is published, the snapshot isn't this account's or not checked data, or has
            the default key.
        AwsError: the key's policy does not let an account use the key, or a call was refused.
    """
    found = _own_snapshot(account, dataset, snapshot)
    snapshots.check_data(found, dataset, "share")
    key = keys.kind_of(account, found.get("KmsKeyId", ""))
    checked = _check_key(account, found["SnapshotId"], key, others, note)
    if not dry_run:
        _modify(account, found["SnapshotId"], "add", others)
    return _sharing(account, dataset, found, key, checked, others)


def stop(
    account: Account, dataset: str, snapshot: str | None, others: Sequence[str], dry_run: bool
) -> Sharing:
    """End the sharing of a snapshot with these accounts. Volumes and copies that they made remain theirs.

    Raises:
        DescriptionError: nothing is published, or the snapshot isn't this account's.
        AwsError: a call was refused.
    """
    found = _own_snapshot(account, dataset, snapshot)
    if not dry_run:
        _modify(account, found["SnapshotId"], "remove", others)
    return _sharing(account, dataset, found, keys.kind_of(account, found.get("KmsKeyId", "")), False, ())


def _modify(
    account: Account, snapshot: str, operation: Literal["add", "remove"], others: Sequence[str]
) -> None:
    with aws_errors(f"change with whom {snapshot} is shared"):
        account.ec2.modify_snapshot_attribute(
            SnapshotId=snapshot,
            Attribute="createVolumePermission",
            OperationType=operation,
            UserIds=list(others),
        )


def adopt(
    other: Account,
    dataset: str,
    snapshot: str,
    manifest: str,
    pause: Callable[[float], None] = time.sleep,
) -> str | None:
    """In the account with which a snapshot is shared: give it tags there, and publish it there.

    Returns:
        The ID that the parameter held before, or None.

    Raises:
        PrepError: the account doesn't see the snapshot.
        AwsError: a call was refused.
    """
    for seconds in PAUSES:
        if snapshots.look(other, snapshot) is not None:
            break
        pause(seconds)
    snapshots.find(other, snapshot)
    with aws_errors(f"tag snapshot {snapshot} in account {other.number}"):
        other.ec2.create_tags(
            Resources=[snapshot],
            Tags=[{"Key": key, "Value": value} for key, value in _tags(dataset, manifest).items()],
        )
    return publish(other, dataset, snapshot)


def _own_snapshot(account: Account, dataset: str, snapshot: str | None) -> "SnapshotTypeDef":
    name = snapshot or published_snapshot(account, dataset)
    if name is None:
        raise DescriptionError(
            f"share: {contract.snapshot_parameter(dataset)} names no snapshot in {account.region}: "
            "give --snapshot, or wait until the prep instance is done"
        )
    found = snapshots.find(account, name)
    if found["OwnerId"] != account.number:
        raise DescriptionError(
            f"share: snapshot {name} is of account {found['OwnerId']}: make a copy of your own (`python -m "
            f"prep.owner copy --snapshot {name} --to {account.region} --key ARN`), then share that"
        )
    return found


def _check_key(account: Account, snapshot: str, key: keys.Key, others: Sequence[str], note: Note) -> bool:
    """Whether the key's policy is known to let the accounts use it; refuse if it is known not to."""
    if key.kind == keys.DEFAULT:
        # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modifying-snapshot-permissions.html
        raise DescriptionError(
            f"share: snapshot {snapshot} is encrypted with the default key aws/ebs, and can't be "
            "shared: copy it with a key of your own "
            f"(`python -m prep.owner copy --to {account.region} --key ARN`) and share the copy, or deploy "
            "with key=new"
        )
    if key.kind == keys.NONE:
        return True
    checked = True
    for other in others:
        lacking = keys.missing(account, key.arn, other)
        if lacking is None:
            note(f"share: these credentials may not read the policy of {key.arn}: it is not checked")
            checked = False
        elif lacking:
            wanted = json.dumps(keys.statements(other))
            raise AwsError(
                f"share: the key {key.arn} does not let account {other} call {', '.join(lacking)}: "
                f"add these statements to its policy (aws kms put-key-policy), then run again: {wanted}"
            )
    return checked


def _sharing(
    account: Account,
    dataset: str,
    found: "SnapshotTypeDef",
    key: keys.Key,
    checked: bool,
    others: Sequence[str],
) -> Sharing:
    manifest = snapshots.tags_of(found).get(contract.TAG_MANIFEST, "")
    return Sharing(
        snapshot=found["SnapshotId"],
        region=account.region,
        manifest=manifest,
        key=key.arn,
        key_kind=key.kind,
        checked=checked,
        shared_with=snapshots.shared_with(account, found["SnapshotId"]),
        commands=_commands(account.region, dataset, found["SnapshotId"], manifest) if others else [],
    )


def _commands(region: str, dataset: str, snapshot: str, manifest: str) -> list[str]:
    """What to run with the other account's credentials: a copy of its own or, second, use it as it is."""
    copy = ["python", "-m", "prep.owner", "copy", "--dataset", dataset, "--snapshot", snapshot]
    copy += ["--region", region, "--to", region]
    tags = [f"Key={key},Value={value}" for key, value in _tags(dataset, manifest).items()]
    tag = ["aws", "ec2", "create-tags", "--region", region, "--resources", snapshot, "--tags", *tags]
    put = ["aws", "ssm", "put-parameter", "--region", region, "--name", contract.snapshot_parameter(dataset)]
    put += ["--type", "String", "--overwrite", "--value", snapshot]
    return [
        shlex.join([*copy, "--manifest", manifest] if manifest else copy),
        f"{shlex.join(tag)} && {shlex.join(put)}",
    ]


def _tags(dataset: str, manifest: str) -> dict[str, str]:
    tags = {"Name": dataset, contract.TAG_DATASET: dataset}
    return tags | {contract.TAG_MANIFEST: manifest} if manifest else tags
