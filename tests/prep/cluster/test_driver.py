"""The driver as its user runs it, a process of its own: connecting, interrupting, killing, running again."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.prep.cluster.stand import BUCKET, SCALED, Stand, here
from tests.prep.commands import HEED_SIGNALS, REPOSITORY, environment, run, wait_for
from tests.prep.s3_proxy import Request
from tests.prep.small_sets import packed_files

WITHOUT_RAY = [
    sys.executable, "-c",
    "import sys; sys.modules['ray'] = None\n"
    "from bench.rigs import scaled_cluster; scaled_cluster.scale()\n"
    "sys.argv[0] = 'prep/__main__.py'; sys.exit(scaled_cluster.main())",
]  # fmt: skip
SOON = 15.0  # seconds; a connection is given up after ten


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, large: Path) -> dict[str, str]:
    """SHA-256 of the files that one machine makes of the large data set."""
    folder = tmp_path_factory.mktemp("expected")
    assert here(large, folder).returncode == 0
    return packed_files(folder)


def start(stand: Stand, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - our own program
        [*HEED_SIGNALS, *SCALED, *arguments],
        cwd=REPOSITORY,
        env=environment(stand.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def of_units(stand: Stand, packed: str) -> dict[str, object]:
    """When the journal of each unit was written."""
    return {
        name: each["LastModified"]
        for name, each in stand.objects(packed).items()
        if "/unit-" in name and name.endswith(".json")
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(stand: Stand, large: Path, expected: dict[str, str], number: signal.Signals) -> None:
    """In the midst of dealing; the units that are dealt are not dealt again."""
    source, packed = stand.source(large), stand.place()
    arguments = stand.command(large, source, packed)
    with start(stand, *arguments) as driver:
        assert wait_for(lambda: len(of_units(stand, packed)) >= 3, driver)
        begun = time.monotonic()
        driver.send_signal(number)
        out, err = driver.communicate(timeout=60)
        seconds = time.monotonic() - begun
    if number != signal.SIGKILL:
        assert (driver.returncode, out) == (130, ""), err
        said = [line for line in err.splitlines() if line]
        assert said[1:] == ["interrupted: run the same command again; it continues where it stopped"], err
        assert seconds < SOON
    before = of_units(stand, packed)
    assert "MANIFEST.json" not in stand.objects(packed)
    stand.proxy.requests.clear()
    done = stand.pack(large, source, packed)
    assert done.returncode == 0, done.stderr
    key = f"{packed.rpartition('/')[2]}/"
    again = {each.key.removeprefix(key) for each in stand.proxy.requests if each.operation == "PutObject"}
    assert not again & before.keys()
    assert stand.files(packed) == expected


def test_what_is_packed_needs_no_cluster(stand: Stand, large: Path) -> None:
    """Not even Ray; and what a kill has left after the receipt is removed."""
    source, packed = stand.source(large), stand.place()
    first = stand.pack(large, source, packed, "--json")
    assert first.returncode == 0, first.stderr
    stand.put(f"{packed.rpartition('/')[2]}/.packing/train/0/unit-00000.entries", b"left")
    before = stand.files(packed).keys()
    arguments = stand.command(large, source, packed, "--json")
    done = run(*arguments, env=stand.env, program=WITHOUT_RAY)
    assert (done.returncode, done.stdout) == (0, first.stdout)
    assert done.stderr.startswith("pack: done on ")
    assert stand.files(packed).keys() == before - {".packing/train/0/unit-00000.entries"}


def test_without_ray(stand: Stand, large: Path) -> None:
    arguments = stand.command(large, stand.source(large), stand.place())
    done = run(*arguments, env=stand.env, program=WITHOUT_RAY)
    assert (done.returncode, done.stdout, done.stderr) == (
        2, "", "error: --on ray: Ray is not installed: run `pip install -r requirements-cluster.txt`\n",
    )  # fmt: skip


@pytest.mark.parametrize("given", ["option", "environment"])
def test_no_cluster_at_the_address(stand: Stand, large: Path, given: str) -> None:
    """Ray itself would try for a quarter of an hour, and write a page about it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{unused.getsockname()[1]}"
    arguments = stand.command(large, stand.source(large), stand.place())
    place = arguments.index("--address")
    address = arguments[place : place + 2]
    del arguments[place : place + 2]
    env = dict(stand.env)
    if given == "option":
        arguments += [address[0], nobody]
    else:
        env["RAY_ADDRESS"] = nobody
    begun = time.monotonic()
    done = run(*arguments, env=env, program=SCALED)
    assert (done.returncode, done.stdout) == (8, ""), done.stderr
    assert done.stderr == (
        f"error: connect to the Ray cluster at {nobody}: Connection refused: check --address, and on the "
        "head `ray status`\n"
    )
    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", "127.0.0.1:x", "nowhere.invalid:6379"])
