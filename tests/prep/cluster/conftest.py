"""What the tests of a cluster share: one stand for all of them, as a cluster takes ten seconds to start."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prep.aws import clients
from prep.cluster import place
from prep.cluster.place import Place
from rehearsal.servers.s3 import S3Server, s3_server
from tests.prep.bulk import bulk
from tests.prep.cluster.stand import Stand, stand_at
from tests.prep.s3_proxy import S3Proxy


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that read ranges."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """S3."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: S3Server, request: pytest.FixtureRequest) -> Iterator[S3Proxy]:
    """A proxy before S3, which prep's client of this process talks to; each module has a bucket there."""
    with S3Proxy(server.endpoint) as proxy:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (server.environment() | {"AWS_ENDPOINT_URL": proxy.endpoint}).items():
                patch.setenv(name, value)
            clients._session.cache_clear()
            place._client.cache_clear()
            place.client().create_bucket(Bucket=bucket_of(request))
            yield proxy
        clients._session.cache_clear()
        place._client.cache_clear()


def bucket_of(request: pytest.FixtureRequest) -> str:
    return str(request.module.__name__).rpartition(".")[2].replace("_", "-")


@pytest.fixture
def a_place(proxy: S3Proxy, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty place."""
    yield Place(bucket_of(request), f"{request.node.name}/")
    proxy.plan = None


@pytest.fixture(scope="session")
def shared_stand(server: S3Server) -> Iterator[Stand]:
    """S3 and a cluster that begins with one node."""
    with stand_at(server, nodes=1) as made:
        yield made


@pytest.fixture
def stand(shared_stand: Stand) -> Iterator[Stand]:
    """The stand; its proxy does no harm before or after a test."""
    shared_stand.proxy.plan = None
    shared_stand.proxy.requests.clear()
    yield shared_stand
    shared_stand.proxy.plan = None


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description of a data set of 20 MB in class folders, whose `.rec` file has several ranges."""
    return bulk(tmp_path_factory.mktemp("large") / "set", 40, 500_000)
