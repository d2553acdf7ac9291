"""Launch: start training instances, spread over the zones, and wait until each has mounted the data set."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from prep import contract
from prep.aws.errors import aws_errors
from prep.aws.retries import Note
from prep.errors import DescriptionError, PrepError
from prep.interrupt import stopping
from prep.owner import snapshots
from prep.owner.account import Account, output, published_snapshot
from prep.owner.ec2 import VERSION, ZONE_REFUSES, answered, code, described, subnets, type_of, zones_with
from prep.progress import duration

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

# How often the instances are looked at, and how often a line is printed if nothing changes.
PAUSE = 5.0
LINE_SECONDS = 30.0
BOOTING, READY, FAILED = "booting", "ready", "failed"
STOPPED, GONE = "stopped", "terminated"
ENDED = {"shutting-down": GONE, "terminated": GONE, "stopping": STOPPED, "stopped": STOPPED}
LOG = "see /var/log/cloud-init-output.log on the instance"


@dataclass(frozen=True)
class Wish:
    """What is asked for. Without `instance_type`, the launch template's; without zones, all that have it."""

    dataset: str
    count: int = 1
    instance_type: str | None = None
    spot: bool = False
    zones: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """A checked wish: the template, the type, the published snapshot of each data set that the instances
    mount, and the subnet of each zone, in the order of their use.
    """

    wish: Wish
    template: str
    instance_type: str
    snapshots: Mapping[str, str]
    subnets: Mapping[str, str]

    def shares(self) -> dict[str, int]:
        """How many instances each zone gets, if all have room."""
        return _shares(list(self.subnets), self.wish.count)


@dataclass(frozen=True)
class Instance:
    """A launched instance. `connect`: the command that opens a shell on it; `seconds`: the time from its
    launch to its state.
    """

    instance: str
    zone: str
    connect: str
    state: str = BOOTING
    seconds: float = 0.0
    reason: str = ""


@dataclass
class Fleet:
    """The instances of one launch, by their IDs; `refusals` says why there are not more.

    `token` is the beginning of the client tokens of its calls, `tokens`.
    """

    token: str
    begun: float
    region: str
    tokens: list[str] = field(default_factory=list)
    instances: dict[str, Instance] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)

    def add(self, instance: str, zone: str) -> None:
        """Note a launched instance."""
        connect = f"aws ssm start-session --region {self.region} --target {instance}"
        self.instances.setdefault(instance, Instance(instance, zone, connect))

    def count(self, state: str) -> int:
        """How many are in a state."""
        return sum(instance.state == state for instance in self.instances.values())


def make_plan(account: Account, wish: Wish) -> Plan:
    """Find the launch template, the subnets and the zones; check what can be checked before money is spent.

    Raises:
        DescriptionError: stacks are missing, no snapshot is published, or no wanted zone has the type.
        AwsError: a call was refused.
    """
    template = output(account, wish.dataset, "training", "LaunchTemplateId")
    there = subnets(account, output(account, wish.dataset, "dataset", "SubnetIds").split(","))
    mounted = output(account, wish.dataset, "training", "Datasets", wish.dataset).split(",")
    published = {name: _usable_snapshot(account, name) for name in mounted}
    instance_type = wish.instance_type or type_of(account, template)
    offered = zones_with(account, instance_type)
    wanted = list(wish.zones) or sorted(there)
    lacking = [zone for zone in wanted if zone not in offered or zone not in there]
    usable = sorted(offered & set(there))
    if lacking and wish.zones:
        raise DescriptionError(
            f"launch: {', '.join(lacking)}: no {instance_type} or no subnet there: "
            f"use {', '.join(usable) or 'another --type'}"
        )
    if not usable:
        raise DescriptionError(
            f"launch: no zone of {account.region} with a subnet offers {instance_type}: give another --type"
        )
    zones = [zone for zone in wanted if zone in usable]
    return Plan(wish, template, instance_type, published, {zone: there[zone] for zone in zones})


def _usable_snapshot(account: Account, dataset: str) -> str:
    snapshot = published_snapshot(account, dataset)
    if snapshot is None:
        raise DescriptionError(
            f"launch: {contract.snapshot_parameter(dataset)} names no snapshot yet in {account.region}: "
            "wait until the prep instance is done"
        )
    found = snapshots.look(account, snapshot)
    if found is None or found["State"] != snapshots.COMPLETED:
        raise DescriptionError(
            f"launch: snapshot {snapshot}, which {contract.snapshot_parameter(dataset)} names, "
            f"is {found['State'] if found else 'not there'}: "
            "`python -m prep.owner snapshots` lists those that are"
        )
    return snapshot


def launch(account: Account, plan: Plan, fleet: Fleet, note: Note) -> None:
    """Launch the instances of a plan into the fleet. A zone without capacity is skipped; the others take its
    share. After another refusal, no more are launched: the fleet says why. Instances of a call whose answer
    was lost are looked for then.

    Raises:
        PrepError: a call was refused for another reason than the zone's, and no instance is known.
        KeyboardInterrupt: Ctrl-C, held back until the call at hand is answered.
    """
    zones = list(plan.subnets)
    while zones and (left := plan.wish.count - len(fleet.instances)) > 0:
        for zone, share in _shares(zones, left).items():
            try:
                _run_instances(account, plan, fleet, zone, share)
            except PrepError as error:
                lacks = code(error) in ZONE_REFUSES
                if not lacks:
                    find_lost(account, fleet)
                    if not fleet.instances:
                        raise
                fleet.refusals.append(str(error))
                if not lacks:
                    return
                note(f"{error}: trying the next zone")
                zones.remove(zone)
                continue
            here = [each.instance for each in fleet.instances.values() if each.zone == zone]
            note(f"launch: in {zone}: {' '.join(here)}")


