"""Refreshed prices: a local server answers as the Price List API is documented to, with made-up prices.

The form is that of https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html.
moto's own price list knows only instance types, so that it can't stand in for it.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from prep import prices
from prep.aws import clients
from prep.cli import cli
from prep.errors import AwsError, CredentialsError, DescriptionError
from prep.plan import price_list

REGION = "eu-west-1"
Product = dict[str, Any]


def product(service: str, family: str, usage: str, dollars: float | dict[str, float], **more: str) -> Product:
    """A product of the list; `dollars` by the begin of each tier, if there are several."""
    tiers = dollars if isinstance(dollars, dict) else {"0": dollars}
    dimensions = {
        f"SKU.TERM.{begin}": {"beginRange": begin, "unit": "each", "pricePerUnit": {"USD": f"{price:.10f}"}}
        for begin, price in tiers.items()
    }
    attributes = {"servicecode": service, "usagetype": usage, "regionCode": REGION} | more
    return {
        "product": {"productFamily": family, "attributes": attributes, "sku": usage},
        "serviceCode": service,
        "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": dimensions}}},
        "version": "20261125000000",
    }


LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
PRODUCTS = [
    product(
        "AmazonEC2", "Compute Instance", "EU-BoxUsage:t2.large", 0.1008, instanceType="t2.large", **LINUX,
    ),
    product(
        "AmazonEC2", "Compute Instance", "EU-BoxUsage:t2.large", 0.13, instanceType="t2.large",
        **LINUX | {"operatingSystem": "Windows"},
    ),
    product("AmazonEC2", "Compute Instance", "EU-BoxUsage:g9.xlarge", 2.5, instanceType="g9.xlarge", **LINUX),
    product("AmazonEC2", "Storage", "EU-EBS:VolumeUsage.gp3", 0.088, volumeApiName="gp3"),
    product("AmazonEC2", "Storage", "EU-EBS:VolumeUsage.sc1", 0.0168, volumeApiName="sc1"),
    product("AmazonEC2", "Storage Snapshot", "EU-EBS:SnapshotUsage", 0.055),
    product("AmazonEC2", "Storage Snapshot", "EU-EBS:SnapshotUsageUnderBilling", 0.0),
    product("AmazonEC2", "System Operation", "EU-EBS:VolumeP-IOPS.gp3", 0.0055),
    product("AmazonEC2", "Provisioned Throughput", "EU-EBS:VolumeP-Throughput.gp3", 45.056),
    product("AmazonEC2", "CPU Credits", "EU-CPUCredits:t2", 0.06, operatingSystem="Linux"),
    product("AmazonEC2", "CPU Credits", "EU-CPUCredits:t2", 0.2, operatingSystem="Windows"),
    product(
        "AmazonS3", "Storage", "EU-TimedStorage-ByteHrs", {"0": 0.023, "51200": 0.022},
        storageClass="General Purpose",
    ),
    product("AmazonS3", "API Request", "EU-Requests-Tier1", 0.000005),
    product("AmazonS3", "API Request", "EU-Requests-Tier2", 0.0000004),
    product("awskms", "Encryption Key", "eu-west-1-KMS-Keys", 1.0),
    product("AWSSecretsManager", "Secret", "EUW1-AWSSecretsManager-Secrets", 0.40),
    product("AmazonVPC", "VpcPublicIPv4Address", "EU-PublicIPv4:InUseAddress", 0.005),
]  # fmt: skip


class PriceList(BaseHTTPRequestHandler):
    """Answers GetProducts, two products a page."""

    refuses = False

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
        if self.refuses:
            denied = {"__type": "AccessDeniedException", "Message": "not authorized: pricing:GetProducts"}
            self.answer(400, denied)
            return
        found = [each for each in PRODUCTS if each["serviceCode"] == asked["ServiceCode"]]
        for condition in asked["Filters"]:
            assert condition["Type"] == "TERM_MATCH"
            name, value = condition["Field"], condition["Value"]
            found = [
                each
                for each in found
                if each["product"].get(name, each["product"]["attributes"].get(name)) == value
            ]
        begin = int(asked.get("NextToken", 0))
        page = {
            "FormatVersion": "aws_v1",
            "PriceList": [json.dumps(each) for each in found[begin : begin + 2]],
        }
        if begin + 2 < len(found):
            page["NextToken"] = str(begin + 2)
        self.answer(200, page)

    def answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[PriceList]]:
    """The price list that boto3 asks, and an empty cache of the user's."""

    class Handler(PriceList):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    clients._session.cache_clear()
    yield Handler
    clients._session.cache_clear()
    server.shutdown()
    thread.join()
    server.server_close()


