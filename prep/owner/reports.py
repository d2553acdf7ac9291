"""Results of the commands: documents for --json, and text for people; see docs/owner-commands.md."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prep import contract
from prep.owner import keys, remains, stacks
from prep.owner import snapshots as snapshot_kinds
from prep.owner.cluster import Head
from prep.owner.cluster import Plan as Cluster
from prep.owner.copy import Copied
from prep.owner.destroy import Plan as Destruction
from prep.owner.launch import Fleet, Plan
from prep.owner.share import Sharing
from prep.owner.snapshots import Snapshot
from prep.owner.tables import dollars, table

MOST_NAMES = 2  # of resources of one kind, in a row


def launch(plan: Plan, fleet: Fleet, dry_run: bool) -> dict[str, Any]:
    """The document of `launch`."""
    return {
        "dataset": plan.wish.dataset,
        "dry_run": dry_run,
        "launch_template": plan.template,
        "instance_type": plan.instance_type,
        "spot": plan.wish.spot,
        "snapshots": dict(plan.snapshots),
        "wanted": plan.wish.count,
        "zones": plan.shares(),
        "instances": [asdict(each) for each in fleet.instances.values()],
        "refusals": fleet.refusals,
    }


def launch_text(plan: Plan, fleet: Fleet, dry_run: bool) -> str:
    """The table of `launch`."""
    if dry_run:
        kind = f"{'spot ' * plan.wish.spot}{plan.instance_type}"
        rows = [(zone, share, kind, plan.subnets[zone]) for zone, share in plan.shares().items()]
        return table(["zone", "instances", "type", "subnet"], rows)
    return table(
        ["instance", "zone", "state", "seconds", "reason", "connect"],
        [
            (each.instance, each.zone, each.state, each.seconds, each.reason, each.connect)
            for each in fleet.instances.values()
        ],
    )


def cluster(plan: Cluster, head: Head | None) -> dict[str, Any]:
    """The document of `cluster`; a dry run has no head."""
    return {
        "dataset": plan.dataset,
        "region": plan.region,
        "dry_run": head is None,
        "launch_template": plan.template,
        "head_type": plan.head_type,
        "worker_type": plan.worker_type,
        "most_workers": plan.most_workers,
        "market": plan.market,
        "hour_usd": plan.hour_usd,
        "instance": head.instance if head else None,
        "zone": head.zone if head else next(iter(plan.subnets)),
        "watch": list(head.watch) if head else [],
    }


def cluster_text(plan: Cluster, head: Head | None, price_note: str) -> str:
    """The text of `cluster`."""
    verb = "is launched" if head else "would be launched"
    what = f"{head.instance}, {plan.head_type}" if head else plan.head_type
    zone = head.zone if head else next(iter(plan.subnets))
    workers = f"up to {plan.most_workers} {plan.worker_type}, {plan.market}"
    known = plan.hour_usd is not None
    cost = f"at most {dollars(plan.hour_usd)} an hour ({price_note})" if known else "what is not known here"
    lines = [
        f"the head {verb} in {zone}: {what}; it launches {workers}",
        f"all together cost {cost}, and end themselves when the work is done",
    ]
    if head:
        shell, log, notice = head.watch
        lines += [
            "to watch it, open a shell on the head, after a minute or two, and follow the log there:",
            f"  {shell}",
            f"  {log}",
            "what it said at its end:",
            f"  {notice}",
            "to end it before:",
            f"  python -m prep.owner cluster --dataset {plan.dataset} --region {plan.region} --stop",
        ]
    return "\n".join(lines)


def cluster_ended(dataset: str, region: str, ended: Sequence[str], dry_run: bool) -> dict[str, Any]:
    """The document of `cluster --stop`."""
    return {"dataset": dataset, "region": region, "dry_run": dry_run, "ended": list(ended)}


def cluster_ended_text(ended: Sequence[str], dry_run: bool) -> str:
    """The text of `cluster --stop`."""
    if not ended:
        return "no machine of the cluster is there"
    return f"{'would be ended' if dry_run else 'ended'}: {' '.join(ended)}"


def snapshots(region: str, dataset: str, found: Sequence[Snapshot]) -> dict[str, Any]:
    """The document of `snapshots`."""
    return {
        "dataset": dataset,
        "region": region,
        "snapshots": [asdict(each) for each in found],
        "month_usd": round(sum(each.month_usd for each in found), 2),
    }


def snapshots_text(found: Sequence[Snapshot]) -> str:
    """The table of `snapshots`. "<" before a cost: at most."""
    head = [
        "snapshot",
        "kind",
        "manifest",
        "GiB",
        "days",
        "state",
        "key",
        "shared with",
        "published",
        "a month",
    ]
    rows = [
        (
            each.snapshot,
            each.kind,
            each.manifest[:12],
            each.volume_gib,
            each.age_days,
            each.state if each.state == "completed" else f"{each.state} {each.progress}",
            each.key.rpartition("/")[2] if each.key_kind == "customer" else each.key_kind,
            " ".join(each.shared_with),
            "yes" if each.published else "",
            f"{'<' * each.month_is_most}{dollars(each.month_usd)}",
        )
        for each in found
    ]
    return table(head, rows) if rows else "no snapshots"


def pruned(region: str, dataset: str, chosen: Sequence[Snapshot], deleted: Sequence[str]) -> dict[str, Any]:
    """The document of `snapshots prune`."""
    return snapshots(region, dataset, chosen) | {"deleted": list(deleted)}


def share_text(result: Sharing, others: Sequence[str], dry_run: bool, published: bool) -> str:
    """The text of `share`; `others` are the accounts that a dry run would add."""
    whom = ", ".join(others if dry_run else result.shared_with)
    state = f"is shared with {whom}" if whom else "is not shared"
    if dry_run:
        state = f"would be shared with {whom}" if result.commands else f"would not be shared with {whom}"
    lines = [f"{result.snapshot} in {result.region} {state}"]
    if published:
        lines.append("it is tagged and published in the other account")
    elif result.commands:
        copy, use = result.commands
        lines += [
            "with the other account's credentials, either make a copy there (recommended):",
            copy,
        ]
        lines += ["or use the shared snapshot as it is:", use]
    return "\n".join(lines)


def copy_text(result: Copied, price_note: str, dry_run: bool) -> str:
    """The text of `copy`."""
    costs = f"at most {dollars(result.once_usd)} once and {dollars(result.month_usd)} a month ({price_note})"
    if dry_run and not result.snapshot:
        return f"{result.source} would be copied to {result.region}: {costs}"
    verb = "is under way or there" if dry_run else "is complete and published"
    return f"{result.snapshot} in {result.region} {verb}: a copy of {result.source}: {costs}"


def destroy(
    region: str, plan: Destruction, deleted: Sequence[str], dry_run: bool, data: bool
) -> dict[str, Any]:
    """The document of `destroy`: after it ran, `stacks` are those that are left."""
    return {
        "dataset": plan.dataset,
        "region": region,
        "dry_run": dry_run,
        "also_data": data,
        "stacks": [asdict(stack) for stack in plan.stacks],
        "deleted": list(deleted),
        "remaining": [asdict(each) for each in plan.remaining],
        "month_usd": remains.total(plan.remaining),
        "settings_to_continue": continuation(plan),
    }


def continuation(plan: Destruction) -> dict[str, str]:
    """The settings with which a new deployment continues unfinished work from the volumes' last snapshots.

    They come on top of those of the deployment that is gone, such as `dataset` and `environment`.
    """
    if plan.prep or any(each.published for each in plan.snapshots):
        return {}
    settings = {"work_snapshot": snapshot_kinds.WORK, "dataset_snapshot": snapshot_kinds.PACKED}
    newest = {each.kind: each for each in reversed(plan.snapshots)}
    used = {name: newest[kind] for name, kind in settings.items() if kind in newest}
    key = next((each.key for each in used.values() if each.key_kind == keys.CUSTOMER), None)
    return {name: each.snapshot for name, each in used.items()} | ({"key": key} if key else {})


def destroy_text(plan: Destruction, price_note: str, data: bool) -> str:
    """What goes, what stays, and what it costs."""
    parts = []
    if plan.stacks:
        parts.append(table(["stack", "resource", "name", "what happens"], _resources(plan.stacks)))
    things = [(each.what, each.name, each.gib, dollars(each.month_usd), each.note) for each in plan.remaining]
    heading = "Stays, and its cost a month:"
    if data:
        heading = "Goes as well, except keys and the secret: all the data. This can't be undone:"
    if things:
        total = f"total a month: {dollars(remains.total(plan.remaining))} ({price_note})"
        parts += [heading, table(["what", "name", "GiB", "a month", "note"], things), total]
    settings = " ".join(f"{name}={value}" for name, value in continuation(plan).items())
    if settings and not data:
        parts.append(
            "No snapshot is published. To continue the work, deploy with the settings of that deployment "
            f'(dataset, environment) and these: make deploy SETTINGS="… {settings}"'
        )
    parameter = contract.snapshot_parameter(plan.dataset)
    return (
        "\n".join(parts)
        if parts
        else f"nothing of {plan.dataset} is left, apart from {parameter} if published"
    )


def _resources(there: Sequence[stacks.Stack]) -> list[tuple[str, str, str, str]]:
    """A row for each kind of resource in each stack; many of one kind are only counted."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for stack in there:
        for each in stack.resources:
            groups.setdefault((stack.name, each.type, each.action), []).append(each.physical)
    return [
        (name, kind, " ".join(names) if len(names) <= MOST_NAMES else str(len(names)), _fate(action))
        for (name, kind, action), names in groups.items()
    ]


def _fate(action: str) -> str:
    return {stacks.DELETE: "goes", stacks.SNAPSHOT: "goes, a snapshot stays"}.get(action, "stays")
