"""What userdata/prep.sh writes, in a mount namespace of its own: units, environment, what follows a run."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rehearsal.instance.guest import units

USERDATA = Path(__file__).parent.parent.parent / "userdata"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace of its own")

# All but the last line, which begins the boot.
WRITE = """
mount --bind "$ROOT/etc" /etc
mount --bind "$ROOT/opt" /opt
dnf() { [[ $* != *"$MISSING"* ]]; }
systemctl() { :; }
source "$USERDATA/common.sh"
source "$USERDATA/package.sh"
source "$USERDATA/volume.sh"
source "$USERDATA/permanent.sh"
source <(sed '$d' "$USERDATA/prep.sh")
write_service
start_log_agent
"""
# The oddest values that the stacks let through.
SETTINGS = {
    "PREP_DATASET": "/opt/dataset-prep/a-1.toml",
    "PREP_SOURCE": "https://example.org:8443/a%20b/~c;d=(e),*[f]{g}|h<i>&!j",
    "PREP_SECRET": "a/b_c+d=e.f@g-h",
    "PREP_BUCKET": "backup-bucket",
    "PREP_RESIZE": "480",
    "PREP_ROOT": "/data",
    "PREP_TOPIC": "arn:aws:sns:us-east-1:123456789012:a-1-prep-Notices-1",
    "PREP_MACHINE": "t2.large,sc1=1000,gp3=200",
    "AWS_DEFAULT_REGION": "us-east-1",
}
OTHERS = {
    "INSTANCE_ID": "i-1",
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
    "WHEN_DONE": "stop",
    "LOG_GROUP": "",
}
AGENT = "opt/aws/amazon-cloudwatch-agent"
# Stands for the agent's command, whose arguments are what matters here.
AGENT_CTL = '#!/bin/sh\necho "$@" >/opt/agent-called\n'


def write(root: Path, **changes: str) -> str:
    """Has the boot write its files below `root`; returns what it said."""
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "opt/dataset-prep").mkdir(parents=True)
    for name in ("bin", "etc"):
        (root / AGENT / name).mkdir(parents=True)
    (root / AGENT / "bin/amazon-cloudwatch-agent-ctl").write_text(AGENT_CTL)
    (root / AGENT / "bin/amazon-cloudwatch-agent-ctl").chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": "hush", "USERDATA": str(USERDATA)}
    environment |= {"ROOT": str(root), "MISSING": "no such package"}
    result = subprocess.run(  # noqa: S603 - fixed arguments
        ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", WRITE],  # noqa: S607
        env=environment | SETTINGS | OTHERS | changes,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_the_service_sees_each_setting_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    etc = tmp_path / "etc"
    written = (etc / "dataset-prep.env").read_text()
    expected = SETTINGS | {"PREP_INSTANCE": OTHERS["INSTANCE_ID"]}
    assert written == "".join(f"{name}={value}\n" for name, value in sorted(expected.items()))
    monkeypatch.setattr(units, "UNITS", etc / "systemd" / "system")
    unit = units.read_unit("dataset-prep.service")
    assert unit["Service"]["EnvironmentFile"] == ["/etc/dataset-prep.env"]
    assert unit["Unit"]["Description"] == [f"Prepare the data set {SETTINGS['PREP_DATASET']}"]
    assert unit["Unit"]["RequiresMountsFor"] == ["/data /dataset"]
    assert len(unit["Service"]["ExecStart"]) == 1
    assert "hush" not in written + (etc / "systemd" / "system" / "dataset-prep.service").read_text()


def test_a_failure_for_good_starts_the_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setattr(units, "UNITS", tmp_path / "etc" / "systemd" / "system")
    unit = units.read_unit("dataset-prep.service")
    (name,) = unit["Unit"]["OnFailure"]
    assert unit["Service"]["RestartPreventExitStatus"] == ["2 3 5"]
    told = units.read_unit(name)
    assert told["Service"]["ExecStart"] == ["/opt/dataset-prep/venv/bin/python -m prep notify --failed"]
    assert told["Service"]["EnvironmentFile"] == unit["Service"]["EnvironmentFile"]
    assert (told["Service"]["Restart"], told["Unit"]["StartLimitIntervalSec"]) == (["on-failure"], ["0"])


def after_run(root: Path, result: str, status: str, *, fails: bool = False) -> bool:
    """Runs the script that follows each run; returns whether it shut the machine down."""
    (root / "bin").mkdir(exist_ok=True)
    shut = root / "shut-down"
    shut.unlink(missing_ok=True)
    (root / "bin/shutdown").write_text(f'#!/bin/sh\necho "$@" >{shut}\nexit {int(fails)}\n')
    (root / "bin/shutdown").chmod(0o755)
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-euc", 'mount --bind "$ROOT/opt" /opt; /opt/dataset-prep/after-run'],  # noqa: S607
        env={
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "ROOT": str(root),
            "SERVICE_RESULT": result,
            "EXIT_STATUS": status,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (int(fails), "")
    return shut.exists()


def test_it_stops_itself_after_a_run_that_did_something(tmp_path: Path) -> None:
    receipt = tmp_path / "data" / ".prep" / "run.json"
    write(tmp_path, PREP_ROOT=str(receipt.parent.parent))
    receipt.parent.mkdir(parents=True)
    receipt.write_text('{"finished": "today"}')
    # `systemctl stop`, a failure, a kill: the work is not done.
    for result, status in (("success", "130"), ("exit-code", "1"), ("signal", "KILL")):
        assert not after_run(tmp_path, result, status)
    assert after_run(tmp_path, "success", "0")
    assert (tmp_path / "shut-down").read_text().startswith("--poweroff +1 ")
    # Started again by its owner: the run finds all done, and leaves the receipt as it is.
    assert not after_run(tmp_path, "success", "0")
    receipt.write_text('{"finished": "tomorrow"}')
    assert after_run(tmp_path, "success", "0")


def test_a_shutdown_that_fails_is_tried_again(tmp_path: Path) -> None:
    """The script's status makes the service fail, which is then started again."""
    receipt = tmp_path / "data" / ".prep" / "run.json"
    write(tmp_path, PREP_ROOT=str(receipt.parent.parent))
    receipt.parent.mkdir(parents=True)
    receipt.write_text("{}")
    assert after_run(tmp_path, "success", "0", fails=True)
    assert after_run(tmp_path, "success", "0")
    assert not after_run(tmp_path, "success", "0")


