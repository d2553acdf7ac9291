"""The owner's commands. Results go to standard output, questions and progress to standard error."""

import json
import time
import uuid
from dataclasses import asdict
from datetime import UTC, datetime

import click

from prep import prices
from prep.aws import clients
from prep.command_line import INTERRUPTED, SETTINGS, Commands
from prep.errors import AwsError, DescriptionError
from prep.owner import copy as copying
from prep.owner import destroy as destroying
from prep.owner import launch as launching
from prep.owner import reports, snapshots
from prep.owner import share as sharing
from prep.owner.account import Account
from prep.owner.cluster_command import cluster_command
from prep.owner.options import (
    ACCOUNT_FORM,
    DRY_RUN,
    MANIFEST_FORM,
    REGION_FORM,
    SNAPSHOT_FORM,
    YES,
    agrees,
    common,
    confirm,
)
from prep.owner.stacks import PARTS
from prep.owner.status_command import status_command
from prep.progress import Progress, one_line


@click.group(cls=Commands, context_settings=SETTINGS)
def owner() -> None:
    """See how far the prep instance is; launch training instances, or a cluster that packs; list, share, copy
    and delete snapshots; remove everything.

    Credentials and Region are those of `aws configure`, or of AWS_PROFILE and AWS_DEFAULT_REGION.

    \b
    Example:
      python -m prep.owner launch --count 4 --dry-run
    """


@owner.command("launch")
@common
@click.option(
    "--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="Number of instances."
)
@click.option("--type", "instance_type", help="Instance type.  [default: the launch template's]")
@click.option("--spot", is_flag=True, help="Spot instances: cheaper, and AWS may end them at any time.")
@click.option(
    "--zone", "zones", multiple=True, help="Zone to use, in this order; may be repeated.  [default: all]"
)
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Minutes to wait for the instances. They keep running after that.",
)
@DRY_RUN
def launch_command(
    dataset: str,
    region: str | None,
    as_json: bool,
    no_progress: bool,
    count: int,
    instance_type: str | None,
    spot: bool,
    zones: tuple[str, ...],
    timeout: int,
    dry_run: bool,
) -> None:
    """Launch training instances that have the data mounted.

    Waits until each has mounted it. They are spread over the zones that offer the type. If a zone has no
    capacity, the others take its share.
    Fails if not all are ready; those that were launched keep running, and cost money, until you end them.

    \b
    Example:
      python -m prep.owner launch --count 4 --type g5.xlarge --spot
    """
    with Progress(shown=not no_progress) as progress:
        account = _account(region, progress, no_progress)
        wish = launching.Wish(dataset, count, instance_type, spot, zones)
        plan = launching.make_plan(account, wish)
        fleet = launching.Fleet(uuid.uuid4().hex, time.monotonic(), account.region)
        if not dry_run:
            try:
                launching.launch(account, plan, fleet, account.note)
                launching.wait(account, fleet, timeout * 60.0, account.note)
            except KeyboardInterrupt:
                launching.find_lost(account, fleet)
                click.echo(launching.costs(fleet) or launching.not_known(fleet), err=True)
                raise click.exceptions.Exit(INTERRUPTED) from None
            except BaseException:
                click.echo(launching.costs(fleet) or launching.not_known(fleet), err=True)
                raise
    _print(as_json, reports.launch(plan, fleet, dry_run), reports.launch_text(plan, fleet, dry_run))
    problem = None if dry_run else launching.shortfall(plan, fleet)
    if not dry_run:
        click.echo(launching.costs(fleet) or "no instance is running", err=True)
    if problem:
        raise AwsError(problem)


@owner.group("snapshots", invoke_without_command=True)
@common
@click.pass_context
def snapshots_group(
    context: click.Context, dataset: str, region: str | None, as_json: bool, no_progress: bool
) -> None:
    """List the data set's snapshots and what they cost.

    Also says what they hold and who may use them.

    \b
    Example:
      python -m prep.owner snapshots
      python -m prep.owner snapshots prune --keep 2
    """
    if context.invoked_subcommand is not None:
        given = [
            name
            for name in context.params
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        ]
        if given:
            raise click.UsageError(f"give all options after {context.invoked_subcommand}")
        return
    with Progress(shown=not no_progress) as progress:
        account = _account(region, progress, no_progress)
        found = snapshots.list_snapshots(account, dataset, prices.load(), datetime.now(UTC))
    text = f"{reports.snapshots_text(found)}\n{prices.load().note(account.region)}"
    _print(as_json, reports.snapshots(account.region, dataset, found), text)


