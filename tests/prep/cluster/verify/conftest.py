"""A small data set, packed, here and in S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prep.aws import clients
from prep.cluster import place as places
from prep.cluster.place import Place
from prep.job import Job
from tests.prep.cluster.stand import Stand
from tests.prep.cluster.stored import Stored, store
from tests.prep.cluster.verify.asking import SIZE, copied
from tests.prep.small_sets import pack, write_folders
from tests.prep.stages.test_verify import SETTINGS, TINY


@pytest.fixture(scope="module", autouse=True)
def _storage(shared_stand: Stand) -> Iterator[None]:
    """This process, too, talks to the S3 server, to put packed files there and to damage them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shared_stand.env.items():
            patch.setenv(name, value)
        clients._session.cache_clear()
        places._client.cache_clear()
        yield
    clients._session.cache_clear()
    places._client.cache_clear()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, packed."""
    folder = tmp_path_factory.mktemp("good")
    pack(write_folders(folder / "set", TINY), folder, settings=SETTINGS)
    return folder


@pytest.fixture
def work(good: Path, tmp_path: Path) -> Job:
    """The same on this machine, for this test to damage."""
    return copied(good, "tiny", tmp_path)


@pytest.fixture
def place(stand: Stand) -> Place:
    """Where the packed files of this test are."""
    return Place.parse(stand.place())


@pytest.fixture
def stored(work: Job, place: Place) -> Stored:
    """The small data set in S3."""
    return store(work, place, SIZE)
