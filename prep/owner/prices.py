"""Prices from prices.toml: what things that stay cost a month."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True)
class Prices:
    """US dollars: a month for a GB of snapshot or of S3, for a secret, for a key; once for a GB copied."""

    date: str
    region: str
    snapshot_gb: float
    s3_gb: float
    secret: float
    key: float
    copy_gb: float

    def note(self, region: str) -> str:
        """Which prices these are, for a person who reads a sum for `region`."""
        other = "" if region == self.region else f"; those of {region} differ"
        return f"list prices of {self.region} of {self.date}{other}"


def load(file: Path = FILE) -> Prices:
    """The prices in the file."""
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return Prices(table["date"], table["region"], **table["month"], **table["once"])
