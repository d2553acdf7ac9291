"""Other choices than those of a plan, each with what it changes."""

from dataclasses import dataclass, replace
from typing import Any, Final

from prep.datasets.description import Description
from prep.plan.plan import Plan, make
from prep.prices import Prices

# 500 MiB/s want 2,000 of the 3,000 IOPS that gp3 includes.
FAST: Final = {"dataset_volume_type": "gp3", "dataset_volume_throughput": 500}
CHOICES: Final[tuple[dict[str, Any], ...]] = (
    {"prep_instance_type": "t3.xlarge"},
    {"prep_instance_type": "m7i.large"},
    {"prep_instance_type": "c7i.xlarge"},
    {"resize": 256, "quality": 90, "dataset_volume_gib": 50},
    {"organize": False},
    FAST,
    {"work_volume_type": "st1"},
    {"work_volume_type": "gp3"},
    {"prep_instance_type": "c7i.xlarge", "work_volume_type": "st1"} | FAST,
)


@dataclass(frozen=True)
class Choice:
    """Settings, and what they add to the plan's seconds and dollars, and to the dollars of each month."""

    settings: dict[str, Any]
    seconds: float
    dollars: float
    month: float
    warnings: tuple[str, ...]


def choices(plan: Plan, description: Description, prices: Prices) -> list[Choice]:
    """What other choices would change, without settings that are the plan's already, or that EBS refuses."""
    found = []
    for settings in CHOICES:
        changed = {name: value for name, value in settings.items() if getattr(plan.wish, name) != value}
        if not changed:
            continue
        wish = replace(plan.wish, **changed)
        if wish.work.fault or wish.dataset.fault or wish.restored.fault:
            continue
        other = make(wish, description, prices)
        month = sum(other.month.values()) - sum(plan.month.values())
        seconds, dollars = other.seconds - plan.seconds, other.dollars - plan.dollars
        found.append(Choice(changed, seconds, dollars, month, other.warnings))
    return found
