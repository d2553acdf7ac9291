"""A full disk in every stage, by the real command line on a real one: its line, and that a rerun finishes."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from prep import contract
from rehearsal.servers.archive import ArchiveServer
from tests.prep.bulk import bulk
from tests.prep.commands import PREP, PREP_SMALL, run
from tests.prep.faults import DISK, DiskFault, matches
from tests.prep.hasty import HASTY
from tests.prep.small_disk import fill, make_room, small_disk
from tests.prep.small_sets import packed_files, place_archives

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a loop device takes root")
BUCKET = "disk-faults"
SITE = {contract.ENV_USERNAME: "someone", contract.ENV_ACCESS_KEY: "hush/hush"}
PROGRAMS = {"download": HASTY, "backup": PREP}  # S3 takes no parts as small as PREP_SMALL's
Files = dict[str, str]


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description of a data set of 6 MB."""
    return bulk(tmp_path_factory.mktemp("bulk") / "set", 20, 300_000)


def files_below(folder: Path) -> Files:
    """SHA-256 of every file, by path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toml: Path) -> dict[str, Files]:
    """What the stages leave where nothing goes wrong: images and packed files."""
    folder = tmp_path_factory.mktemp("undisturbed")
    place_archives(toml, folder / "root")
    for stage in ("organize", "pack"):
        command = [stage, "--dataset", str(toml), "--root", str(folder / "root")]
        assert run(*command, "--packed", str(folder / "packed"), program=PREP_SMALL).returncode == 0
    return {
        "download": files_below(toml.parent / "archives"),
        "organize": files_below(folder / "root" / "train"),
        "pack": packed_files(folder),
    }


def results(stage: str, root: Path, packed: Path) -> Files:
    """What a stage has made."""
    if stage == "download":
        return files_below(root / "archives")
    return files_below(root / "train") if stage == "organize" else packed_files(packed.parent)


def backed_up() -> Files:
    """What is in the bucket, under the names that it has on the disks."""
    s3 = boto3.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    return {
        key.rpartition("/")[2]: hashlib.sha256(
            s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        ).hexdigest()
        for key in keys
        if "/receipts/" not in key
    }


@pytest.fixture
def command(tmp_path: Path, toml: Path) -> Callable[..., Any]:
    """Runs a stage."""

    def do(stage: str, root: Path, packed: Path, fault: DiskFault, *more: str) -> Any:
        description = toml
        if fault.unknown_size:
            description = tmp_path / "unknown.toml"
            description.write_text(re.sub(r"\nbytes = \d+", "", toml.read_text()))
        arguments = [
            stage,
            "--dataset",
            str(description),
            "--root",
            str(root),
            "--packed",
            str(packed),
            *more,
        ]
        return run(*arguments, env=SITE, program=PROGRAMS.get(stage, PREP_SMALL))

    return do


@pytest.mark.parametrize("fault", DISK.values(), ids=DISK)
def test_fault(
    tmp_path: Path,
    toml: Path,
    undisturbed: dict[str, Files],
    command: Callable[..., Any],
    aws: str,
    fault: DiskFault,
) -> None:
    assert aws
    more: tuple[str, ...] = ()
    if fault.stage == "backup":
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        more = ("--bucket", BUCKET)
    with small_disk(tmp_path) as disk, ArchiveServer(toml.parent / "archives", *SITE.values()) as server:
        root, packed = (disk / name if fault.disk == name else tmp_path / name for name in ("root", "packed"))
        if fault.stage == "download":
            more = ("--source", server.url)
            root.mkdir()
        else:
            (root / "archives").mkdir(parents=True)
            (root / "archives" / "train.tar").write_bytes(
                (toml.parent / "archives" / "train.tar").read_bytes()
            )
        packed.mkdir()
        for stage in fault.first:
            assert command(stage, root, packed, fault).returncode == 0
        fill(disk, fault.leave)
        done = command(fault.stage, root, packed, fault, *more)
        said = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (6, ""), done.stderr
        assert len(said) == 1, said
        assert matches(f"error: {fault.says}", said[0]), said
        assert not (root / ".prep" / f"{fault.stage}.json").exists()
        make_room(disk)
        again = command(fault.stage, root, packed, fault, *more)
        assert again.returncode == 0, again.stderr
        made = results(fault.stage, root, packed)
        assert made == undisturbed.get(fault.stage, undisturbed["pack"])
        if fault.stage == "backup":
            assert backed_up() == undisturbed["download"] | undisturbed["pack"]