def _run_instances(account: Account, plan: Plan, fleet: Fleet, zone: str, share: int) -> None:
    """Launch up to `share` instances into the fleet. A repeat of the call with its token makes no more."""
    fleet.tokens.append(f"{fleet.token}-{len(fleet.tokens)}")
    options: dict[str, Any] = {"InstanceMarketOptions": {"MarketType": "spot"}} if plan.wish.spot else {}
    with answered(), aws_errors(f"launch {share} {plan.instance_type} in {zone}"):
        made = account.ec2.run_instances(
            LaunchTemplate={"LaunchTemplateId": plan.template, "Version": VERSION},
            InstanceType=cast(Any, plan.instance_type),  # the stubs know only the types of their day
            SubnetId=plan.subnets[zone],
            MinCount=1,
            MaxCount=share,
            ClientToken=fleet.tokens[-1],
            **options,
        )
        for instance in made["Instances"]:
            fleet.add(instance["InstanceId"], zone)


def find_lost(account: Account, fleet: Fleet) -> None:
    """Add instances that were launched by calls whose answers were lost. If EC2 does not answer, add none."""
    stopping.set()  # one attempt is enough: somebody waits for the message
    try:
        for found in described(account, "client-token", fleet.tokens):
            fleet.add(found["InstanceId"], found["Placement"]["AvailabilityZone"])
    except PrepError:
        pass  # the first error is the one to be told
    finally:
        stopping.clear()


def _shares(zones: Sequence[str], count: int) -> dict[str, int]:
    """`count` spread over the zones, as evenly as possible; zones that get none are left out."""
    least, more = divmod(count, len(zones))
    shares = {zone: least + (index < more) for index, zone in enumerate(zones)}
    return {zone: share for zone, share in shares.items() if share}


def wait(
    account: Account,
    fleet: Fleet,
    longest: float,
    note: Note,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until every instance of the fleet says that the data set is mounted, says that it failed, or has
    ended; `longest` seconds at most. What is still booting then stays so in the fleet.
    """
    said, line = "", clock()
    while fleet.count(BOOTING):
        _look(account, fleet, clock() - fleet.begun)
        counts = ", ".join(
            f"{fleet.count(state)} {state}"
            for state in (READY, FAILED, STOPPED, GONE, BOOTING)
            if fleet.count(state)
        )
        if counts != said or clock() - line >= LINE_SECONDS:
            said, line = counts, clock()
            note(f"launch: {counts} ({duration(clock() - fleet.begun)})")
        if clock() - fleet.begun >= longest:
            return
        if fleet.count(BOOTING):
            pause(PAUSE)


def _look(account: Account, fleet: Fleet, seconds: float) -> None:
    """Note the new states of instances that were booting."""
    booting = [each.instance for each in fleet.instances.values() if each.state == BOOTING]
    # A filter, because an ID that EC2 does not know yet would make the whole call fail.
    for found in described(account, "instance-id", booting):
        known = fleet.instances[found["InstanceId"]]
        state, reason = _state(found)
        if state != BOOTING:
            fleet.instances[known.instance] = replace(
                known, state=state, reason=reason, seconds=round(seconds, 1)
            )


def _state(found: "InstanceTypeDef") -> tuple[str, str]:
    """The state of an instance, and why."""
    ended = ENDED.get(found["State"]["Name"])
    if ended:
        return ended, found.get("StateReason", {}).get("Message", "") or found["State"]["Name"]
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
    state = tags.get(contract.TAG_STATE, BOOTING)
    reason = tags.get(contract.TAG_REASON, "")
    if state == FAILED:
        return FAILED, f"{reason}: {LOG}" if reason else LOG
    return (READY, reason) if state == READY else (BOOTING, "")


def shortfall(plan: Plan, fleet: Fleet) -> str | None:
    """Why the fleet is not what was asked for, in one line, or None if all instances are ready."""
    ready = fleet.count(READY)
    if ready == plan.wish.count:
        return None
    parts = [f"launch: {ready} of {plan.wish.count} instances are ready"]
    parts += [f"{each.instance} {each.state}: {each.reason or 'no answer yet'}" for each in
              fleet.instances.values() if each.state != READY]  # fmt: skip
    reasons = "; ".join([*parts[1:], *dict.fromkeys(fleet.refusals)])
    return f"{parts[0]}: {reasons}: launch the missing ones again, or give another --type or --zone"


def costs(fleet: Fleet) -> str | None:
    """Which instances of the fleet cost money (stopped ones: their disks), and how to end that, or None."""
    running = [each.instance for each in fleet.instances.values() if each.state != GONE]
    if not running:
        return None
    return (
        f"{len(running)} instances cost money until you end them: "
        f"aws ec2 terminate-instances --region {fleet.region} --instance-ids {' '.join(running)}"
    )


def not_known(fleet: Fleet) -> str:
    """What to say if a launch ended early, and no instance was found: EC2 may show one a little later."""
    if not fleet.tokens:
        return "no instance was launched"
    return (
        "no instance of this launch is known; to look again: "
        f"aws ec2 describe-instances --region {fleet.region} "
        f"--filters Name=client-token,Values={','.join(fleet.tokens)}"
    )
