"""The services that the boot writes, and the scripts that they run."""

import os
import shutil
import subprocess
from collections.abc import Mapping

import pytest

from tests.userdata.cluster.machine import (
    ROOT_ONLY,
    Machine,
)

pytestmark = ROOT_ONLY


def test_the_same_limits_as_on_the_prep_instance(
    head: Machine, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster
    assert head.boot().status == 0, head.log
    unit = head.unit(monkeypatch, "dataset-cluster.service")
    assert unit["Service"]["RestartPreventExitStatus"] == ["2 3 5"]
    assert (unit["Unit"]["StartLimitBurst"], unit["Unit"]["StartLimitIntervalSec"]) == (["5"], ["6h"])
    assert unit["Service"]["SuccessExitStatus"] == ["130"]
    (name,) = unit["Unit"]["OnFailure"]
    told = head.unit(monkeypatch, name)["Service"]
    assert told["ExecStart"] == ["/opt/dataset-prep/tell-failed"]
    assert told["ExecStopPost"] == ["+/opt/dataset-prep/power-off"]
    assert told["EnvironmentFile"] == unit["Service"]["EnvironmentFile"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's own check of units")
@pytest.mark.parametrize("role", ["head", "worker"])
def test_systemd_understands_the_units(head: Machine, cluster: str, role: str) -> None:
    """Amazon Linux 2023 has systemd 252, as Debian 12 does."""
    assert cluster
    assert head.boot(ROLE=role).status == 0, head.log
    for program in ("ray", "python"):
        path = head.root / "opt/dataset-prep/venv/bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", path)
    check = 'systemd-analyze verify --man=no --recursive-errors=no "$ROOT"/etc/systemd/system/*.service'
    folders = 'mount --bind "$ROOT/opt" /opt; mount --bind "$ROOT/lib" /var/lib'
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["unshare", "--mount", "bash", "-c", f"{folders}; {check}"],  # noqa: S607 - the host's own
        env={"ROOT": str(head.root), "PATH": os.environ["PATH"], "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def run_script(
    head: Machine, name: str, commands: Mapping[str, str], **variables: str
) -> tuple[int, list[str]]:
    """Runs a script that the boot wrote, with other commands; returns its status and what it called."""
    folder = head.root / "bin"
    (head.root / "opt/dataset-prep/venv/bin").mkdir(parents=True, exist_ok=True)
    called = head.root / "called"
    called.unlink(missing_ok=True)
    for command, status in commands.items():
        path = folder / command if command != "python" else head.root / "opt/dataset-prep/venv/bin/python"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{command} $*" >>{called}\n{status}\n')
        path.chmod(0o755)
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["unshare", "--mount", "bash", "-euc", f'mount --bind "$ROOT/opt" /opt; /opt/dataset-prep/{name}'],  # noqa: S607 - the host's own
        env={"PATH": f"{folder}:{os.environ['PATH']}", "ROOT": str(head.root)} | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, called.read_text().splitlines() if called.exists() else []


def test_the_work_is_pack_then_verify_then_a_notice(head: Machine, cluster: str) -> None:
    assert cluster
    head.boot()
    words = [f"python -m prep {command} --on ray" for command in ("pack", "verify", "notify")]
    assert run_script(head, "work", {"python": ""}) == (0, words)
    # A notice that can't be sent is no failure; a failure of the work is one, with its status.
    assert run_script(head, "work", {"python": "case $* in *notify*) exit 7; esac"}) == (0, words)
    assert run_script(head, "work", {"python": "case $* in *verify*) exit 5; esac"}) == (5, words[:2])
    assert run_script(head, "work", {"python": "exit 8"}) == (8, words[:1])


@pytest.mark.parametrize(("when_done", "ends"), [("stop", ["shutdown --poweroff now"]), ("keep", [])])
def test_the_head_ends_itself_when_all_is_done(
    head: Machine, cluster: str, when_done: str, ends: list[str]
) -> None:
    assert cluster
    assert head.boot(WHEN_DONE=when_done).status == 0
    # `systemctl stop`, a failure, a kill: the work is not done.
    for result, status in (("success", "130"), ("success", "TERM"), ("exit-code", "1"), ("signal", "KILL")):
        done = run_script(head, "after-work", {"shutdown": ""}, SERVICE_RESULT=result, EXIT_STATUS=status)
        assert done == (0, [])
    done = run_script(head, "after-work", {"shutdown": ""}, SERVICE_RESULT="success", EXIT_STATUS="0")
    assert done == (0, ends)


def test_a_head_that_is_kept_also_stays_after_a_failure(
    head: Machine, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster
    head.boot(WHEN_DONE="keep")
    assert "ExecStopPost" not in head.unit(monkeypatch, "dataset-cluster-failed.service")["Service"]


def test_a_failure_is_told_a_few_times(head: Machine, cluster: str) -> None:
    assert cluster
    head.boot()
    told = "python -m prep notify --on ray --failed"
    assert run_script(head, "tell-failed", {"python": "", "sleep": ""}) == (0, ["sleep 0", told])
    _, called = run_script(head, "tell-failed", {"python": "exit 7", "sleep": ""})
    assert called == ["sleep 0", told, "sleep 300", told, "sleep 600", told]
