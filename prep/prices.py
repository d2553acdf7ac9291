"""Prices: what a machine, its volumes, snapshots and backups cost, about. prices.toml has the sources."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HOURS_A_MONTH = 730  # as AWS converts them
GIB = 1 << 30
FILE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True)
class Prices:
    """List prices of one Region in US dollars, as they were at `date`."""

    date: str
    region: str
    instance_hour: Mapping[str, float]
    volume_gib_month: Mapping[str, float]
    gib_month: Mapping[str, float]
    month: Mapping[str, float]
    gib_once: Mapping[str, float]

    def note(self, region: str) -> str:
        """Which prices these are, for a person who reads a sum for `region`."""
        other = "" if region == self.region else f"; those of {region} differ"
        return f"list prices of {self.region} of {self.date}{other}"


@cache
def load() -> Prices:
    """The prices that come with the package."""
    return Prices(**tomllib.loads(FILE.read_text(encoding="utf-8")))


def machine_hour(machine: str) -> float | None:
    """What a machine costs an hour, with its volumes; None if a price is not known.

    machine: an instance type, then the type and GiB of each volume, as "t2.large,sc1=1000,gp3=200".
    """
    instance = machine.split(",", maxsplit=1)[0]
    if instance not in load().instance_hour:
        return None
    month = volumes_month(machine)
    return None if month is None else load().instance_hour[instance] + month / HOURS_A_MONTH


def volumes_month(machine: str) -> float | None:
    """What the volumes of a machine cost a month; None if a price is not known."""
    total = 0.0
    for volume in machine.split(",")[1:]:
        kind, _, gib = volume.partition("=")
        if kind not in load().volume_gib_month or not gib.isdecimal():
            return None
        total += load().volume_gib_month[kind] * int(gib)
    return total


def stored_month(what: str, size: int) -> float:
    """What so many bytes cost a month as "snapshot" or in the "bucket"."""
    return load().gib_month[what] * size / GIB
