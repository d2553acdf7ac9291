"""Prices from the AWS Price List API, into the user's file of prices: `python -m prep plan --refresh`.

GetProducts answers with a JSON text for each product: its attributes, and under terms.OnDemand its price.
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from prep.aws import clients
from prep.aws.errors import aws_errors
from prep.errors import AwsError
from prep.prices import Prices, as_json, shipped, users_file
from prep.progress import Progress
from prep.state.files import write_whole

HOME: Final = (
    "us-east-1"  # the API has few endpoints: https://docs.aws.amazon.com/general/latest/gr/billing.html
)


@dataclass(frozen=True)
class Wanted:
    """A price: where it belongs in Prices, and how the list calls it.

    usage: a pattern for the end of the usage type, which in most Regions begins with a prefix
    per: how many of its units the list's unit has
    """

    table: str
    name: str
    service: str
    usage: str
    filters: Mapping[str, str] = field(default_factory=dict)
    per: float = 1.0


# Usage types and product families as public users of the API name them: docs/plan.md.
_VOLUMES: Final = {
    "gp2": "gp2", "gp3": "gp3", "io1": "piops", "io2": "io2", "st1": "st1", "sc1": "sc1",
}  # fmt: skip
WANTED: Final = (
    *(
        Wanted(
            "volume_gib_month", name, "AmazonEC2", rf"EBS:VolumeUsage\.{usage}", {"productFamily": "Storage"}
        )
        for name, usage in _VOLUMES.items()
    ),
    Wanted("gib_month", "snapshot", "AmazonEC2", "EBS:SnapshotUsage", {"productFamily": "Storage Snapshot"}),
    Wanted(
        "gib_month",
        "bucket",
        "AmazonS3",
        "TimedStorage-ByteHrs",
        {"productFamily": "Storage", "storageClass": "General Purpose"},
    ),
    Wanted("month", "key", "awskms", "KMS-Keys", {"productFamily": "Encryption Key"}),
    Wanted("month", "secret", "AWSSecretsManager", "AWSSecretsManager-Secrets", {"productFamily": "Secret"}),
    Wanted("gp3_month", "iops", "AmazonEC2", r"EBS:VolumeP-IOPS\.gp3", {"productFamily": "System Operation"}),
    Wanted(
        "gp3_month",
        "throughput",
        "AmazonEC2",
        r"EBS:VolumeP-Throughput\.gp3",
        {"productFamily": "Provisioned Throughput"},
        per=1024,  # the list's unit is GiB/s
    ),
    Wanted(
        "hour",
        "surplus",
        "AmazonEC2",
        "CPUCredits:t2",
        {"productFamily": "CPU Credits", "operatingSystem": "Linux"},
    ),
    Wanted("hour", "address", "AmazonVPC", "PublicIPv4:InUseAddress"),
    Wanted("thousand", "put", "AmazonS3", "Requests-Tier1", {"productFamily": "API Request"}, per=1 / 1000),
)
INSTANCE: Final = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}


def refresh(region: str, *more: str) -> Path:
    """Fetch the prices of a Region, with those of `more` instance types, into the user's file; its path.

    Raises:
        CredentialsError, AwsError: as `fetch`.
    """
    path = users_file(region)
    with Progress() as progress:
        progress.note(f"price list: asking for the prices of {region}")
        client = clients.client("pricing", HOME, None, progress.note)
        fetched = fetch(client, region, shipped(), progress.note, *more)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, as_json(fetched).encode())
        progress.note(f"price list: written to {path}")
    return path


def fetch(client: Any, region: str, old: Prices, note: Callable[[str], None], *more: str) -> Prices:
    """The prices of a Region today: those that `old` has, and those of `more` instance types.

    A price that the list does not have stays as it is in `old`, and `note` gets a line about it.

    Raises:
        CredentialsError: there are no AWS credentials.
        AwsError: the list was refused, or knows none of the prices.
    """
    tables: dict[str, Any] = {
        name: dict(table) for name, table in asdict(old).items() if isinstance(table, Mapping)
    }
    types = sorted({*old.instance_hour, *more})
    wanted = [
        *WANTED,
        *(
            Wanted("instance_hour", name, "AmazonEC2", rf"BoxUsage:{name}", INSTANCE | {"instanceType": name})
            for name in types
        ),
    ]
    found = missing = 0
    known: dict[str, list[dict[str, Any]]] = {}
    for each in wanted:
        question = json.dumps([each.service, each.filters])
        if question not in known:
            known[question] = list(_products(client, region, each))
        price = _price(known[question], each)
        if price is None:
            missing += 1
            note(f"price list: no price of {each.name} in {region}: kept as it was ({old.date})")
        else:
            found += 1
            tables[each.table][each.name] = price
    if not found:
        raise AwsError(
            f"price list: it has no prices for {region}: use the name of a Region, such as eu-west-1"
        )
    note(f"price list: {found} prices of {region}, {missing} not found")
    return Prices(datetime.now(UTC).date().isoformat(), region, **tables)


def _products(client: Any, region: str, wanted: Wanted) -> Iterator[dict[str, Any]]:
    filters = [
        {"Type": "TERM_MATCH", "Field": name, "Value": value}
        for name, value in {"regionCode": region, **wanted.filters}.items()
    ]
    with aws_errors(f"ask the price list for {wanted.service}"):
        pages = client.get_paginator("get_products").paginate(
            ServiceCode=wanted.service, Filters=filters, FormatVersion="aws_v1"
        )
        for page in pages:
            for product in page["PriceList"]:
                yield json.loads(product)


def _price(products: list[dict[str, Any]], wanted: Wanted) -> float | None:
    """The price of the first tier, on demand; None unless the list has exactly one."""
    prices = {
        float(dimension["pricePerUnit"]["USD"]) / wanted.per
        for product in products
        if re.fullmatch(rf"(?:[A-Z0-9]+-)?{wanted.usage}", product["product"]["attributes"]["usagetype"])
        for term in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if dimension.get("beginRange", "0") == "0" and "USD" in dimension["pricePerUnit"]
    }
    return prices.pop() if len(prices) == 1 else None
