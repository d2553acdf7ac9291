"""Every fault of the archive server, by the real command line: its line, what is left, how a rerun ends."""

import json
import time
from pathlib import Path

import pytest

from prep import contract
from rehearsal.servers.archive import ArchiveServer, Fault
from tests.prep import fault_tables, faults
from tests.prep.bulk import bulk
from tests.prep.commands import REPOSITORY, folders, lines, run
from tests.prep.faults import SERVER, ServerFault, matches
from tests.prep.hasty import HASTY, RANGE_BYTES

WHO, KEY = "someone", "hush/hush"
SITE = {contract.ENV_USERNAME: WHO, contract.ENV_ACCESS_KEY: KEY}


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description of a data set with an archive of some twenty ranges."""
    return bulk(tmp_path_factory.mktemp("bulk") / "set", 10, 130_000)


def ranges(server: ArchiveServer) -> int:
    """How many requests for parts of the archive there have been."""
    return sum(request.range != "bytes=0-0" for request in server.requests)


def damaged(archive: Path, folder: Path) -> Path:
    """A folder with another archive of the same name and size."""
    folder.mkdir()
    (folder / archive.name).write_bytes(archive.read_bytes()[::-1])
    return folder


@pytest.mark.parametrize("fault", SERVER.values(), ids=SERVER)
def test_fault(tmp_path: Path, toml: Path, fault: ServerFault) -> None:
    archive = toml.parent / "archives" / "train.tar"
    kept = tmp_path / "root" / "archives"
    served = damaged(archive, tmp_path / "damaged") if fault.damaged else archive.parent
    with ArchiveServer(served, WHO, KEY, plan=fault.plan(archive.stat().st_size)) as server:
        command = ["download", "--dataset", str(toml), *folders(tmp_path), "--source", server.url]
        done = run(*command, env=SITE, program=HASTY)
        said = [line for line in done.stderr.splitlines() if ": trying again in " not in line]
        assert (done.returncode, done.stdout) == (fault.code, "")
        assert KEY not in done.stderr
        if fault.code:
            assert matches(f"error: {fault.says}", said[0]), said
            assert len(said) == 1
            assert {path.name for path in kept.iterdir()} == set(fault.left)
            there = max(0, lines(kept / "train.tar.journal") - 1)
            server.plan, server.archives = None, archive.parent
            server.requests.clear()
            assert run(*command, env=SITE, program=HASTY).returncode == 0
            if fault.resumes:
                assert ranges(server) == -(-archive.stat().st_size // RANGE_BYTES) - there
                assert there >= (3 if fault.left else 0)
        else:
            assert [line.split(":")[0] for line in said] == ["download"]
    assert {path.name for path in kept.iterdir()} == {"train.tar"}
    assert (kept / "train.tar").read_bytes() == archive.read_bytes()


def test_retry_after_is_heeded(tmp_path: Path, toml: Path) -> None:
    """Though the pauses of this program are much shorter."""
    plan = faults.once(Fault(status=429, retry_after=2))
    with ArchiveServer(toml.parent / "archives", WHO, KEY, plan=plan) as server:
        begun = time.monotonic()
        done = run("download", "--dataset", str(toml), *folders(tmp_path), "--source", server.url, "--json",
                   env=SITE, program=HASTY)  # fmt: skip
    assert done.returncode == 0
    assert time.monotonic() - begun > 2
    assert json.loads(done.stdout)["counts"] == {"archives": 1, "fetched": 1}


def test_document_is_current() -> None:
    """`python -m tests.prep.fault_tables > docs/faults.md` makes it so."""
    assert (REPOSITORY / "docs" / "faults.md").read_text(encoding="utf-8") == fault_tables.document()
