"""Faults of a run while archives arrive and are worked on, by the real command line and real servers.

Until an archive's digest has matched nothing made of it may be published, whatever happens; and the next run
must end with the bytes of one to which nothing happened.
"""

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from moto.s3 import models

from prep.sources.arrival import WINDOW
from rehearsal.servers.archive import Fault, Request
from tests.prep import s3_proxy
from tests.prep.commands import LONGEST, wait_for
from tests.prep.faults import matches
from tests.prep.hasty import RANGE_BYTES
from tests.prep.overlapping import OPENED, OVERLAPPING, PATIENT
from tests.prep.places import IMAGE_BYTES, IMAGES, MB, PACKED, SPLITS, Files, Place, disturb, mend, place_at
from tests.prep.run_faults import RUN, RunFault
from tests.prep.small_disk import fill, make_room, small_disk
from tests.prep.small_sets import write_folders

# Two seconds are promised, one is taken; the rest is for a busy machine.
AT_ONCE = 8.0
# What is said besides the error: of repeated calls, and that the status can't be written without S3.
NOTE = re.compile(r": trying again in |^status: can't be written to the bucket: ")
INTERRUPTED = "interrupted: run the same command again; it continues where it stopped"


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description of a data set of nine units in two archives."""
    return write_folders(tmp_path_factory.mktemp("overlap") / "set", SPLITS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toml: Path, moto_server: str) -> Iterator[Files]:
    """What a run leaves to which nothing happens. Nothing that it works on is read back from the disk."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch, place_at(toml, folder, moto_server) as place:
        patch.setattr(models, "S3_UPLOAD_PART_MIN_SIZE", 1)  # parts as small as these units
        opened = folder / "opened"
        done = place.run(**{OPENED: str(opened)})
        assert done.returncode == 0, done.stderr
        # Each once, to see that the backup has all of it.
        archives = [str(place.root / "archives" / f"{split}.tar") for split in IMAGES]
        assert sorted(opened.read_text().splitlines()) == sorted(archives)
        yield place.result()


@pytest.fixture
def place(tmp_path: Path, toml: Path, undisturbed: Files, aws: str) -> Iterator[Place]:
    """A place with an empty S3."""
    assert undisturbed
    with place_at(toml, tmp_path, aws) as made:
        yield made


# What goes wrong in one run and then in the next; each goes on from what the one before has left.
CHAINS = [
    ("last byte", "S3 away for long at the end"),
    ("changes for ever", "changed"),
    ("refused", "S3 away for long", "AWS login", "S3 away"),
    ("hostile", "no ETag"),
    ("no ranges",),
    ("work volume", "dataset volume"),
]


@pytest.mark.parametrize("chain", CHAINS, ids="+".join)
def test_faults(tmp_path: Path, place: Place, undisturbed: Files, chain: Sequence[str]) -> None:
    with contextlib.ExitStack() as stack:
        for fault in map(RUN.__getitem__, chain):
            if fault.disk:
                if os.geteuid():
                    pytest.skip("mounting a loop device takes root")
                (tmp_path / f"of {fault.disk}").mkdir()
                disk = stack.enter_context(small_disk(tmp_path / f"of {fault.disk}"))
                setattr(place, fault.disk, disk / fault.disk)
                archives = sum(path.stat().st_size for path in place.server.archives.iterdir())
                fill(disk, archives + 5 * MB if fault.disk == "root" else 4 * MB)
            disturb(place, fault)
            done = place.run()
            said = [line for line in done.stderr.splitlines() if not NOTE.search(line)]
            assert (done.returncode, bool(done.stdout)) == (fault.code, not fault.code), done.stderr
            if fault.code:
                assert matches(f"error: {fault.says}", said[-1]), said
                check_failed(place, fault, said)
            mend(place)
            if fault.disk:
                make_room(disk)
        if fault.code:
            again = place.run()
            assert again.returncode == 0, again.stderr
        assert place.result() == undisturbed


def test_every_fault_has_a_test() -> None:
    assert {name for chain in CHAINS for name in chain} == set(RUN)


def test_importing_the_program_changes_nothing() -> None:
    """Other tests of this process need units as they are."""
    assert OVERLAPPING
    assert "tests.prep.small_units" not in sys.modules


def check_failed(place: Place, fault: RunFault, said: Sequence[str]) -> None:
    """It had begun to work on what arrived, and nothing of that is taken for done."""
    if fault.tail:
        assert place.published() <= {"download", "organize", "pack", *PACKED}
        return
    assert len(said) == 1
    assert place.published() == set()
    assert place.bytes_packed() > MB
    if fault.served == "last byte":
        assert place.bytes_packed() == (place.toml.parent / "archives" / "validation.tar").stat().st_size
    if fault.stops:
        assert len(place.asked("train.tar")) < 0.9 * place.ranges("train.tar")


