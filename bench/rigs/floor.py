"""The rates of this rig, and the floor of a run: the model of `prep plan` without processor time.

The floor is the least time that a link and two volumes allow.
"""

from dataclasses import dataclass, replace

from bench.rigs.disks import MIB, Kind
from prep.plan.model import Demand, Flow, Part, Rates, Run, Volume, Work, predict


@dataclass(frozen=True)
class Floor:
    """The least time of a run, as a formula with its numbers."""

    run: Run

    @property
    def seconds(self) -> float:
        """The least time."""
        return self.run.seconds

    @property
    def tail(self) -> Part:
        """Merge and verify."""
        return self.run.tail

    @property
    def text(self) -> str:
        """The formula, with its numbers."""
        terms = ", ".join(map(_term, self.run.arriving.demands))
        return f"max({terms}) + {_term(self.tail.busiest)}; in all {self.seconds:.1f} s"


# What the terms of the formula are called, by the jobs of the model.
NAMES = {
    "download": "link",
    "organize, archives": "work volume",
    "archives": "work volume",
    "pack, dealing": "dealing",
    "merge, verify": "tail",
}


def _term(demand: Demand) -> str:
    rate, unit = (10**6, "MB/s") if demand.job == "download" else (MIB, "MiB/s")
    given = f"{demand.amount / demand.seconds / rate:g} {unit}"
    return f"{NAMES[demand.job]} {demand.amount / 1e6:,.1f} MB / {given} = {demand.seconds:.1f} s"


def volume(kind: Kind) -> Volume:
    """A volume of the rig, which knows no credits."""
    return Volume(kind.name, Flow.steady(kind.bytes_per_second), kind.requests_per_second, kind.request_bytes)


def rates(work: Kind, dataset: Kind, link: int | None, counted_together: bool = False) -> Rates:
    """The rates of the rig, for requests of full size.

    `link` is bytes a second, None where the source holds nobody up. A volume's rate holds for reads and for
    writes each or, with `counted_together`, for their sum.
    """
    return Rates(link, volume(work), volume(dataset), together=counted_together)


def floor(work: Work, given: Rates) -> Floor:
    """The floor of a run: no processor time, nothing late, requests of full size."""
    bare = Rates(given.link, given.work, given.dataset, given.together)
    return Floor(predict(replace(work, images=0, backup=False, unit=0), bare))
