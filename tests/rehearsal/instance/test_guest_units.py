"""Service units as the prep instance writes them."""

import os
from pathlib import Path

import pytest

from rehearsal.instance.guest import units

UNIT = """[Unit]
Description=Prepare
RequiresMountsFor=/data /dataset
StartLimitIntervalSec=6h

[Service]
# a comment
User=ec2-user
AmbientCapabilities=CAP_SYS_ADMIN
CapabilityBoundingSet=CAP_SYS_ADMIN
WorkingDirectory=/opt/dataset-prep
Environment=PYTHONUNBUFFERED=1 "NAME=two words"
EnvironmentFile={file}
ExecStart=/opt/dataset-prep/venv/bin/python -m prep run
Restart=on-failure
"""


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> units.Unit:
    environment = tmp_path / "env"
    environment.write_text('PREP_DATASET=sample\nQUOTED="a b"\n# no\n')
    (tmp_path / "x.service").write_text(UNIT.format(file=environment))
    monkeypatch.setattr(units, "UNITS", tmp_path)
    return units.read_unit("x.service")


def test_the_command_of_a_service(unit: units.Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    monkeypatch.setenv("PIP_FIND_LINKS", "/somewhere")
    command = units.service_command(unit)
    assert command.argv[-4:] == ["/opt/dataset-prep/venv/bin/python", "-m", "prep", "run"]
    assert command.argv[command.argv.index("--reuid") :][:2] == ["--reuid", "ec2-user"]
    assert "-all,+sys_admin" in command.argv
    assert command.cwd == "/opt/dataset-prep"
    assert command.environment["PREP_DATASET"] == "sample"
    assert command.environment["QUOTED"] == "a b"
    assert command.environment["NAME"] == "two words"
    assert command.environment["HOME"] == "/home/ec2-user"
    # A service gets what systemd's own configuration gives it, not the environment of who starts it.
    assert command.environment["AWS_ENDPOINT_URL"] == "http://localhost:1"
    assert "PIP_FIND_LINKS" not in command.environment


@pytest.mark.parametrize(
    ("text", "expected"), [("60", 60), ("6h", 21600), ("1min 30s", 90), ("100ms", 0.1), ("5min", 300)]
)
def test_spans(text: str, expected: float) -> None:
    assert units.seconds(text) == pytest.approx(expected)


@pytest.mark.usefixtures("unit")
def test_a_unit_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        units.read_unit("y.service")


def test_restarts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNITS", tmp_path)
    monkeypatch.setattr(units, "STATE", tmp_path / "state")
    text = (
        "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=1h\n[Service]\nRestart=on-failure\nRestartSec=0\n"
    )
    (tmp_path / "x.service").write_text(text)
    runs: list[int] = []

    def fail(_name: str, _unit: units.Unit, start: int) -> int:
        runs.append(start)
        return 1

    monkeypatch.setattr(units, "_run_once", fail)
    units.supervise("x.service")
    assert runs == [1, 2, 3]
    assert units.read_state("x.service")["result"] == "start-limit-hit"


def test_commands_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a minus they may fail; without, the service fails and isn't started."""
    monkeypatch.setattr(units, "UNITS", tmp_path)
    monkeypatch.setattr(units, "STATE", tmp_path / "state")
    monkeypatch.setattr(units, "LOGS", tmp_path)
    for mark, status, seen in (("-", 0, "pre start"), ("", 1, "pre")):
        (tmp_path / "x.service").write_text(
            f"[Service]\nExecStartPre=sh -c 'echo pre'\nExecStartPre={mark}/bin/false\nExecStart=echo start\n"
        )
        assert units._run_once("x.service", units.read_unit("x.service"), 1) == status
        assert (tmp_path / "x.service.log").read_text().split() == seen.split()
        (tmp_path / "x.service.log").unlink()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for units, states and logs."""
    monkeypatch.setattr(units, "UNITS", tmp_path)
    monkeypatch.setattr(units, "STATE", tmp_path / "state")
    monkeypatch.setattr(units, "LOGS", tmp_path)
    return tmp_path


def test_a_service_that_writes_into_a_file(machine: Path) -> None:
    output = machine / "other.log"
    (machine / "x.service").write_text(f"[Service]\nExecStart=echo said\nStandardOutput=append:{output}\n")
    units.supervise("x.service")
    assert output.read_text() == "said\n"
    assert not (machine / "x.service.log").exists()


SERVICE = """[Unit]
OnFailure=told.service
StartLimitIntervalSec=1h
StartLimitBurst=2
[Service]
ExecStart=sh -c 'echo run; exit {status}'
ExecStopPost=+sh -c 'echo "$SERVICE_RESULT $EXIT_STATUS" as "$USER"'
SuccessExitStatus=130
Restart=on-failure
RestartSec=0
RestartPreventExitStatus=2 3
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="services are started as other users, by root")
@pytest.mark.parametrize(
    ("status", "runs", "result", "state"),
    [
        (0, 1, "success", "inactive"),
        (130, 1, "success", "inactive"),
        (3, 1, "exit-code", "failed"),
        (1, 2, "exit-code", "failed"),
    ],
)
def test_the_end_of_a_service(machine: Path, status: int, runs: int, result: str, state: str) -> None:
    """ExecStopPost= after each run; OnFailure= only when it is not started again."""
    (machine / "x.service").write_text(SERVICE.format(status=status))
    (machine / "told.service").write_text("[Service]\nType=oneshot\nExecStart=echo told\n")
    units.supervise("x.service")
    assert (machine / "x.service.log").read_text() == f"run\n{result} {status} as root\n" * runs
    assert units.read_state("x.service")["state"] == state
    assert (machine / "told.service.log").exists() == (state == "failed")