@snapshots_group.command("prune")
@common
@click.option("--keep", type=click.IntRange(min=1), required=True, help="How many of the newest to keep.")
@YES
@DRY_RUN
def prune_command(
    dataset: str,
    region: str | None,
    as_json: bool,
    no_progress: bool,
    keep: int,
    yes: bool,
    dry_run: bool,
) -> None:
    """Delete older snapshots, never the published one.

    Snapshots that CloudFormation kept of the volumes are not touched: `destroy` offers to remove those.

    \b
    Example:
      python -m prep.owner snapshots prune --keep 2 --dry-run
    """
    with Progress(shown=not no_progress) as progress:
        account = _account(region, progress, no_progress)
        found = snapshots.list_snapshots(account, dataset, prices.load(), datetime.now(UTC))
        chosen = snapshots.to_prune(found, keep)
        deleted: list[str] = []
        if chosen and not dry_run:
            click.echo(reports.snapshots_text(chosen), err=True)
            confirm(f"Delete these {len(chosen)} snapshots, {_place(account)}? They can't be restored.", yes)
            for each in chosen:
                snapshots.delete(account, each.snapshot)
                deleted.append(each.snapshot)
                account.note(f"snapshots: {each.snapshot}: deleted")
    _print(
        as_json,
        reports.pruned(account.region, dataset, chosen, deleted),
        reports.snapshots_text(chosen) if chosen else "nothing to delete",
    )


@owner.command("share")
@common
@click.option(
    "--account", "others", type=ACCOUNT_FORM, multiple=True, required=True, help="Account; may be repeated."
)
@click.option("--snapshot", type=SNAPSHOT_FORM, help="Snapshot to share.  [default: the published one]")
@click.option("--stop", is_flag=True, help="End the sharing with these accounts.")
@click.option(
    "--profile", help="Credentials of the other account, as in `aws configure`: publish the snapshot there."
)
@DRY_RUN
def share_command(
    dataset: str,
    region: str | None,
    as_json: bool,
    no_progress: bool,
    others: tuple[str, ...],
    snapshot: str | None,
    stop: bool,
    profile: str | None,
    dry_run: bool,
) -> None:
    """Share a snapshot with other AWS accounts.

    Checks the policy of its key first. Prints the commands to run with the other account's credentials: one
    makes a copy there, which is independent of this account and its key; the other one uses the shared
    snapshot as it is.

    \b
    Example:
      python -m prep.owner share --account 123456789012
    """
    if profile and (stop or len(others) > 1):
        raise DescriptionError("share: --profile is for one --account, and not for --stop: leave it out")
    with Progress(shown=not no_progress) as progress:
        account = _account(region, progress, no_progress)
        other = Account(account.region, profile, account.note) if profile else None
        if other is not None and other.number != others[0]:
            raise DescriptionError(
                f"share: profile {profile} is of account {other.number}, not {others[0]}: give its profile"
            )
        if stop:
            result = sharing.stop(account, dataset, snapshot, others, dry_run)
        else:
            result = sharing.share(account, dataset, snapshot, others, dry_run, progress.note)
        published = other is not None and not dry_run
        if other is not None and published:
            sharing.adopt(other, dataset, result.snapshot, result.manifest)
    document = asdict(result) | {"dataset": dataset, "dry_run": dry_run, "published_there": published}
    _print(as_json, document, reports.share_text(result, others, dry_run, published))


@owner.command("copy")
@common
@click.option("--to", type=REGION_FORM, required=True, help="Region of the copy.")
@click.option("--key", default="", help="ARN of the copy's key, in that Region.  [default: the default key]")
@click.option("--snapshot", type=SNAPSHOT_FORM, help="Snapshot to copy.  [default: the published one]")
@click.option(
    "--manifest", type=MANIFEST_FORM, help="SHA-256 of the manifest, for a snapshot that is shared with you."
)
@DRY_RUN
def copy_command(
    dataset: str,
    region: str | None,
    as_json: bool,
    no_progress: bool,
    to: str,
    key: str,
    snapshot: str | None,
    manifest: str | None,
    dry_run: bool,
) -> None:
    """Copy a snapshot to another Region or another key.

    Publishes the copy there. --region is where the snapshot is. A snapshot that another account shares is
    copied into this account. Run it again after an interruption: it finds the copy and goes on waiting.

    \b
    Example:
      python -m prep.owner copy --to eu-west-1
    """
    with Progress(shown=not no_progress) as progress:
        account = _account(region, progress, no_progress)
        order = copying.make_order(account, dataset, snapshot, to, key, manifest or "")
        there = account.elsewhere(to)
        copying.check_key(there, order.key)
        if dry_run:
            name = copying.under_way(there, order)
            result = copying.planned(order, prices.load(), name or "", name is not None)
        else:
            result = copying.copy(there, order, prices.load(), progress)
    document = asdict(result) | {"dataset": dataset, "dry_run": dry_run}
    _print(as_json, document, reports.copy_text(result, prices.load().note(to), dry_run))


