"""What tests of several parts share: generated samples and an embedded AWS, each made once a session."""

import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from rehearsal.sample.generate import make_sample

with warnings.catch_warnings():
    # MXNet 1.9.1 is the last there will be; what it uses is deprecated and will stay so.
    warnings.simplefilter("ignore")
    import mxnet  # noqa: F401

REGION = "us-east-1"


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description of a sample in ImageNet's shape, not to be changed; `archives` lies beside it.

    About 25 MB: several units of the size that the real thing has.
    """
    folder = tmp_path_factory.mktemp("sample")
    return make_sample(folder, seed=1, classes=6, images_per_class=26, validation_images=24)


@pytest.fixture(scope="session")
def folders_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description of a sample in class folders, without a devkit."""
    folder = tmp_path_factory.mktemp("folders")
    return make_sample(
        folder, seed=2, classes=4, images_per_class=6, validation_images=8, name="things", layout="folders"
    )


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """Endpoint of an embedded AWS, on a free port of this machine only."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The embedded AWS, empty, as the one that boto3 talks to; its endpoint."""
    request = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")  # noqa: S310 - our own
    with urllib.request.urlopen(request):  # noqa: S310 - likewise
        pass
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    return moto_server
