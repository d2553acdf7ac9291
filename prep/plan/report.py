"""A plan as a table of at most 80 columns, and as JSON of a stable shape: docs/plan.md describes it."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from prep import prices
from prep.datasets.description import Description
from prep.plan import price_list
from prep.plan.choices import Choice, choices
from prep.plan.plan import Plan, Row, make
from prep.plan.wish import Wish
from prep.prices import Prices

HEAD: Final = ("part", "GB", "requests", "time", "$", "limit")
DIGITS: Final = 4  # of dollars in JSON
UNKNOWN: Final = "-"
WIDTH: Final = 80


def told(description: Description, wish: Wish, refresh: bool, as_json: bool) -> str:
    """A plan, for a person or as JSON; with `refresh`, after the prices have been fetched.

    Raises:
        DescriptionError: a rate or a price is not known.
        CredentialsError, AwsError: the prices can't be fetched.
    """
    if refresh:
        price_list.refresh(wish.region, wish.training_instance_type)
    money = prices.load(wish.region)
    plan = make(wish, description, money)
    found = choices(plan, description, money)
    if as_json:
        return json.dumps(facts(plan, found, description, money), indent=2)
    return text(plan, found, description, money)


def text(plan: Plan, found: Sequence[Choice], description: Description, money: Prices) -> str:
    """For a person."""
    return "\n".join(
        [
            *_head(plan, description, money),
            "",
            *columns([HEAD, *map(_cells, [*plan.rows, *_sums(plan)])], "<>>>><"),
            "",
            *_wrapped([*_limits(plan), *_keeping(plan), *_training(plan)]),
            "",
            "Other choices, and what each adds or saves (-):",
            *columns([("setting", "time", "$", "$ a month"), *_choice_rows(found)], "<>>>"),
            *_wrapped([f"warning: {line}" for line in plan.warnings]),
        ]
    )


def _sums(plan: Plan) -> Iterator[Row]:
    yield Row("the whole, without snapshot", 0, None, None, plan.seconds, plan.dollars, "")
    how = "given rate" if plan.wish.initialization_rate else "at first read"
    yield Row("restore, each instance", 0, plan.rows[-1].amount, None, plan.restore_seconds, None, how)


def columns(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Columns of the width of their longest cell, to the left (<) or to the right (>)."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _wrapped(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield from textwrap.wrap(line, WIDTH, subsequent_indent="  ")


def duration(seconds: float) -> str:
    """Hours and minutes, as "1:28 h"; below an hour "4 min", below a minute "9 s"."""
    minutes = round(abs(seconds) / 60)
    sign = "-" if round(seconds) < 0 else ""
    if abs(seconds) < 60:
        return f"{sign}{abs(seconds):.0f} s"
    return f"{sign}{minutes} min" if minutes < 60 else f"{sign}{minutes // 60}:{minutes % 60:02d} h"


def _gigabytes(size: float | None) -> str:
    if size is None:
        return UNKNOWN
    return f"{size / 1e9:.1f}" if size < 10e9 else f"{size / 1e9:.0f}"


def _head(plan: Plan, description: Description, money: Prices) -> Iterator[str]:
    wish, size = plan.wish, plan.sizes
    yield f"{description.name}: {size.images:,} images, {size.archives / 1e9:.1f} GB of archives"
    source = "measured" if size.measured else "an estimate"
    yield (
        f"resize={wish.resize} quality={wish.quality}: about {_gigabytes(size.packed)} GB packed ({source})"
    )
    yield f"{wish.prep_instance_type}, work {wish.work.text}, dataset {wish.dataset.text}"
    yield f"site: {wish.link_mb:g} MB/s over all connections (--link-mb)"
    yield f"prices: {money.note(wish.region)}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        "  " * row.level + row.name,
        _gigabytes(row.amount),
        UNKNOWN if row.requests is None else f"{row.requests:,}",
        UNKNOWN if row.seconds is None else duration(row.seconds),
        UNKNOWN if row.dollars is None else f"{row.dollars:.2f}",
        row.limit,
    )


def _limits(plan: Plan) -> Iterator[str]:
    if plan.volume_credit is not None:
        left = plan.volume_credit
        lasts = f"lasts, {left:.0%} is left" if left > 0 else "runs out: then it has its base rate"
        yield f"work volume: its burst credit {lasts}"
    if plan.cpu_credits:
        used, earned = plan.cpu_credits.used, plan.cpu_credits.earned
        yield f"CPU credits: {used:.0f} used, {earned:.0f} earned, surplus ${plan.cpu_credits.dollars:.2f}"
    if plan.cores_headroom < 1:
        yield "cores: they are the limit of a part, if each is as fast as the bench's"
    else:
        slower = f"{plan.cores_headroom:.1f} times slower than the bench's"
        yield f"cores: they would be the limit if each were {slower}"
    if plan.interface:
        sent, base, burst = (8 * rate / 1e9 for rate in (plan.interface.sent, *plan.interface.published))
        yield (
            "interface: one for volumes and network, for which AWS publishes no rate. This plan needs "
            f"{sent:.2f} Gbit/s out. DescribeInstanceTypes gives the network {base:g}, in bursts "
            f"{burst:g} Gbit/s. With {base:g} for both, the two parts take "
            f"{duration(plan.interface.seconds_at_base)}. T3, M5, M7i and C7i have bandwidth of their own "
            "for volumes"
        )


def _keeping(plan: Plan) -> Iterator[str]:
    yield (
        f"prep instance: ${plan.machine_hour:.3f} an hour; stopped ${plan.stopped_hour:.3f}, until you "
        "remove it"
    )
    parts = ", ".join(f"{name} {dollars:.2f}" for name, dollars in plan.month.items())
    kept = "; ".join(f"{dollars:.2f} for the {name}" for name, dollars in plan.month_if_kept.items())
    yield f"to keep, a month: ${sum(plan.month.values()):.2f} ({parts}); and {kept}, if you keep it"


def _training(plan: Plan) -> Iterator[str]:
    wish, hour = plan.wish, plan.training_hour
    total = sum(filter(None, hour.values()))
    yield f"training: ${total:.3f} an hour for each instance ({', '.join(_hourly(hour))})"
    count = "1 instance" if wish.instances == 1 else f"{wish.instances} instances"
    days = "1 day" if wish.days == 1 else f"{wish.days:g} days"
    money = total * wish.instances * wish.days * 24
    without = " without the instances" if hour["instance"] is None else ""
    yield f"{count} of {wish.training_instance_type} for {days}: ${money:,.2f}{without}"


def _hourly(hour: Mapping[str, float | None]) -> Iterator[str]:
    for name, dollars in hour.items():
        yield f"{name} {'not known' if dollars is None else f'{dollars:.3f}'}"


def _choice_rows(found: Sequence[Choice]) -> Iterator[tuple[str, ...]]:
    """Each setting on a line of its own, the first with the figures."""
    for choice in found:
        first, *others = [*names(choice), *(["(a volume is too small)"] if choice.warnings else [])]
        yield first, duration(choice.seconds), _signed(choice.dollars), _signed(choice.month)
        for name in others:
            yield f"  {name}", "", "", ""


def _signed(dollars: float) -> str:
    return f"{round(dollars, 2) + 0.0:+.2f}"  # without -0.00


def names(choice: Choice) -> list[str]:
    """The settings of a choice, as SETTINGS takes them; no class folders is an option of `prep run`."""
    return [
        "no class folders (prep run --no-organize)" if name == "organize" else f"{name}={value}"
        for name, value in choice.settings.items()
    ]


def facts(plan: Plan, found: Sequence[Choice], description: Description, money: Prices) -> dict[str, Any]:
    """For programs. Bytes, seconds and US dollars; null for what is not known."""
    return {
        "dataset": description.name,
        "settings": asdict(plan.wish),
        "prices": {"date": money.date, "region": money.region},
        "sizes": asdict(plan.sizes),
        "parts": list(_parts(plan.rows)),
        "seconds": round(plan.seconds, 1),
        "dollars": round(plan.dollars, DIGITS),
        "hour": {"running": round(plan.machine_hour, DIGITS), "stopped": round(plan.stopped_hour, DIGITS)},
        "work_volume_credit_left": plan.volume_credit,
        "cpu_credits": asdict(plan.cpu_credits) if plan.cpu_credits else None,
        "interface": asdict(plan.interface) if plan.interface else None,
        "cores_headroom": round(plan.cores_headroom, 2),
        "month": _rounded(plan.month),
        "month_if_kept": _rounded(plan.month_if_kept),
        "training": {
            "hour": _rounded(plan.training_hour),
            "restore_seconds": round(plan.restore_seconds, 1),
        },
        "choices": [
            {
                "settings": choice.settings,
                "seconds": round(choice.seconds, 1),
                "dollars": round(choice.dollars, DIGITS),
                "month": round(choice.month, DIGITS),
                "warnings": list(choice.warnings),
            }
            for choice in found
        ],
        "warnings": list(plan.warnings),
    }


def _parts(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The parts, each with its jobs."""
    for number, row in enumerate(rows):
        if row.level:
            continue
        jobs = []
        for job in rows[number + 1 :]:
            if not job.level:
                break
            jobs.append(
                {
                    "name": job.name,
                    "resource": job.limit,
                    "bytes": job.amount,
                    "requests": job.requests,
                    "seconds": None if job.seconds is None else round(job.seconds, 1),
                }
            )
        yield {
            "name": row.name,
            "seconds": None if row.seconds is None else round(row.seconds, 1),
            "dollars": None if row.dollars is None else round(row.dollars, DIGITS),
            "limit": row.limit,
            "bytes": row.amount,
            "jobs": jobs,
        }


def _rounded(amounts: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value is None else round(value, DIGITS) for name, value in amounts.items()}
