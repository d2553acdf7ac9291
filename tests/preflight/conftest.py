"""An account that is ready for a deployment: the embedded AWS, and a site that lets its credentials in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.ssm.models import ssm_backends

from preflight.account import Account, open_account
from rehearsal.cloud.moto_gaps import instances, limits
from rehearsal.servers.archive import ArchiveServer
from tests.conftest import REGION
from tests.stacks.conftest import custom, defaults

__all__ = ["custom", "defaults"]

ACCOUNT_ID = "123456789012"
WHO = ("someone", "hush/hush")
SECRET = "sample/credentials"  # noqa: S105 - its name


@pytest.fixture(scope="session")
def gaps() -> None:
    """What moto lacks of the calls that preflight makes."""
    limits.install()


@pytest.fixture
def account(aws: str, gaps: None) -> Account:  # noqa: ARG001 - it changes moto
    """An empty account."""
    assert aws
    return open_account(REGION)


@dataclass(frozen=True)
class Ready:
    """An account in which a deployment of the sample would succeed, and its settings."""

    account: Account
    description: Path
    site: ArchiveServer

    @property
    def settings(self) -> dict[str, str]:
        return {"dataset": str(self.description), "source": self.site.url}

    @property
    def options(self) -> list[str]:
        return [word for pair in self.settings.items() for word in ("-c", "=".join(pair))]


@pytest.fixture
def ready(account: Account, sample: Path) -> Iterator[Ready]:
    instances.add_public_parameters(ssm_backends[ACCOUNT_ID][REGION]._parameters, ACCOUNT_ID)
    account.ssm.put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="28", Type="String")
    put_secret(*WHO)
    with ArchiveServer(sample.parent / "archives", *WHO) as site:
        yield Ready(account, sample, site)


def put_secret(username: str, access_key: str) -> None:
    client = boto3.client("secretsmanager")
    text = json.dumps({"username": username, "access_key": access_key})
    if any(each["Name"] == SECRET for each in client.list_secrets()["SecretList"]):
        client.put_secret_value(SecretId=SECRET, SecretString=text)
    else:
        client.create_secret(Name=SECRET, SecretString=text)
