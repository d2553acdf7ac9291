"""A plan: the parts of a preparation with time, dollars and limit, and what comes after it."""

from dataclasses import dataclass
from typing import Final

from prep import contract
from prep.datasets.description import Description
from prep.errors import DescriptionError
from prep.plan import machines
from prep.plan.machines import Disk, InstanceType
from prep.plan.model import (
    CORES,
    MIB,
    WORK_VOLUME,
    Demand,
    Part,
    Rates,
    Run,
    Work,
    arriving_effort,
    predict,
    tail_effort,
)
from prep.plan.sizes import Sizes, encodes, sizes
from prep.plan.wish import Wish
from prep.prices import GIB, HOURS_A_MONTH, Prices, volume_month
from prep.sources.arrival import RANGE_BYTES
from prep.state.group_commit import MOST_BYTES

# Two volumes, Python and its packages, on a t2.large: an estimate (stacks/prep.py).
BOOT_SECONDS: Final = 240.0
# Python with OpenCV, NumPy and boto3, until the first byte is asked for: measured, see docs/plan.md.
START_SECONDS: Final = 1.5
CREDIT_SECONDS: Final = 60  # a CPU credit is a vCPU for a minute
# Without an initialization rate: about so many bytes a second were seen (docs/plan.md).
LAZY_RESTORE: Final = 130e6
SMALL_OBJECTS: Final = 20  # small archives, lists, manifest, receipts: a request each


@dataclass(frozen=True)
class Row:
    """A line of the plan.

    A job of a part has the seconds that it would take by itself; parts and the whole have dollars as well.
    amount: bytes, or None; seconds and dollars: None where they are not known, or not this line's
    """

    name: str
    level: int
    amount: float | None
    requests: int | None
    seconds: float | None
    dollars: float | None
    limit: str


@dataclass(frozen=True)
class Credits:
    """CPU credits of a burstable type: used, earned while it runs, and what the surplus costs."""

    used: float
    earned: float
    dollars: float


@dataclass(frozen=True)
class Interface:
    """What the one interface of a T2 must carry, on average, for the plan to hold: bytes a second.

    published: its network's base and burst, from DescribeInstanceTypes
    seconds_at_base: the time of the two parts if volumes and network together got no more than the base
    """

    sent: float
    received: float
    published: tuple[float, float]
    seconds_at_base: float


@dataclass(frozen=True)
class Plan:
    """All of it. Dollars of `month` by what they are for; `training_hour` is for each instance."""

    wish: Wish
    sizes: Sizes
    run: Run
    rows: tuple[Row, ...]
    seconds: float
    dollars: float
    machine_hour: float
    stopped_hour: float
    volume_credit: float | None
    cpu_credits: Credits | None
    interface: Interface | None
    cores_headroom: float
    month: dict[str, float]
    month_if_kept: dict[str, float]
    training_hour: dict[str, float | None]
    restore_seconds: float
    warnings: tuple[str, ...]


def make(wish: Wish, description: Description, prices: Prices) -> Plan:
    """Plan a preparation.

    Raises:
        DescriptionError: a rate or a price is not known, or the description has no sizes.
    """
    kind = machines.instance_type(wish.prep_instance_type)
    size = sizes(description, wish.resize, wish.quality)
    work, rates = _work(wish, size), _rates(wish, kind)
    run = predict(work, rates)
    hour, stopped = _hours(wish, prices)
    effort = arriving_effort(work, rates) + tail_effort(work, rates)
    seconds = BOOT_SECONDS + run.seconds
    cpu = _credits(kind, effort, seconds, prices)
    puts = prices.thousand["put"] / 1000
    rows = _rows(wish, size, run, hour / 3600, puts, cpu)
    return Plan(
        wish=wish,
        sizes=size,
        run=run,
        rows=rows,
        seconds=seconds,
        dollars=sum(row.dollars or 0.0 for row in rows),
        machine_hour=hour,
        stopped_hour=stopped,
        volume_credit=_credit_left(work, rates, run),
        cpu_credits=cpu,
        interface=_interface(kind, work, run),
        cores_headroom=_headroom(run),
        month=_month(wish, size, prices),
        month_if_kept=_month_if_kept(wish, size, prices),
        training_hour=_training_hour(wish, prices),
        restore_seconds=_snapshot_bytes(wish, size) / ((wish.initialization_rate * MIB) or LAZY_RESTORE),
        warnings=tuple(_warnings(wish, size)),
    )


