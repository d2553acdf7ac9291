"""The real app, synthesized in a process of its own as the CDK command line would."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parent.parent.parent

ACCOUNT = "123456789012"

TINY = """\
name = "tiny"
[[archives]]
file = "tiny.tar"
url = "https://example.org/tiny.tar"
"""


def run_app(
    output: Path, settings: Mapping[str, object], program: str = "app.py"
) -> "subprocess.CompletedProcess[str]":
    """Runs the app with cdk.json's context and these settings; deprecated calls are errors."""
    context = json.loads((REPOSITORY / "cdk.json").read_text())["context"] | dict(settings)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    environment |= {
        "CDK_OUTDIR": str(output),
        "CDK_CONTEXT_JSON": json.dumps(context),
        "JSII_DEPRECATED": "fail",
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = [sys.executable, program] if program.endswith(".py") else [sys.executable, "-c", program]
    return subprocess.run(  # noqa: S603 - fixed arguments
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


@dataclass(frozen=True)
class Synthesis:
    """What one run of the app wrote."""

    folder: Path
    stderr: str

    def template(self, stack: str) -> dict[str, Any]:
        template: dict[str, Any] = json.loads((self.folder / f"{stack}.template.json").read_text())
        return template

    @property
    def name(self) -> str:
        """What the resources are called: the data set's name, with the environment if there is one."""
        artifacts = json.loads((self.folder / "manifest.json").read_text())["artifacts"]
        return str(artifacts["Training"]["properties"]["stackName"]).removesuffix("-training")

    @property
    def stacks(self) -> list[str]:
        """The stacks that there are, in no order."""
        return [path.name.removesuffix(".template.json") for path in self.folder.glob("*.template.json")]

    def resources(self, kind: str | None = None, stack: str | None = None) -> dict[str, dict[str, Any]]:
        """Resources of one type or of all: of one stack by logical id, of all stacks by stack/logical id."""
        if stack is None:
            return {
                f"{each}/{name}": resource
                for each in self.stacks
                for name, resource in self.resources(kind, each).items()
            }
        resources: dict[str, dict[str, Any]] = self.template(stack)["Resources"]
        return {name: r for name, r in resources.items() if kind is None or r["Type"] == kind}

    def only(self, kind: str, stack: str | None = None) -> dict[str, Any]:
        """The one resource of this type."""
        (resource,) = self.resources(kind, stack).values()
        return resource


def synthesize(folder: Path, settings: Mapping[str, object]) -> Synthesis:
    result = run_app(folder, settings)
    assert result.returncode == 0, result.stderr
    return Synthesis(folder, result.stderr)


@pytest.fixture(scope="session")
def defaults(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """The app as it comes."""
    return synthesize(tmp_path_factory.mktemp("defaults"), {})


@pytest.fixture(scope="session")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """Every setting other than its default, with a description of the user's own."""
    description = tmp_path_factory.mktemp("description") / "mine.toml"
    description.write_text(TINY)
    settings = {
        "dataset": str(description),
        "region": "eu-west-1",
        "source": "https://mirror.example.org/archives",
        "secret_name": "site/login",
        "prep_instance_type": "m7i.large",
        "work_volume_gib": "500",
        "work_volume_type": "st1",
        "dataset_volume_gib": "100",
        "dataset_volume_type": "io2",
        "dataset_volume_iops": "5000",
        "resize": "256",
        "quality": "90",
        "snapshot_of": "work",
        "training_instance_type": "p5.48xlarge",
        "mount_point": "/mnt/images",
        "restored_volume_iops": "16000",
        "restored_volume_throughput": "1000",
        "initialization_rate": "300",
        "restore": "auto",
        "datasets": "tiny,pets",
    }
    return synthesize(tmp_path_factory.mktemp("custom"), settings)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """The app with a Cluster stack."""
    return synthesize(tmp_path_factory.mktemp("cluster"), {"cluster_workers": "4"})


@pytest.fixture(scope="session")
def cluster_extras(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """A Cluster stack with all that the defaults leave out, and a description of the user's own."""
    description = tmp_path_factory.mktemp("description") / "mine.toml"
    description.write_text(TINY)
    zones = {f"availability-zones:account={ACCOUNT}:region=us-east-1": [f"us-east-1{z}" for z in "abcdef"]}
    settings = {
        "dataset": str(description),
        "region": "us-east-1",
        "account": ACCOUNT,
        "environment": "dev",
        "source": "s3://mirror-bucket/sets/",
        "notify": "owner@example.org",
        "when_done": "keep",
        "log_retention_days": "14",
        "key": "new",
        "cluster_workers": "8",
        "cluster_instance_type": "c7i.large",
        "cluster_head_type": "t3.large",
        "cluster_spot": "yes",
    }
    return synthesize(tmp_path_factory.mktemp("cluster-extras"), settings | zones)


@pytest.fixture(scope="session")
def extras(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """What the defaults leave out: notices, logs, a key, snapshots to begin from, a zone, an environment."""
    zones = {f"availability-zones:account={ACCOUNT}:region=us-east-1": ["us-east-1a", "us-east-1b"]}
    settings = {
        "region": "us-east-1",
        "account": ACCOUNT,
        "environment": "dev",
        "notify": "owner@example.org",
        "when_done": "keep",
        "log_retention_days": "14",
        "prep_zone": "us-east-1b",
        "key": "new",
        "work_snapshot": "snap-0123456789abcdef0",
        "dataset_snapshot": "snap-0fedcba9876543210",
    }
    return synthesize(tmp_path_factory.mktemp("extras"), settings | zones)
