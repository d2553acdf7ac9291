"""What tests of several parts of the rehearsal share."""

from collections.abc import Iterator

import pytest

from rehearsal.operator.account import Cloud, start_cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running embedded AWS, for the tests of one module."""
    folder = tmp_path_factory.mktemp("cloud")
    cloud = start_cloud(folder, folder / "cloud.log")
    yield cloud
    cloud.stop()
