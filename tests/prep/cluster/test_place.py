"""Objects below an address, on a real S3 server."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from prep.aws import clients, objects, retries
from prep.cluster import place
from prep.cluster.place import Place
from prep.errors import AwsError, DescriptionError, IntegrityError
from tests.prep.s3_proxy import Fault, S3Proxy


@pytest.mark.parametrize(("address", "bucket", "prefix"), [
    ("s3://b/p", "b", "p/"), ("s3://b/p/q/", "b", "p/q/"), ("s3://b", "b", ""), ("s3://b/", "b", ""),
])  # fmt: skip
def test_addresses(address: str, bucket: str, prefix: str) -> None:
    assert Place.parse(address) == Place(bucket, prefix)
    assert Place.parse(str(Place.parse(address))) == Place(bucket, prefix)


@pytest.mark.parametrize("address", ["s3://key:secret@b/p", "s3://b/p@q"])
def test_an_address_with_credentials_is_not_repeated(address: str) -> None:
    with pytest.raises(DescriptionError, match="must hold no @") as caught:
        Place.parse(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["s3:/b/p", "https://b/p", "b/p", "s3://", "s3:///p"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(DescriptionError, match="must be an address like s3://"):
        Place.parse(address)


def test_put_and_get(a_place: Place) -> None:
    a_place.put("a", memoryview(b"0123456789"))
    a_place.put("empty", b"")
    assert (a_place.get("a"), a_place.find("a"), a_place.get("empty")) == (b"0123456789", b"0123456789", b"")
    assert a_place.url("a") == f"s3://test-place/{a_place.prefix}a"
    a_place.put("a", b"other")
    assert a_place.get("a") == b"other"


def test_missing_is_none_or_an_error(a_place: Place) -> None:
    assert a_place.find("nothing") is None
    assert a_place.find_json("nothing") is None
    with pytest.raises(IntegrityError, match="nothing: does not exist: run pack"):
        a_place.get("nothing")
    with pytest.raises(AwsError, match="NoSuchKey"):
        a_place.get_range("nothing", 0, 1)


def test_ranges(a_place: Place) -> None:
    a_place.put("a", b"0123456789")
    assert (a_place.get_range("a", 0, 10), a_place.get_range("a", 3, 4)) == (b"0123456789", b"3456")
    assert a_place.get_range("a", 9, 1) == b"9"
    assert a_place.get_range("a", 10, 0) == b""


@pytest.mark.parametrize(("offset", "size"), [(0, 11), (8, 3), (10, 1), (50, 1)])
def test_a_range_beyond_the_end(a_place: Place, offset: int, size: int) -> None:
    a_place.put("a", b"0123456789")
    with pytest.raises((IntegrityError, AwsError), match=r"/a: .*: .*run pack again|InvalidRange"):
        a_place.get_range("a", offset, size)


def test_json(a_place: Place) -> None:
    a_place.put_json("a", {"ü": [1, None]})
    a_place.put("torn", b'{"a": ')
    a_place.put("no text", b"\xff\xfe\x00")
    assert a_place.get("a") == '{\n  "ü": [\n    1,\n    null\n  ]\n}\n'.encode()
    found = a_place.find_all_json(["a", "torn", "nothing", "no text", "a"])
    assert found == [{"ü": [1, None]}, None, None, None, {"ü": [1, None]}]


def test_listing_and_removing_more_than_one_page(a_place: Place) -> None:
    """S3 lists, and removes, 1,000 objects at a time."""
    names = [f"of/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: a_place.put(name, b"x" * (int(name[3:]) % 3)), names))
    a_place.put("other", b"")
    assert a_place.list("of/") == {name: int(name[3:]) % 3 for name in names}
    assert a_place.list("") == a_place.list("of/") | {"other": 0}
    a_place.remove([*names, "nothing"])
    assert a_place.list("") == {"other": 0}
    a_place.remove([])


def test_names_are_kept(a_place: Place) -> None:
    for name in ("a b", "ü/+&", "x%20y"):
        a_place.put(name, name.encode())
    assert set(a_place.list("")) == {"a b", "ü/+&", "x%20y"}
    assert a_place.get("x%20y") == b"x%20y"


def test_a_refusal_says_what_to_do(a_place: Place, proxy: S3Proxy) -> None:
    a_place.put("a", b"x")
    proxy.plan = lambda _: Fault.DENIED
    for call, name in (
        (lambda: a_place.get("a"), "GetObject"),
        (lambda: a_place.put("a", b""), "PutObject"),
        (lambda: a_place.list(""), "ListObjectsV2"),
        (lambda: a_place.remove(["a"]), "DeleteObjects"),
    ):
        with pytest.raises(AwsError, match=f"{name}: AccessDenied.*: allow this role to call {name}"):
            call()


def test_what_passes_is_tried_again(a_place: Place, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.01)
    left = [Fault.SLOW_DOWN, Fault.NO_REPLY]
    proxy.plan = lambda _: left.pop() if left else None
    a_place.put("a", b"0123456789")
    left += [Fault.SLOW_DOWN]
    assert a_place.get_range("a", 3, 4) == b"3456"
    assert left == []


@pytest.mark.parametrize("start", [None, 0, 1])
def test_a_reply_that_breaks_off_is_asked_for_again(
    a_place: Place, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, start: int | None
) -> None:
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.01)
    data = bytes(range(256)) * (3 * objects.PIECE // 256) + b"x"
    a_place.put("a", data)
    left = [Fault.HALF_REPLY] * 2
    proxy.plan = lambda _: left.pop() if left else None
    found = a_place.get("a") if start is None else a_place.get_range("a", start, len(data) - start)
    assert found == data[start or 0 :]
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


def test_values_that_are_large(a_place: Place) -> None:
    """An object as large as that of a unit."""
    data = bytes(range(256)) * (80 << 10)  # 20 MiB
    a_place.put("large", memoryview(data))
    assert a_place.list("") == {"large": len(data)}
    assert a_place.get("large") == data