def test_unreadable_image(tmp_path: Path, place: Place, undisturbed: Files) -> None:
    """Told at the end, with all others that there are; then nothing is fetched or packed again."""
    images = {name: dict(of) for name, of in SPLITS["train"].items()}
    images["dog"]["7.jpg"] = images["dog"]["7.jpg"][:200]
    place.toml = write_folders(tmp_path / "set", {**SPLITS, "train": images})
    mend(place)
    done = place.run()
    assert done.returncode == 5
    assert matches(
        "error: pack: 1 unreadable images: dog/7.jpg …: get undamaged archives, or leave the images out with "
        "--allow-unreadable 1 (the manifest will name them)",
        done.stderr.splitlines()[-1],
    )
    assert place.published() == {"download", "organize"}
    place.server.requests.clear()
    again = place.run("--allow-unreadable", "1")
    assert again.returncode == 0, again.stderr
    assert place.server.requests == []
    result = place.result()
    same = {name for name in undisturbed if "validation" in name}
    assert {name: result[name] for name in same} == {name: undisturbed[name] for name in same}
    names = [line.split("\t")[2] for line in (place.packed / "train.lst").read_text().splitlines()]
    assert sorted(names) == sorted(
        {f"{name}/{file}" for name in images for file in images[name]} - {"dog/7.jpg"}
    )


def interrupt(process: Any, number: signal.Signals) -> list[str]:
    """Interrupt it, and see that it ends soon; returns what it has said."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=AT_ONCE)
    assert process.returncode == 130, errors
    said: list[str] = errors.splitlines()
    assert said[-1] == INTERRUPTED
    return said


def stalls(after: int, seconds: float, asked: Request) -> Fault | None:
    """From that request on the server is silent for a while, each time."""
    return Fault(stall_after=10, stall_seconds=seconds) if asked.number >= after else None


def test_interrupts(place: Place, undisturbed: Files) -> None:
    """While units arrive, of a server that is silent or slow; then while S3 can't be reached at the end."""
    for number, after, seconds in ((signal.SIGINT, 60, 60.0), (signal.SIGTERM, 20, 0.5)):
        place.server.requests.clear()
        place.server.plan = partial(stalls, after, seconds)
        process = place.start(**PATIENT)
        assert wait_for(lambda: place.bytes_packed() > MB, process)
        assert wait_for(partial(place.has_asked, after), process)
        interrupt(process, number)
        assert place.published() == set()
    mend(place)
    for number in (signal.SIGINT, signal.SIGTERM):
        place.proxy.requests.clear()
        place.proxy.plan = RUN["S3 away for long at the end"].s3()
        process = place.start(**PATIENT)
        assert wait_for(lambda: any(one.key.endswith("/train.rec") for one in place.proxy.requests), process)
        interrupt(process, number)
        assert place.published() <= {"download", "organize", "pack", *PACKED}
    mend(place)
    done = place.run()
    assert done.returncode == 0, done.stderr
    assert place.result() == undisturbed


def test_interrupt_of_a_silent_server_without_ranges(place: Place) -> None:
    place.server.plan = lambda asked: Fault(
        no_ranges=True, stall_after=None if asked.range == "bytes=0-0" else MB, stall_seconds=60
    )
    process = place.start(**PATIENT)
    assert wait_for(lambda: "bytes=0-" in {asked.range for asked in place.server.requests}, process)
    interrupt(process, signal.SIGINT)


def test_slow_consumer_holds_the_download_back(place: Place) -> None:
    """What is asked for stays within a window behind the units in memory, however long S3 takes."""
    held = threading.Event()

    def plan(asked: s3_proxy.Request) -> None:
        if asked.operation == "UploadPart" and asked.key.endswith("/train.tar"):
            held.wait(LONGEST)

    place.proxy.plan = plan
    process = place.start(**PATIENT)
    try:
        seen = -1
        while seen < (seen := len(place.asked("train.tar"))) or not seen:
            time.sleep(1.0)
            assert process.poll() is None
        # Two units are in memory, of 1 MiB and what is left of an image then.
        units = 2 * (MB + IMAGE_BYTES) + 512
        assert max(place.asked("train.tar")) < units + WINDOW * RANGE_BYTES
        assert place.bytes_packed() < 4 * MB
    finally:
        held.set()
        process.kill()
        process.communicate()


def test_failure_beside_a_silent_server(place: Place) -> None:
    """A consumer fails; the run ends, though the server's silence would last a minute."""
    place.server.plan = partial(stalls, 40, 60.0)

    def plan(asked: s3_proxy.Request) -> s3_proxy.Fault | None:
        if asked.operation != "UploadPart":
            return None
        wait_for(partial(place.has_asked, 40), process)
        return s3_proxy.Fault.DENIED

    place.proxy.plan = plan
    process = place.start(**PATIENT)
    assert wait_for(partial(place.has_asked, 40), process)
    _, errors = process.communicate(timeout=AT_ONCE)
    assert process.returncode == 7, errors
