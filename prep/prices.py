"""Prices: what a machine, its volumes, snapshots and backups cost, about.

prices.toml comes with the package and has the sources. `python -m prep plan --refresh` writes newer prices
of one Region into a file of the user's, which is then used instead.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
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
    gp3_month: Mapping[str, float]
    hour: Mapping[str, float]
    thousand: Mapping[str, float]

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
        content = path.read_bytes()
    except (OSError, RuntimeError):  # the latter if the user has no home
        return shipped()
    return _parsed(content, path)


@cache
def shipped() -> Prices:
    """The prices that come with the package."""
    return Prices(**tomllib.loads(FILE.read_text(encoding="utf-8")))


def _parsed(content: bytes, path: Path) -> Prices:
    try:
        document = json.loads(content)
    except ValueError as error:  # also bytes that are no text
        raise DescriptionError(f"prices {path}: no JSON ({error}): remove it, or --refresh") from error
    mistake = next(_mistakes(document), None)
    if mistake:
        raise DescriptionError(f"prices {path}: {mistake}: remove it, or --refresh")
    return Prices(**document)


def _mistakes(document: object) -> Iterator[str]:
    """What a document lacks beside the prices of the package; it may have more instance types."""
    expected = asdict(shipped())
    if not isinstance(document, dict):
        yield "no table"
        return
    if names := document.keys() ^ expected.keys():
        yield f"missing or unknown: {', '.join(sorted(names))}"
        return
    for name, table in expected.items():
        found = document[name]
        if not isinstance(found, type(table)):
            yield f"{name} is no {'table' if isinstance(table, dict) else 'text'}"
        elif isinstance(table, dict):
            yield from (f"{name} has no {each}" for each in sorted(table.keys() - found.keys()))
            wrong = sorted(each for each, price in found.items() if type(price) not in {int, float})
            yield from (f"{name} has no number for {each}" for each in wrong)


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