def _work(wish: Wish, size: Sizes) -> Work:
    loose = size.loose if wish.organize else 0
    return Work(size.archives, loose, size.packed, size.images, wish.backup, size.unit)


def _rates(wish: Wish, kind: InstanceType) -> Rates:
    return Rates(
        link=wish.link_mb * 1e6,
        work=wish.work.volume(),
        dataset=wish.dataset.volume(),
        together=True,
        work_request=machines.WORK_REQUEST if wish.organize else machines.WORK_REQUEST_LEAN,
        dataset_request=machines.DATASET_REQUEST,
        unflushed=MOST_BYTES,
        machine=kind.machine(encodes(wish.resize)),
        start=START_SECONDS,
    )


def _hours(wish: Wish, prices: Prices) -> tuple[float, float]:
    """What an hour costs while the prep instance runs, and while it is stopped."""
    root = Disk("gp3", contract.PREP_ROOT_GIB)
    stopped = sum(_volume_hour(disk, prices) for disk in (wish.work, wish.dataset, root))
    return _instance_hour(wish.prep_instance_type, prices) + prices.hour["address"] + stopped, stopped


def _volume_hour(disk: Disk, prices: Prices) -> float:
    if disk.type not in prices.volume_gib_month:
        raise DescriptionError(f"volume type {disk.type}: no price is known: --refresh, or use another type")
    return volume_month(prices, disk.type, disk.gib, disk.iops, disk.throughput) / HOURS_A_MONTH


def _instance_hour(name: str, prices: Prices) -> float:
    if name not in prices.instance_hour:
        raise DescriptionError(f"instance type {name}: no price is known: use one of prep/prices.toml")
    return prices.instance_hour[name]


def _credits(kind: InstanceType, effort: float, seconds: float, prices: Prices) -> Credits | None:
    """In unlimited mode, which the stacks set; a T2 has no launch credits then, and pays when it stops."""
    if kind.credits is None:
        return None
    used, earned = effort / CREDIT_SECONDS, kind.credits * seconds / 3600
    surplus = max(0.0, used - earned) * CREDIT_SECONDS / 3600
    return Credits(used, earned, surplus * prices.hour["surplus"])


def _rows(
    wish: Wish, size: Sizes, run: Run, second: float, put: float, cpu: Credits | None
) -> tuple[Row, ...]:
    """The parts, each with its jobs below it; `second` and `put` are dollars."""
    arriving_puts = size.archive_parts if wish.backup else 0
    tail_puts = size.packed_parts + SMALL_OBJECTS if wish.backup else 0
    surplus = cpu.dollars if cpu else 0.0
    # The merge may end before the last loose images are on the work volume.
    tail_seconds = run.seconds - run.arriving.seconds
    behind = run.seconds > run.arriving.seconds + run.tail.seconds
    tail_limit = WORK_VOLUME if behind else run.tail.busiest.resource
    rows = [
        Row("boot", 0, None, None, BOOT_SECONDS, BOOT_SECONDS * second, "an estimate"),
        _part_row(
            run.arriving, run.arriving.seconds, second, arriving_puts * put, run.arriving.busiest.resource
        ),
        *_job_rows(run.arriving, arriving_puts),
        _part_row(run.tail, tail_seconds, second, tail_puts * put, tail_limit),
        *_job_rows(run.tail, tail_puts),
    ]
    if cpu:
        rows.append(Row("surplus CPU credits", 0, None, None, None, surplus, ""))
    rows.append(Row("snapshot", 0, _snapshot_bytes(wish, size), None, None, None, "not published"))
    return tuple(rows)


