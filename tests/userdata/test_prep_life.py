"""The prep instance from its start to its own end, on a machine of the rehearsal: stop, start, failure.

The machine runs the unit that userdata/prep.sh writes, and the real prep on a tiny data set. Its volumes are
folders on its root disk, and its Python is that of the tests: the rehearsal has the rest of the boot.
"""

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rehearsal.instance.machine import Hardware, Machine
from rehearsal.servers.archive import ArchiveServer, Fault
from tests.prep.small_sets import TINY, write_folders
from tests.userdata.test_prep import OTHERS, USERDATA

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a machine of the rehearsal"),
    # The tests write archives, whose reader warns about SciPy only where there is a devkit.
    pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning"),
]
REPOSITORY = USERDATA.parent
SHARED = Path("/run/rehearsal")  # where the machine finds the folder that it shares with the tests
LONGEST = 60.0

BOOT = """\
for folder in /data /dataset; do mkdir -p "$folder"; chown ec2-user:ec2-user "$folder"; done
mkdir -p "$APP/venv/bin"
printf '#!/bin/sh\\nPYTHONPATH={repository} exec {python} "$@"\\n' >"$APP/venv/bin/python"
chmod 0755 "$APP/venv/bin/python"
write_service
systemctl enable --now "$SERVICE"
"""


class Prep:
    """The machine. `powered_off` is set when it has shut itself down."""

    def __init__(self, folder: Path, source: str, access_key: str = "key") -> None:
        self.powered_off = threading.Event()
        settings = OTHERS | {
            "WHEN_DONE": "stop",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PREP_DATASET": str(SHARED / "set" / "tiny.toml"),
            "PREP_ROOT": "/data",
            "PREP_PACKED": "/dataset",
            "PREP_SOURCE": source,
            "PREP_USERNAME": "me",
            "PREP_ACCESS_KEY": access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        exports = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
        *functions, prep = [
            (USERDATA / name).read_text()
            for name in ("common.sh", "package.sh", "volume.sh", "permanent.sh", "prep.sh")
        ]
        script = [*functions, prep.removesuffix("\nmain\n")]
        boot = BOOT.format(repository=REPOSITORY, python=sys.executable)
        text = "\n".join(["#!/usr/bin/env bash", "set -euo pipefail", *exports, *script, boot])
        hardware = Hardware("i-1", "t2.large", text.encode())
        self.machine = Machine(folder, hardware, {}, on_power_off=self._off)

    def _off(self) -> None:
        self.machine.stop()
        self.powered_off.set()

    def log(self, service: str) -> str:
        path = self.machine.folder / "log" / f"{service}.log"
        return path.read_text() if path.exists() else ""

    def wait_for_log(self, service: str, text: str) -> None:
        wait_until(
            lambda: text in self.log(service), f"{text!r} in the log of {service}: {self.log(service)}"
        )


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    write_folders(tmp_path / "shared" / "set", TINY)
    with ArchiveServer(tmp_path / "shared" / "set" / "archives", "me", "key") as server:
        yield server


@pytest.fixture
def access_key() -> str:
    return "key"


@pytest.fixture
def prep(tmp_path: Path, server: ArchiveServer, access_key: str) -> Iterator[Prep]:
    prep = Prep(tmp_path, server.url, access_key)
    yield prep
    prep.machine.terminate()


def test_it_stops_itself_once_and_stays_up_when_started_again(prep: Prep) -> None:
    prep.machine.start()
    assert prep.powered_off.wait(LONGEST), prep.log("dataset-prep.service")
    assert "train: 6 images" in prep.log("dataset-prep.service")
    prep.powered_off.clear()
    prep.machine.start()
    wait_until(lambda: prep.log("dataset-prep.service").count("train: 6 images") == 2, "the second run")
    assert not prep.powered_off.wait(3)
    assert prep.log("dataset-prep-failed.service") == ""


def test_it_goes_on_after_stop_and_start(prep: Prep, server: ArchiveServer) -> None:
    server.plan = lambda request: Fault(stall_after=0, stall_seconds=LONGEST) if request.number else None
    prep.machine.start()
    wait_until(lambda: len(server.requests) > 1, "a download")
    prep.machine.stop()
    assert not prep.powered_off.is_set()
    server.plan = None
    prep.machine.start()
    assert prep.powered_off.wait(LONGEST), prep.log("dataset-prep.service")
    assert prep.log("dataset-prep.service").count("train: 6 images") == 1
    assert prep.log("dataset-prep-failed.service") == ""  # to be stopped is no failure


@pytest.mark.parametrize("access_key", ["another"])
def test_a_failure_for_good_is_told_and_the_instance_stays(prep: Prep) -> None:
    """Refused credentials prevent a restart; without a topic, the notice is in the log."""
    prep.machine.start()
    prep.wait_for_log("dataset-prep-failed.service", "sudo systemctl start dataset-prep.service")
    notice = prep.log("dataset-prep-failed.service")
    assert "The preparation of the data set tiny has failed." in notice
    (error,) = [line for line in prep.log("dataset-prep.service").splitlines() if line.startswith("error: ")]
    assert f"error      {error.removeprefix('error: ')}" in notice
    assert "aws ssm start-session --region us-east-1 --target i-1" in notice
    assert not prep.powered_off.is_set()
