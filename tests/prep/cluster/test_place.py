"""Objects below an address, on a real S3 server."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from prep.aws import clients, retries
from prep.cluster import place
from prep.cluster.place import Place
from prep.errors import AwsError, DescriptionError, IntegrityError
from rehearsal.servers.s3 import S3Server
from tests.prep.s3_proxy import Fault, S3Proxy


@pytest.fixture(scope="module")
def proxy(server: S3Server) -> Iterator[S3Proxy]:
    """A proxy before the server, which prep's client of this process talks to; there is one bucket."""
    with S3Proxy(server.endpoint) as proxy:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (server.environment() | {"AWS_ENDPOINT_URL": proxy.endpoint}).items():
                patch.setenv(name, value)
            clients._session.cache_clear()
            place._client.cache_clear()
            place.client().create_bucket(Bucket="bucket")
            yield proxy
        clients._session.cache_clear()
        place._client.cache_clear()


@pytest.fixture
def here(proxy: S3Proxy, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place."""
    yield Place("bucket", f"{request.node.name}/")
    proxy.plan = None


@pytest.mark.parametrize(("address", "bucket", "prefix"), [
    ("s3://b/p", "b", "p/"), ("s3://b/p/q/", "b", "p/q/"), ("s3://b", "b", ""), ("s3://b/", "b", ""),
])  # fmt: skip
def test_addresses(address: str, bucket: str, prefix: str) -> None:
    assert Place.parse(address) == Place(bucket, prefix)
    assert Place.parse(str(Place.parse(address))) == Place(bucket, prefix)


@pytest.mark.parametrize("address", ["s3:/b/p", "https://b/p", "b/p", "s3://", "s3:///p", "s3://key@b/p"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(DescriptionError, match="must be an address like s3://"):
        Place.parse(address)


def test_put_and_get(here: Place) -> None:
    here.put("a", memoryview(b"0123456789"))
    here.put("empty", b"")
    assert (here.get("a"), here.find("a"), here.get("empty")) == (b"0123456789", b"0123456789", b"")
    assert here.url("a") == f"s3://bucket/{here.prefix}a"
    here.put("a", b"other")
    assert here.get("a") == b"other"


def test_missing_is_none_or_an_error(here: Place) -> None:
    assert here.find("nothing") is None
    assert here.find_json("nothing") is None
    with pytest.raises(IntegrityError, match="nothing: does not exist: run pack"):
        here.get("nothing")
    with pytest.raises(AwsError, match="NoSuchKey"):
        here.get_range("nothing", 0, 1)


def test_ranges(here: Place) -> None:
    here.put("a", b"0123456789")
    assert (here.get_range("a", 0, 10), here.get_range("a", 3, 4)) == (b"0123456789", b"3456")
    assert here.get_range("a", 9, 1) == b"9"
    assert here.get_range("a", 10, 0) == b""


@pytest.mark.parametrize(("offset", "size"), [(0, 11), (8, 3), (10, 1), (50, 1)])
def test_a_range_beyond_the_end(here: Place, offset: int, size: int) -> None:
    here.put("a", b"0123456789")
    with pytest.raises((IntegrityError, AwsError), match="/a: .*: .*run pack again|InvalidRange"):
        here.get_range("a", offset, size)


def test_json(here: Place) -> None:
    here.put_json("a", {"ü": [1, None]})
    here.put("torn", b'{"a": ')
    here.put("no text", b"\xff\xfe\x00")
    assert here.get("a") == '{\n  "ü": [\n    1,\n    null\n  ]\n}\n'.encode()
    found = here.find_all_json(["a", "torn", "nothing", "no text", "a"])
    assert found == [{"ü": [1, None]}, None, None, None, {"ü": [1, None]}]


def test_listing_and_removing_more_than_one_page(here: Place) -> None:
    """S3 lists, and removes, 1,000 objects at a time."""
    names = [f"of/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: here.put(name, b"x" * (int(name[3:]) % 3)), names))
    here.put("other", b"")
    assert here.list("of/") == {name: int(name[3:]) % 3 for name in names}
    assert here.list("") == here.list("of/") | {"other": 0}
    here.remove([*names, "nothing"])
    assert here.list("") == {"other": 0}
    here.remove([])


def test_names_are_kept(here: Place) -> None:
    for name in ("a b", "ü/+&", "x%20y"):
        here.put(name, name.encode())
    assert set(here.list("")) == {"a b", "ü/+&", "x%20y"}
    assert here.get("x%20y") == b"x%20y"


def test_a_refusal_says_what_to_do(here: Place, proxy: S3Proxy) -> None:
    here.put("a", b"x")
    proxy.plan = lambda _: Fault.DENIED
    for call, name in (
        (lambda: here.get("a"), "GetObject"),
        (lambda: here.put("a", b""), "PutObject"),
        (lambda: here.list(""), "ListObjectsV2"),
        (lambda: here.remove(["a"]), "DeleteObjects"),
    ):
        with pytest.raises(AwsError, match=f"{name}: AccessDenied.*: allow this role to call {name}"):
            call()


def test_what_passes_is_tried_again(here: Place, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.01)
    left = [Fault.SLOW_DOWN, Fault.NO_REPLY]
    proxy.plan = lambda _: left.pop() if left else None
    here.put("a", b"0123456789")
    left += [Fault.SLOW_DOWN]
    assert here.get_range("a", 3, 4) == b"3456"
    assert left == []


def test_the_client_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the first to ask are sixteen threads: boto3 can't make clients in several at a time.

    https://docs.aws.amazon.com/boto3/latest/guide/session.html
    """
    made: list[object] = []

    def make() -> object:
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    monkeypatch.setattr(clients, "s3", make)
    place._client.cache_clear()
    barrier = threading.Barrier(16)

    def ask(_: int) -> object:
        barrier.wait()
        return place.client()

    try:
        with ThreadPoolExecutor(16) as pool:
            got = set(pool.map(ask, range(16)))
    finally:
        place._client.cache_clear()
    assert got == {*made}
    assert len(made) == 1


def test_values_that_are_large(here: Place) -> None:
    """An object as large as that of a unit."""
    data = bytes(range(256)) * (80 << 10)  # 20 MiB
    here.put("large", memoryview(data))
    assert here.list("") == {"large": len(data)}
    assert here.get("large") == data
