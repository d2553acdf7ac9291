"""`prep plan` as a person runs it."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from prep.cli import cli
from prep.plan.report import duration

DOCUMENT = Path(__file__).parents[3] / "docs" / "plan.md"


def plan(*options: str) -> Result:
    return CliRunner().invoke(cli, ["plan", *options])


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--resize", "256", "--quality", "90", "--prep-instance-type", "c7i.2xlarge", "--days", "2.5"),
        ("--work-volume-gib", "150", "--dataset-volume-gib", "10", "--own-key", "--no-backup"),
        ("--training-instance-type", "p9.metal", "--initialization-rate", "300", "--instances", "20"),
    ],
)
def test_table_fits_80_columns(options: tuple[str, ...]) -> None:
    done = plan(*options)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


def test_table() -> None:
    lines = plan("--instances", "4", "--days", "3").stdout.splitlines()
    assert lines[0] == "ilsvrc2012: 1,331,167 images, 154.6 GB of archives"
    assert lines[1] == "resize=480 quality=95: about 140 GB packed (measured)"
    assert any(re.fullmatch(r"archives arriving +- +- +1:28 h +0\.23  work volume", line) for line in lines)
    assert any(re.fullmatch(r"  download +155 +18,435 +1:26 h +-  link", line) for line in lines)
    assert any(re.fullmatch(r"the whole, without snapshot +- +- +2:27 h +0\.41", line) for line in lines)
    assert "4 instances of g5.xlarge for 3 days: $301.43" in lines
    fast = ("--link-mb", "500", "--work-volume-type", "st1", "--dataset-volume-throughput", "500")
    assert "cores: they are the limit of a part" in plan(*fast, "--resize", "256", "--no-organize").stdout
    assert "(an estimate)" in plan("--resize", "224").stdout
    unknown = plan("--training-instance-type", "p9.metal").stdout
    assert re.search(r"instance not known.*\$\d\.\d\d without the instances", unknown, re.DOTALL)


def test_json_has_the_documented_keys() -> None:
    document = json.loads(plan("--json").stdout)
    section = DOCUMENT.read_text().partition("## JSON")[2]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted(document)
    part = document["parts"][1]
    assert list(part) == ["name", "seconds", "dollars", "limit", "bytes", "jobs"]
    assert list(part["jobs"][0]) == ["name", "resource", "bytes", "requests", "seconds"]
    total = sum(part["seconds"] or 0 for part in document["parts"])
    assert total == pytest.approx(document["seconds"], abs=0.5)
    dollars = sum(part["dollars"] or 0 for part in document["parts"])
    assert dollars == pytest.approx(document["dollars"], abs=0.001)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dataset", "nope"), "no such description"),
        (("--prep-instance-type", "x9.large"), "is not one of 't2.large'"),
        (("--link-mb", "0"), "0.0 is not in the range"),
        (("--initialization-rate", "50"), "50 is not in the range"),
        (("--dataset-volume-throughput", "9000"), "9000 is not in the range"),
        (("--dataset-volume-throughput", "2000"), "3000 IOPS allow at most 750 MiB/s"),
        (("--dataset-volume-type", "gp2", "--dataset-volume-throughput", "500"), "remove it, or use gp3"),
    ],
)
def test_mistakes(options: tuple[str, ...], said: str) -> None:
    done = plan(*options)
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-0.3, "0 s"),
        (-9, "-9 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3569, "59 min"),
        (3570, "1:00 h"),
        (-5279, "-1:28 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
