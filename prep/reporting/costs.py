"""What a run has cost so far, by the list prices in prices.toml."""

from dataclasses import dataclass
from datetime import datetime

from prep import prices
from prep.reporting.document import DONE, Document


@dataclass(frozen=True)
class Cost:
    """Dollars so far and an hour; None where a price is not known.

    hours: for which the instance was paid; volume_hours: since the run began, for which its volumes were.
    """

    machine: str
    hours: float
    volume_hours: float
    usd: float | None
    hour_usd: float | None


def cost_of(document: Document, age: float, up_seconds: float | None = None) -> Cost | None:
    """The cost of a run whose status is so many seconds old; None for a machine that nobody pays by the hour.

    The instance is counted while prep worked; since its last start, `up_seconds` ago, also while it idled.
    """
    if not document.machine:
        return None
    age = 0.0 if document.state == DONE else age
    since_began = max(document.work_seconds, _seconds(document.began, document.updated) + age)
    paid = document.work_seconds
    if up_seconds is not None and document.state != DONE:
        # A status that is older than the last start tells only of the work before it.
        earlier = document.work_seconds if age > up_seconds else document.earlier_work_seconds
        paid = max(paid, earlier + min(up_seconds, since_began))
    hours, volume_hours = paid / 3600, since_began / 3600
    hour, month = prices.machine_hour(document.machine), prices.volumes_month(document.machine)
    usd = None
    if hour is not None and month is not None:
        volumes = month / prices.HOURS_A_MONTH
        usd = round(hours * (hour - volumes) + volume_hours * volumes, 2)
    rounded = None if hour is None else round(hour, 3)
    return Cost(document.machine, round(hours, 2), round(volume_hours, 2), usd, rounded)


def _seconds(begun: str, ended: str) -> float:
    try:
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
    except (ValueError, TypeError):  # of a document that somebody has changed
        return 0.0