def _part_row(part: Part, seconds: float, second: float, more: float, limit: str) -> Row:
    return Row(part.name, 0, None, None, seconds, seconds * second + more, limit)


def _job_rows(part: Part, puts: int) -> list[Row]:
    return [_job_row(demand, puts) for demand in part.demands]


def _job_row(demand: Demand, puts: int) -> Row:
    requests, amount = demand.requests, demand.amount
    if demand.job == "download":
        requests = round(amount / RANGE_BYTES)
    elif demand.job.startswith("backup"):
        requests = puts
    size = None if demand.resource == CORES else amount
    # Without a published rate, an upload has no time of its own.
    limit = demand.resource if demand.seconds else "interface"
    return Row(demand.job, 1, size, requests, demand.seconds or None, None, limit)


def _credit_left(work: Work, rates: Rates, run: Run) -> float | None:
    """The share of the work volume's burst credit that is left at the end; None without credit."""
    flow = rates.work.flow
    if not flow.credit:
        return None
    counted = rates.work.counted(work.archives + work.loose, rates.work_request)
    return 1 - flow.spent(counted, run.arriving.seconds) / flow.credit


def _interface(kind: InstanceType, work: Work, run: Run) -> Interface | None:
    if not kind.shares_interface:
        return None
    uploads = work.archives + work.packed if work.backup else 0
    sent = uploads + work.archives + work.loose + 2 * work.packed  # to S3 and to the volumes
    received = work.archives + 2 * work.packed  # from the site, and from the dataset volume
    at_base = max(run.seconds, max(sent, received) / kind.network)
    published = (kind.network, kind.network_burst)
    return Interface(sent / run.seconds, received / run.seconds, published, at_base)


def _headroom(run: Run) -> float:
    """How many times slower the cores could be before they limit either part."""
    shares = []
    for part in (run.arriving, run.tail):
        cores = next(d.seconds for d in part.demands if d.resource == CORES)
        others = max(d.seconds for d in part.demands if d.resource != CORES)
        shares.append(others / cores)
    return min(shares)


def _held(wish: Wish, size: Sizes) -> int:
    """Bytes on the work volume at the end."""
    return size.archives + (size.loose if wish.organize else 0)


def _snapshot_bytes(wish: Wish, size: Sizes) -> int:
    return size.packed if wish.snapshot_of == "packed" else _held(wish, size)


def _month(wish: Wish, size: Sizes, prices: Prices) -> dict[str, float]:
    """What remains after `destroy --stack prep`."""
    month = {"snapshot": _snapshot_bytes(wish, size) / GIB * prices.gib_month["snapshot"]}
    if wish.backup:
        month["backup in S3"] = (size.archives + size.packed) / GIB * prices.gib_month["bucket"]
    month["secret"] = prices.month["secret"]
    if wish.own_key:
        month["key"] = prices.month["key"]
    return month


def _month_if_kept(wish: Wish, size: Sizes, prices: Prices) -> dict[str, float]:
    """What else `destroy` leaves, and offers to delete."""
    return {"last snapshot of the work volume": _held(wish, size) / GIB * prices.gib_month["snapshot"]}


def _training_hour(wish: Wish, prices: Prices) -> dict[str, float | None]:
    root = Disk("gp3", contract.TRAINING_ROOT_GIB)
    return {
        "instance": prices.instance_hour.get(wish.training_instance_type),
        "restored volume": _volume_hour(wish.restored, prices),
        "root disk, address": _volume_hour(root, prices) + prices.hour["address"],
    }


def _warnings(wish: Wish, size: Sizes) -> list[str]:
    found = []
    for name, disk, needed in (
        ("work", wish.work, _held(wish, size)),
        ("dataset", wish.dataset, size.packed),
    ):
        if needed * 1.05 > disk.gib * GIB:
            gib = -(-round(needed * 1.05) // GIB)
            found.append(f"{disk.gib} GiB of the {name} volume are too few: it needs about {gib} GiB")
    return found