# The end of a boot that fails, after a signal or without one. What the aws command is given shows in the log.
FAIL = """
aws() { printf '%s\\n' "$*" >&2; }
source <(sed '$d' "$USERDATA/prep.sh")
log() { :; }
wait_for() { :; }
SIGNALLED="$WAS_SIGNALLED"
trap on_exit EXIT
false
"""


@pytest.mark.parametrize(
    ("signalled", "topic", "calls"),
    [
        ("yes", SETTINGS["PREP_TOPIC"], ["sns publish"]),
        ("yes", "", []),
        ("no", SETTINGS["PREP_TOPIC"], ["ec2 describe-tags", "cloudformation signal-resource"]),
    ],
)
def test_a_boot_that_fails_is_told_once(signalled: str, topic: str, calls: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["bash", "-euo", "pipefail", "-c", FAIL],  # noqa: S607
        env={"PATH": os.environ["PATH"], "USERDATA": str(USERDATA), "WAS_SIGNALLED": signalled}
        | SETTINGS
        | OTHERS
        | {"PREP_TOPIC": topic},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert [" ".join(line.split()[:2]) for line in said] == calls
    if calls == ["sns publish"]:
        assert f"--topic-arn {topic} --subject a-1-prep: the boot failed" in said[0]
        assert "--region us-east-1 --target i-1" in said[0]


GROW = """
resize2fs() { printf 'resize2fs 1.47\\nresize2fs: Permission denied\\n'; return "$STATUS"; }
source "$USERDATA/common.sh"
source "$USERDATA/package.sh"
source "$USERDATA/volume.sh"
source <(sed '$d' "$USERDATA/prep.sh")
grow /dev/nvme1n1
"""


@pytest.mark.parametrize(
    ("status", "words"), [("0", ""), ("1", "keeps its size; try: sudo resize2fs /dev/nvme1n1")]
)
def test_a_file_system_that_can_not_grow_is_no_reason_to_fail(status: str, words: str) -> None:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["bash", "-euo", "pipefail", "-c", GROW],  # noqa: S607
        env={"PATH": os.environ["PATH"], "USERDATA": str(USERDATA), "STATUS": status} | SETTINGS | OTHERS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert words in done.stderr
    assert bool(words) == bool(done.stderr)


def test_it_keeps_running_if_asked(tmp_path: Path) -> None:
    receipt = tmp_path / "data" / ".prep" / "run.json"
    write(tmp_path, PREP_ROOT=str(receipt.parent.parent), WHEN_DONE="keep")
    receipt.parent.mkdir(parents=True)
    receipt.write_text("{}")
    assert not after_run(tmp_path, "success", "0")


def test_logs_go_to_the_group_if_asked(tmp_path: Path) -> None:
    write(tmp_path / "without")
    assert not (tmp_path / "without" / "opt" / "agent-called").exists()
    assert not list((tmp_path / "without" / AGENT / "etc").iterdir())
    write(tmp_path / "with", LOG_GROUP="/a-1/prep")
    config = json.loads((tmp_path / "with" / AGENT / "etc" / "dataset-prep.json").read_text())
    files = config["logs"]["logs_collected"]["files"]["collect_list"]
    assert {file["log_group_name"] for file in files} == {"/a-1/prep"}
    assert {file["file_path"]: file["log_stream_name"] for file in files} == {
        "/var/log/cloud-init-output.log": "{instance_id}/boot",
        "/var/log/dataset-prep.log": "{instance_id}/service",
    }
    # The stack sets the retention: with it in here, the agent would need a permission more.
    assert "retention" not in json.dumps(config)
    called = (tmp_path / "with" / "opt" / "agent-called").read_text()
    assert called == f"-a fetch-config -m ec2 -s -c file:/{AGENT}/etc/dataset-prep.json\n"


def test_no_agent_is_no_reason_to_fail(tmp_path: Path) -> None:
    said = write(tmp_path, LOG_GROUP="/a-1/prep", MISSING="amazon-cloudwatch-agent")
    assert "could not install the CloudWatch agent: the logs stay on this instance" in said
    assert not (tmp_path / "opt" / "agent-called").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's own check of units")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """Amazon Linux 2023 has systemd 252, as Debian 12 does."""
    write(tmp_path, LOG_GROUP="/a-1/prep")
    python = tmp_path / "opt/dataset-prep/venv/bin/python"
    python.parent.mkdir(parents=True)
    shutil.copy("/bin/true", python)
    assert len(list((tmp_path / "etc/systemd/system").glob("*.service"))) == 3
    check = 'systemd-analyze verify --man=no --recursive-errors=no "$ROOT"/etc/systemd/system/*.service'
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["unshare", "--mount", "bash", "-c", f'mount --bind "$ROOT/opt" /opt; {check}'],  # noqa: S607
        env={"ROOT": str(tmp_path), "PATH": os.environ["PATH"], "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
