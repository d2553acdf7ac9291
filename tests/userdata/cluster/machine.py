"""A machine of the cluster, and what it boots with."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal.instance.guest import units

USERDATA = Path(__file__).parents[3] / "userdata"
NAME = "tiny"
HEAD, WORKER = "127.1.0.1", "127.1.0.2"
NUMBER = 1234  # of ec2-user

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace of its own")

# All but the last line, which begins the boot. The package is installed already; `LATER` comes in between.
BOOT = """
mount --bind "$ROOT/etc" /etc
mount --bind "$ROOT/opt" /opt
mount --bind "$ROOT/lib" /var/lib
systemctl() { printf '%s\\n' "$*" >>"$ROOT/systemctl"; }
shutdown() { printf '%s\\n' "$*" >>"$ROOT/shutdown"; }
dnf() { :; }
source "$USERDATA/common.sh"
source "$USERDATA/package.sh"
source <(sed '$d' "$USERDATA/cluster.sh")
eval "$LATER"
main
"""
AUTOSCALER = {
    "available_node_types": {
        "worker": {
            "resources": {"CPU": "@CPUS@", "memory": "@MEMORY@"},
            "node_config": {"TagSpecifications": [{"Tags": [{"Key": "dataset-head", "Value": "@HEAD@"}]}]},
        }
    }
}
SETTINGS = {
    "NAME": NAME,
    "PACKAGE_URL": "s3://assets/1.zip",
    "LOG_GROUP": "",
    "TAG_DATASET": "dataset",
    "TAG_ROLE": "dataset-role",
    "TAG_HEAD": "dataset-head",
    "RAY_SERVICE": "dataset-ray.service",
    "CLUSTER_SERVICE": "dataset-cluster.service",
    "ENVIRONMENT_FILE": "/etc/dataset-prep.env",
}
HEAD_SETTINGS = {
    "DESCRIPTION_URL": "",
    "AUTOSCALER": json.dumps(AUTOSCALER),
    "WORKER_TYPE": "c7i.4xlarge",
    "WHEN_DONE": "stop",
    "PREP_DATASET": "/opt/dataset-prep/tiny.toml",
    "PREP_SOURCE": "s3://bucket/tiny/archives",
    "PREP_PACKED": "s3://bucket/tiny/packed",
}


@dataclass
class Machine:
    """A machine about to boot."""

    root: Path
    variables: dict[str, str]
    status: int | None = None
    log: str = ""

    def boot(self, later: str = "", **changes: str) -> "Machine":
        """Runs the user data; `later` are commands between its functions and its boot."""
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", BOOT],  # noqa: S607 - the host's own
            env=self.variables | {"LATER": later} | changes,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.status, self.log = done.returncode, done.stderr
        return self

    def said(self, command: str) -> list[str]:
        """The arguments of each call of systemctl or shutdown."""
        path = self.root / command
        return path.read_text().splitlines() if path.exists() else []

    def environment(self) -> dict[str, str]:
        lines = (self.root / "etc/dataset-prep.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def unit(self, monkeypatch: pytest.MonkeyPatch, name: str) -> units.Unit:
        monkeypatch.setattr(units, "UNITS", self.root / "etc/systemd/system")
        return units.read_unit(name)


def launch(ec2: Any, role: str = "cluster-head") -> str:
    """An instance with the tags of a machine of the cluster."""
    tags = [{"Key": "dataset", "Value": NAME}, {"Key": "dataset-role", "Value": role}]
    made = ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return str(made["Instances"][0]["InstanceId"])
