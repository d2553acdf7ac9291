"""Every pair of values of two settings occurs in one of a few apps. Each app synthesizes without a finding of
the policy checks, and cfn-lint finds nothing in its templates."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest
from allpairspy import AllPairs
from aws_cdk import App

import app as program
from stacks.settings import Settings
from tests.stacks.conftest import ACCOUNT, REPOSITORY, TINY

KEY: Final = "12345678-90ab-cdef-1234-567890abcdef"
Choice = Mapping[str, str]
Row = Mapping[str, int]  # the number of the choice, by the title of the group

# Settings that depend on each other are one group. "{…}" is filled in by `context`.
GROUPS: Final[Mapping[str, Sequence[Choice]]] = {
    "data set": [{}, {"dataset": "{mine}"}],
    "place": [
        {"region": "us-east-1", "account": ACCOUNT},
        {"region": "eu-west-1", "account": ACCOUNT, "prep_zone": "eu-west-1c"},
        {},
    ],
    "key": [{}, {"key": "new"}, {"key": "arn:aws:kms:{region}:" + ACCOUNT + ":key/" + KEY}],
    "source": [{}, {"source": "https://mirror.example.org/a"}, {"source": "s3://mirror-bucket/sets/"}],
    "secret": [{}, {"secret_name": "site/login"}],
    "environment": [{}, {"environment": "dev"}],
    "notify": [{}, {"notify": "data+prep@example.org"}],
    "end": [{}, {"when_done": "keep"}],
    "logs": [{}, {"log_retention_days": "14"}],
    "prep machine": [{}, {"prep_instance_type": "m7i.large"}],
    "work volume": [{}, {"work_volume_gib": "500", "work_volume_type": "st1"}],
    "work snapshot": [{}, {"work_snapshot": "snap-0123456789abcdef0"}],
    "dataset volume": [
        {},
        {"dataset_volume_gib": "100", "dataset_volume_type": "io2", "dataset_volume_iops": "5000"},
        {"dataset_volume_iops": "4000", "dataset_volume_throughput": "1000"},
    ],
    "dataset snapshot": [{}, {"dataset_snapshot": "snap-01234567"}],
    "images": [{}, {"resize": "256", "quality": "90"}],
    "snapshot of": [{}, {"snapshot_of": "work"}],
    "training machine": [{}, {"training_instance_type": "p5.48xlarge"}],
    "mount point": [{}, {"mount_point": "/mnt/images"}],
    "restored volume": [
        {},
        {"restored_volume_iops": "16000", "restored_volume_throughput": "1000"},
        {"restored_volume_type": "io2", "restored_volume_iops": "5000"},
    ],
    "initialization": [{}, {"initialization_rate": "300"}],
    "restore": [{}, {"restore": "copy"}, {"restore": "auto"}],
    "data sets": [{}, {"datasets": "pets,ilsvrc2012"}],
    "cluster": [
        {},
        {"cluster_workers": "4"},
        {"cluster_workers": "128", "cluster_instance_type": "c7i.large", "cluster_spot": "yes"},
    ],
    "head": [{}, {"cluster_head_type": "t3.large"}],
}


ROWS: Final[Sequence[Row]] = [
    dict(zip(GROUPS, numbers, strict=True))
    for numbers in AllPairs([list(range(len(group))) for group in GROUPS.values()])
]


def stacks(row: Row) -> int:
    """How many stacks there are: the Cluster stack is optional."""
    return 3 + ("cluster_workers" in settings(row))


def settings(row: Row) -> dict[str, str]:
    return {name: value for title, number in row.items() for name, value in GROUPS[title][number].items()}


@pytest.fixture(scope="module")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the assembly of each row; the description of a data set lies beside them."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "mine.toml").write_text(TINY)
    return folder


def context(row: Row, folder: Path) -> dict[str, object]:
    given = settings(row)
    region = given.get("region", "us-east-1")
    filled = {
        name: value.replace("{mine}", str(folder / "mine.toml")).replace("{region}", region)
        for name, value in given.items()
    }
    zones = {f"availability-zones:account={ACCOUNT}:region={region}": [f"{region}{zone}" for zone in "abc"]}
    flags: dict[str, object] = json.loads((REPOSITORY / "cdk.json").read_text())["context"]
    return flags | zones | filled


def test_every_setting_and_every_pair_occurs() -> None:
    varied = {name for group in GROUPS.values() for choice in group for name in choice}
    assert varied == {field.name for field in fields(Settings)}
    for first, second in combinations(GROUPS, 2):
        pairs = {(row[first], row[second]) for row in ROWS}
        assert len(pairs) == len(GROUPS[first]) * len(GROUPS[second]), (first, second)


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_it_synthesizes_without_a_finding(
    number: int, assemblies: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("CDK_DEFAULT_ACCOUNT", "CDK_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    made = App(context=context(ROWS[number], assemblies), outdir=str(assemblies / str(number)))
    program.build(made)
    made.synth()
    assert capfd.readouterr().err == "", settings(ROWS[number])
    assert len(list((assemblies / str(number)).glob("*.template.json"))) == stacks(ROWS[number])


def test_cfn_lint_finds_nothing(assemblies: Path) -> None:
    templates = sorted(str(path) for path in assemblies.glob("*/*.template.json"))
    assert len(templates) == sum(map(stacks, ROWS))
    # W3010 advises against names of zones. These are the zones of the account that the templates are for.
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3010", "--", *templates]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert (result.returncode, result.stdout) == (0, "")