def test_prices_are_those_of_the_list(listed: type[PriceList]) -> None:
    assert not listed.refuses
    notes: list[str] = []
    client = clients.client("pricing", price_list.HOME, None, notes.append)
    old = prices.shipped()
    found = price_list.fetch(client, REGION, old, notes.append, "g9.xlarge")
    assert found.region == REGION
    assert found.instance_hour["t2.large"] == 0.1008  # Linux, not Windows
    assert found.instance_hour["g9.xlarge"] == 2.5
    assert found.instance_hour["t3.xlarge"] == old.instance_hour["t3.xlarge"]
    assert (found.volume_gib_month["gp3"], found.volume_gib_month["sc1"]) == (0.088, 0.0168)
    assert dict(found.gib_month) == {"snapshot": 0.055, "bucket": 0.023}  # the first tier
    assert dict(found.gp3_month) == {"iops": 0.0055, "throughput": pytest.approx(0.044)}
    assert dict(found.hour) == {"surplus": 0.06, "address": 0.005}
    assert found.thousand["put"] == pytest.approx(0.005)
    assert dict(found.month) == {"key": 1.0, "secret": 0.4}
    assert any("no price of t3.xlarge in eu-west-1: kept as it was" in note for note in notes)
    assert not any("t2.large" in note for note in notes)


def test_refreshed_prices_are_kept_and_used(listed: type[PriceList], tmp_path: Path) -> None:
    assert not listed.refuses
    runner = CliRunner()
    done = runner.invoke(cli, ["plan", "--region", REGION, "--refresh", "--json"])
    assert done.exit_code == 0, done.output
    path = tmp_path / "dataset-prep" / f"prices-{REGION}.json"
    assert json.loads(path.read_text())["instance_hour"]["t2.large"] == 0.1008
    assert f"written to {path}" in done.stderr
    again = json.loads(runner.invoke(cli, ["plan", "--region", REGION, "--json"]).stdout)
    assert again == json.loads(done.stdout)
    assert again["prices"]["region"] == REGION
    shipped = json.loads(runner.invoke(cli, ["plan", "--json"]).stdout)
    assert shipped["prices"]["region"] == "us-east-1"
    assert again["dollars"] > shipped["dollars"]
    path.write_text("{")
    with pytest.raises(DescriptionError, match="remove it, or --refresh"):
        prices.load(REGION)


def test_a_refusal_is_one_line_and_changes_nothing(listed: type[PriceList], tmp_path: Path) -> None:
    listed.refuses = True
    with pytest.raises(AwsError, match=r"GetProducts: AccessDeniedException.*allow this role") as caught:
        price_list.refresh(REGION)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_region_without_prices(listed: type[PriceList]) -> None:
    assert not listed.refuses
    with pytest.raises(AwsError, match="no prices for mars-east-1: use the name of a Region"):
        price_list.refresh("mars-east-1")


def test_without_credentials(
    listed: type[PriceList], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not listed.refuses
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    clients._session.cache_clear()
    with pytest.raises(CredentialsError, match="ask the price list for AmazonEC2: no AWS credentials"):
        price_list.refresh(REGION)
