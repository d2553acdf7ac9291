"""Credentials: from the environment or a secret, and in no text that anyone could see."""

import json
import traceback

import boto3
import pytest

from prep import contract
from prep.aws import clients
from prep.errors import CredentialsError
from prep.sources.credentials import Credentials, from_environment, from_secret


def test_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(contract.ENV_USERNAME, raising=False)
    monkeypatch.delenv(contract.ENV_ACCESS_KEY, raising=False)
    assert from_environment() is None
    monkeypatch.setenv(contract.ENV_USERNAME, "me")
    with pytest.raises(CredentialsError, match="PREP_ACCESS_KEY is not set"):
        from_environment()
    monkeypatch.setenv(contract.ENV_ACCESS_KEY, "key")
    assert from_environment() == Credentials("me", "key")
    monkeypatch.setenv(contract.ENV_USERNAME, "")
    with pytest.raises(CredentialsError, match="PREP_USERNAME is not set"):
        from_environment()
    monkeypatch.setenv(contract.ENV_USERNAME, "hush\udcff")
    with pytest.raises(CredentialsError, match="is not UTF-8: set it again") as caught:
        from_environment()
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_shows_nothing() -> None:
    assert "me" not in repr(Credentials("me", "hush")).replace("name", "")
    assert "hush" not in f"{Credentials('me', 'hush')}"


@pytest.mark.usefixtures("aws")
def test_from_secret() -> None:
    boto3.client("secretsmanager").create_secret(
        Name="set/credentials", SecretString=json.dumps({"username": "me", "access_key": "hush"})
    )
    assert from_secret(clients.secretsmanager(), "set/credentials") == Credentials("me", "hush")


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    "text",
    [
        "hush-hush",
        '{"username": "hush-hush"',
        '{"username": "hush-hush"}',
        '["hush-hush"]',
        '"hush-hush"',
        '{"username": "hush-hush\\ud800", "access_key": ""}',
        "[" * 20_000 + "hush",
    ],
)
def test_wrong_secret_is_not_quoted(text: str) -> None:
    """Neither in the message nor in what a traceback would show."""
    boto3.client("secretsmanager").create_secret(Name="wrong", SecretString=text)
    with pytest.raises(CredentialsError, match=r"^secret wrong: must be JSON of the form") as caught:
        from_secret(clients.secretsmanager(), "wrong")
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert "hush" not in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.usefixtures("aws")
def test_no_such_secret() -> None:
    """The remedy puts the value into no process list and no history of a shell."""
    remedy = "create-secret --name none --secret-string file:///dev/stdin"
    with pytest.raises(CredentialsError, match=f"secret none: ResourceNotFoundException.*{remedy}"):
        from_secret(clients.secretsmanager(), "none")


@pytest.mark.usefixtures("aws")
def test_binary_secret() -> None:
    boto3.client("secretsmanager").create_secret(Name="binary", SecretBinary=b"hush")
    with pytest.raises(CredentialsError, match="secret binary: can't be read"):
        from_secret(clients.secretsmanager(), "binary")
