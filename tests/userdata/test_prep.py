"""What userdata/prep.sh writes, in a mount namespace of its own: the service's unit and environment file."""

import os
import subprocess
from pathlib import Path

import pytest

from rehearsal.instance.guest import units

USERDATA = Path(__file__).parent.parent.parent / "userdata"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace of its own")

# All but the last line, which begins the boot.
WRITE = """
mount --bind "$ETC" /etc
systemctl() { :; }
source "$USERDATA/volume.sh"
source "$USERDATA/permanent.sh"
source <(sed '$d' "$USERDATA/prep.sh")
write_service
"""
# The oddest values that the stacks let through.
SETTINGS = {
    "PREP_DATASET": "/opt/dataset-prep/a-1.toml",
    "PREP_SOURCE": "https://example.org:8443/a%20b/~c;d=(e),*[f]{g}|h<i>&!j",
    "PREP_SECRET": "a/b_c+d=e.f@g-h",
    "PREP_BUCKET": "backup-bucket",
    "PREP_RESIZE": "480",
    "AWS_DEFAULT_REGION": "us-east-1",
}
OTHERS = {
    "STACK_NAME": "a-1-prep",
    "WORK_VOLUME": "vol-1",
    "WORK_MOUNT": "/data",
    "WORK_LABEL": "dataset-work",
    "PACKED_VOLUME": "vol-2",
    "PACKED_MOUNT": "/dataset",
    "PACKED_LABEL": "dataset-packed",
    "PACKAGE_URL": "s3://assets/1.zip",
    "DESCRIPTION_URL": "",
    "SERVICE": "dataset-prep.service",
    "ENVIRONMENT_FILE": "/etc/dataset-prep.env",
}


def test_the_service_sees_each_setting_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc = tmp_path / "etc"
    (etc / "systemd" / "system").mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": "hush", "USERDATA": str(USERDATA)}
    result = subprocess.run(  # noqa: S603
        ["unshare", "--mount", "bash", "-c", WRITE],  # noqa: S607
        env=environment | SETTINGS | OTHERS | {"ETC": str(etc)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    written = (etc / "dataset-prep.env").read_text()
    assert written == "".join(f"{name}={value}\n" for name, value in sorted(SETTINGS.items()))
    monkeypatch.setattr(units, "UNITS", etc / "systemd" / "system")
    unit = units.read_unit("dataset-prep.service")
    assert unit["Service"]["EnvironmentFile"] == ["/etc/dataset-prep.env"]
    assert unit["Unit"]["Description"] == [f"Prepare the data set {SETTINGS['PREP_DATASET']}"]
    assert unit["Unit"]["RequiresMountsFor"] == ["/data /dataset"]
    assert len(unit["Service"]["ExecStart"]) == 1
    assert "hush" not in written + (etc / "systemd" / "system" / "dataset-prep.service").read_text()
