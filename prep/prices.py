"""Prices: what a machine, its volumes, snapshots and backups cost, about.

prices.toml comes with the package and has the sources. `python -m prep plan --refresh` writes newer prices
of one Region into a file of the user's, which is then used instead.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from prep import contract
from prep.errors import DescriptionError

HOURS_A_MONTH = 730  # as AWS converts them
GIB = 1 << 30
FILE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True)
class Prices:
    """List prices of one Region in US dollars, as they were at `date`. prices.toml says what each is for."""

    date: str
    region: str
    instance_hour: Mapping[str, float]
    volume_gib_month: Mapping[str, float]
    gib_month: Mapping[str, float]
    month: Mapping[str, float]
    gib_once: Mapping[str, float]
    gp3_month: Mapping[str, float] = field(default_factory=dict)
    hour: Mapping[str, float] = field(default_factory=dict)
    thousand: Mapping[str, float] = field(default_factory=dict)

    def note(self, region: str) -> str:
        """Which prices these are, for a person who reads a sum for `region`."""
        other = "" if region == self.region else f"; those of {region} differ"
        return f"list prices of {self.region} of {self.date}{other}"


def users_file(region: str) -> Path:
    """Where refreshed prices of a Region are kept: they can be fetched again, so it is the user's cache.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache_home).expanduser() / "dataset-prep" / f"prices-{region}.json"


def load(region: str = "us-east-1") -> Prices:
    """The prices of a Region that were fetched for this user, or else those that come with the package.

    Raises:
        DescriptionError: the user's file is damaged.
    """
    try:
        path = users_file(region)
        text = path.read_text(encoding="utf-8")
    except (OSError, RuntimeError):  # the latter if the user has no home
        return shipped()
    return _parsed(text, path)


@cache
def shipped() -> Prices:
    """The prices that come with the package."""
    return Prices(**tomllib.loads(FILE.read_text(encoding="utf-8")))


def _parsed(text: str, path: Path) -> Prices:
    try:
        return Prices(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise DescriptionError(f"prices {path}: not readable ({error}): remove it, or --refresh") from error


def as_json(prices: Prices) -> str:
    """As `load` reads them."""
    return json.dumps(asdict(prices), indent=2) + "\n"


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


def volume_month(prices: Prices, kind: str, gib: int, iops: int | None, throughput: int | None) -> float:
    """What a volume costs a month, with the IOPS and MiB/s that gp3 does not include."""
    total = prices.volume_gib_month[kind] * gib
    if kind == "gp3":
        total += prices.gp3_month["iops"] * max(0, (iops or 0) - contract.GP3_IOPS)
        total += prices.gp3_month["throughput"] * max(0, (throughput or 0) - contract.GP3_THROUGHPUT)
    return total


def stored_month(what: str, size: int) -> float:
    """What so many bytes cost a month as "snapshot" or in the "bucket"."""
    return load().gib_month[what] * size / GIB
