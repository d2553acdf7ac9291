"""The metadata service answers with a token, and never without."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from rehearsal.instance.metadata import MetadataServer

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
HEADER = "X-aws-ec2-metadata-token"


@pytest.fixture
def server() -> Iterator[MetadataServer]:
    server = MetadataServer({"meta-data/instance-id": "i-1"}.get)
    yield server
    server.close()


def ask(server: MetadataServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"{server.url}{path}", method=method, headers=headers)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_a_token_opens_the_door(server: MetadataServer) -> None:
    _, token = ask(server, "/latest/api/token", "PUT", **{TTL: "60"})
    answer = ask(server, "/latest/meta-data/instance-id", **{HEADER: token})
    assert answer == (200, "i-1")
    assert ask(server, "/latest/meta-data/nothing", **{HEADER: token})[0] == 404


def test_no_answer_without_a_token(server: MetadataServer) -> None:
    assert ask(server, "/latest/meta-data/instance-id")[0] == 401
    assert ask(server, "/latest/meta-data/instance-id", **{HEADER: "made-up"})[0] == 401


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "x"])
def test_a_token_needs_a_life_span(server: MetadataServer, seconds: str) -> None:
    header = {TTL: seconds}
    assert ask(server, "/latest/api/token", "PUT", **header)[0] == 400


def test_a_token_ends(server: MetadataServer) -> None:
    assert server.knows(server.new_token(1))
    assert not server.knows(server.new_token(0))