@owner.command("destroy")
@common
@click.option(
    "--stack",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    default=PARTS,
    help="Stack to delete; may be repeated.  [default: all]",
)
@click.option(
    "--work-snapshot",
    type=click.Choice(["ask", "keep", "delete"]),
    default="ask",
    show_default=True,
    help="What to do with the last snapshot of the work volume, if S3 has all that it holds.",
)
@click.option(
    "--also-data",
    metavar="NAME",
    help="Delete the data as well: bucket, snapshots and parameter. Give the data set's name again.",
)
@YES
@DRY_RUN
@click.pass_context
def destroy_command(
    context: click.Context,
    dataset: str,
    region: str | None,
    as_json: bool,
    no_progress: bool,
    parts: tuple[str, ...],
    work_snapshot: str,
    also_data: str | None,
    yes: bool,
    dry_run: bool,
) -> None:
    """Delete the stacks, and say what stays and costs.

    The data stays: the bucket, the published snapshot, and snapshots of the volumes; the command says what
    each costs a month. --also-data deletes it.

    \b
    Example:
      python -m prep.owner destroy --dry-run
      python -m prep.owner destroy --also-data ilsvrc2012
    """
    if also_data not in (None, dataset):
        raise DescriptionError(
            f"destroy: --also-data {also_data} is not the data set, {dataset}: nothing was deleted: give "
            "the data set's name"
        )
    if also_data and set(parts) != set(PARTS):
        raise DescriptionError("destroy: --also-data goes with all stacks: leave out --stack")
    with Progress(shown=not no_progress) as progress:
        account = _account(region, progress, no_progress)
        note, money = account.note, prices.load()
        wish = destroying.Wish(dataset, context.params["dataset"], parts)
        plan = destroying.make_plan(account, wish, money, datetime.now(UTC), note)
        words = reports.destroy_text(plan, money.note(account.region), also_data is not None)
        deleted: list[str] = []
        if not dry_run:
            if plan.stacks or also_data is not None:
                click.echo(words, err=True)
                what = (
                    "all that is listed as going" if also_data is None else f"all data of {dataset} as well"
                )
                confirm(f"Delete {what}, {_place(account)}?", yes)
            destroying.delete_stacks(account, plan, note)
            deleted = [stack.name for stack in plan.stacks]
            after = destroying.make_plan_after(account, plan, deleted, money, datetime.now(UTC), note)
            if also_data is not None:
                deleted += destroying.delete_data(account, after, note)
            else:
                deleted += _offer(account, after, work_snapshot)
            plan = destroying.make_plan_after(account, after, deleted, money, datetime.now(UTC), note)
            words = reports.destroy_text(plan, money.note(account.region), False)
    document = reports.destroy(account.region, plan, deleted, dry_run, also_data is not None)
    _print(as_json, document, words)


def _offer(account: Account, plan: destroying.Plan, work_snapshot: str) -> list[str]:
    """Delete the spare snapshot of the work volume, if the user wants that; return what was deleted."""
    spare = destroying.spare_snapshot(account, plan)
    if spare is None or work_snapshot == "keep":
        return []
    question = (
        f"{spare.snapshot} of the work volume costs up to ${spare.month_usd:.2f} a month, and S3 has its "
        "archives. Delete it?"
    )
    if work_snapshot == "delete" or agrees(question):
        snapshots.delete(account, spare.snapshot)
        return [spare.snapshot]
    click.echo(f"{question} Then run again with --work-snapshot delete", err=True)
    return []


def _account(region: str | None, progress: Progress, no_progress: bool) -> Account:
    """The account; its lines of progress go to standard error, or nowhere."""
    return Account(region, note=clients.silent if no_progress else progress.note)


def _place(account: Account) -> str:
    """Where something is to be deleted, for a question."""
    return f"in account {account.number}, {account.region}"


def _print(as_json: bool, document: object, text: str) -> None:
    """Print the result: as JSON, or the text for people, without control characters from tags."""
    click.echo(json.dumps(document, indent=2) if as_json else "\n".join(map(one_line, text.split("\n"))))


owner.add_command(cluster_command)
COMMANDS = tuple(owner.commands.values())
"""The commands, to be added to those of prep, whose `status` is another: that of folders of its machine."""
owner.add_command(status_command)
