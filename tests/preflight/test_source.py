"""The secret and the source of the archives."""

import time
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from preflight import secret, site
from preflight.account import Account
from preflight.deployed import Deployed
from preflight.examination import check_source
from preflight.findings import Verdict
from prep.datasets import description
from prep.sources.credentials import Credentials
from rehearsal.servers.archive import ArchiveServer, Fault
from stacks.settings import load_settings
from tests.preflight.conftest import SECRET, WHO, Ready, put_secret

HERE = Credentials(*WHO)


def test_secret_with_both_values(account: Account) -> None:
    put_secret(*WHO)
    finding, credentials = secret.check(account, SECRET)
    assert (finding.verdict, credentials) == (Verdict.OK, HERE)
    assert WHO[1] not in str(finding)


@pytest.mark.parametrize(
    ("username", "access_key", "words"),
    [
        ("", "hush/hush", "username is empty"),
        ("someone", "  ", "access_key is empty"),
        ("someone", "hush/hush\n", "access_key begins or ends with a space or a line break"),
    ],
)
def test_secret_that_can_not_be_right(account: Account, username: str, access_key: str, words: str) -> None:
    put_secret(username, access_key)
    finding, credentials = secret.check(account, SECRET)
    assert (finding.verdict, credentials) == (Verdict.FAILS, None)
    assert words in finding.found
    assert "hush" not in str(finding)


def test_secret_that_is_missing_or_is_no_json(account: Account) -> None:
    finding, _ = secret.check(account, SECRET)
    assert (finding.verdict, finding.found) == (Verdict.FAILS, f"{SECRET} does not exist")
    boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString="hush/hush")
    finding, _ = secret.check(account, SECRET)
    assert finding.verdict is Verdict.FAILS
    assert "must be JSON of the form" in finding.found
    assert "hush" not in str(finding)


def test_secret_with_a_key_of_its_own_is_a_warning(account: Account) -> None:
    key = account.kms.create_key()["KeyMetadata"]["Arn"]
    put_secret(*WHO)
    account.secrets.update_secret(SecretId=SECRET, KmsKeyId=key)
    finding, credentials = secret.check(account, SECRET)
    assert (finding.verdict, credentials) == (Verdict.WARNING, HERE)
    assert key in finding.found
    assert "kms:Decrypt" in finding.remedy


def test_site_that_lets_us_in(ready: Ready) -> None:
    found = site.check(site.web_source(ready.site.url, HERE), description.load(str(ready.description)))
    assert found.verdict is Verdict.OK
    assert found.found.startswith("sample_devkit.tar.gz: ")
    assert [(each.method, each.range) for each in ready.site.requests] == [("GET", "bytes=0-0")]
    assert ready.site.bytes_sent <= 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=404), "not found (HTTP 404)"),
        (Fault(status=403), "refused (HTTP 403)"),
        (Fault(status=503, retry_after=0), "HTTP 503, 2 times"),
        (Fault(html=True), "a web page instead of the archive"),
        (Fault(truncated_to=900), "has 900 bytes there"),
    ],
)
def test_site_that_does_not_deliver(ready: Ready, fault: Fault, words: str) -> None:
    ready.site.plan = lambda _request: fault
    found = site.check(site.web_source(ready.site.url, HERE), description.load(str(ready.description)))
    assert found.verdict is Verdict.FAILS
    assert words in found.found


def test_wrong_credentials(ready: Ready) -> None:
    wrong = Credentials(WHO[0], "hush/wrong")
    found = site.check(site.web_source(ready.site.url, wrong), description.load(str(ready.description)))
    assert found.verdict is Verdict.FAILS
    assert "refused (HTTP 401)" in found.found
    assert "hush" not in str(found)


def test_server_without_ranges_is_a_warning(ready: Ready) -> None:
    ready.site.plan = lambda _request: Fault(no_ranges=True)
    found = site.check(site.web_source(ready.site.url, HERE), description.load(str(ready.description)))
    assert found.verdict is Verdict.WARNING


def test_no_answer_costs_seconds(sample: Path) -> None:
    with ArchiveServer(sample.parent / "archives", *WHO) as server:
        address = server.url
    started = time.monotonic()
    found = site.check(site.web_source(address, HERE), description.load(str(sample)))
    assert found.verdict is Verdict.FAILS
    assert "refused" in found.found
    assert time.monotonic() - started < 30  # a download tries for minutes


def test_source_that_fails_is_a_warning_if_the_prep_instance_is_there(ready: Ready) -> None:
    put_secret(WHO[0], "hush/wrong")
    settings, dataset = load_settings(ready.settings)
    new = check_source(ready.account, settings, dataset, Deployed())
    assert [each.verdict for each in new] == [Verdict.OK, Verdict.FAILS]
    again = check_source(ready.account, settings, dataset, Deployed({"Prep": "CREATE_COMPLETE"}))
    assert [each.verdict for each in again] == [Verdict.OK, Verdict.WARNING]
    assert again[1].found == new[1].found


def test_smallest_archive_is_asked_for(sample: Path) -> None:
    facts = description.load(str(sample))
    sizes = {archive.file: archive.bytes for archive in facts.archives}
    asked = site.smallest(facts)
    assert asked.bytes == min(size for size in sizes.values() if size)
    unknown = replace(facts, archives=tuple(replace(each, bytes=None) for each in facts.archives))
    assert site.smallest(unknown) == unknown.archives[0]


def test_bucket(account: Account, sample: Path) -> None:
    facts = description.load(str(sample))
    asked = site.smallest(facts)
    missing = site.check(site.bucket_source(account, "s3://archives/sample"), facts)
    assert missing.verdict is Verdict.FAILS
    assert f"s3://archives/sample/{asked.file}: does not exist" in missing.found
    account.s3.create_bucket(Bucket="archives")
    body = (sample.parent / "archives" / asked.file).read_bytes()
    account.s3.put_object(Bucket="archives", Key=f"sample/{asked.file}", Body=body)
    assert site.check(site.bucket_source(account, "s3://archives/sample/"), facts).verdict is Verdict.OK
