"""The commands on a machine without the packages for images, and as part of prep."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prep import prices
from prep.cli import cli
from prep.owner import tables
from prep.owner.cli import COMMANDS, owner
from tests.prep.commands import REPOSITORY, run

IMAGES = ("cv2", "mxnet", "numpy", "scipy", "turbojpeg")


@pytest.mark.parametrize(
    "command", [[], ["launch"], ["cluster"], ["snapshots"], ["share"], ["copy"], ["destroy"], ["status"]]
)
def test_no_package_for_images_is_needed(command: list[str]) -> None:
    program = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({IMAGES!r})); "
        "runpy.run_module('prep.owner', run_name='__main__')"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, *command, "--help"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: python -m prep.owner" in done.stdout


def test_error_of_the_system_names_no_option_that_is_not_there() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "prep.owner", "--help"],
            cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=os.environ,
        )  # fmt: skip
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
    assert "--root" not in done.stderr


def test_they_are_commands_of_prep_as_well() -> None:
    names = {"launch", "cluster", "snapshots", "share", "copy", "destroy"}
    assert {command.name for command in COMMANDS} == names
    assert all(cli.commands[str(command.name)] is command for command in COMMANDS)
    assert cli.commands["status"] is not owner.commands["status"]


@pytest.mark.parametrize(
    "command", ["snapshots", "launch", "cluster", "copy --to eu-west-1", "destroy --yes"]
)
def test_without_credentials(command: str) -> None:
    env: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("AWS_"))
    env |= {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    done = run(*command.split(), "--region", "us-east-1", env=env)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no AWS credentials: run `aws configure`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = run(*command.split(), env=env)
    assert (done.returncode, done.stderr) == (
        3,
        "error: find the AWS Region: no AWS Region: set AWS_DEFAULT_REGION\n",
    )


def test_prices() -> None:
    found = prices.load()
    assert found.gib_month == {"snapshot": 0.05, "bucket": 0.023}
    assert found.note("us-east-1") == f"list prices of us-east-1 of {found.date}"
    assert found.note("eu-west-1").endswith("; those of eu-west-1 differ")
    lines = prices.FILE.read_text().splitlines()
    assert all("https://aws.amazon.com/" in line for line in lines if line.startswith("["))


def test_table() -> None:
    text = tables.table(["name", "GiB", "note"], [("a", 1000, None), ("long name", 2, "x\x1b[31m\ny")])
    assert text.splitlines() == ["name        GiB  note", "a          1000  -", "long name     2  x?[31m y"]
    assert tables.table(["name"], []) == "name"
    assert (tables.dollars(None), tables.dollars(1234.5)) == ("-", "$1,234.50")