def test_what_is_no_address(stand: Stand, large: Path, address: str) -> None:
    source, packed = stand.source(large), stand.place()
    arguments = stand.command(large, source, packed)
    arguments[arguments.index("--address") + 1] = address
    done = run(*arguments, env=stand.env, program=SCALED)
    assert (done.returncode, done.stdout) == (8, ""), done.stderr
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: connect to the Ray cluster at {address}: ")
    assert said.endswith(": check --address, and on the head `ray status`")


@pytest.mark.parametrize("alive", [True, False])
def test_the_cluster_of_this_machine(tmp_path: Path, stand: Stand, alive: bool) -> None:
    """The one that Ray has noted, unless it is gone: its note stays when it is killed."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        noted = stand.nodes.address if alive else f"127.0.0.1:{unused.getsockname()[1]}"
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(noted)
    done = subprocess.run(
        [sys.executable, "-c", "from prep.cluster.engine import _address; print(_address(None))"],
        cwd=REPOSITORY,
        env=environment({"RAY_TMPDIR": str(tmp_path), "RAY_ADDRESS": None}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (noted if alive else "local")


def test_two_drivers_with_other_settings(stand: Stand, large: Path, expected: dict[str, str]) -> None:
    """The one that began later wins; the other says so, and makes nothing."""
    source, packed = stand.source(large), stand.place()

    def plan(request: Request) -> None:
        if request.key.endswith(".entries"):
            time.sleep(0.2)  # the first one still deals when the second one begins

    stand.proxy.plan = plan
    with start(stand, *stand.command(large, source, packed, "--resize", "8")) as first:
        assert wait_for(lambda: len(of_units(stand, packed)) >= 3, first)
        done = stand.pack(large, source, packed)
        _, err = first.communicate(timeout=60)
    assert done.returncode == 0, done.stderr
    assert first.returncode == 8, err
    assert err.splitlines()[-1] == (
        f"error: {packed}/: another `pack` works there, or has just ended: wait for its end, then run again"
    )
    assert stand.pack(large, source, packed).stderr.startswith("pack: done on ")
    assert stand.files(packed) == expected


def test_two_drivers_with_the_same_settings(stand: Stand, large: Path, expected: dict[str, str]) -> None:
    """Both do the same; whatever the second one says, nothing is wrong."""
    source, packed = stand.source(large), stand.place()
    with start(stand, *stand.command(large, source, packed)) as first:
        assert wait_for(lambda: len(of_units(stand, packed)) >= 3, first)
        second = stand.pack(large, source, packed)
        _, err = first.communicate(timeout=60)
    assert 0 in (first.returncode, second.returncode), err + second.stderr
    assert {first.returncode, second.returncode} <= {0, 5, 7, 8}, err + second.stderr
    assert stand.pack(large, source, packed).stderr.startswith("pack: done on ")
    for upload in stand.uploads(packed):  # each may have begun one
        stand.s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    assert stand.files(packed) == expected
