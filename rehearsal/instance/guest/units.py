"""As much of systemd's service units as the prep service uses: parse, supervise, restart within limits."""

# ruff: noqa: S603 (fixed commands, found on the PATH)

import json
import os
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import IO

UNITS = Path("/etc/systemd/system")
STATE = Path("/run/rehearsal/units")
LOGS = Path("/var/log")
PATH = "/usr/lib/rehearsal/commands:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Unit = dict[str, dict[str, list[str]]]


def read_unit(name: str) -> Unit:
    """Section → key → values. Raises FileNotFoundError for a unit that is not installed."""
    unit: Unit = defaultdict(lambda: defaultdict(list))
    section = ""
    for raw in (UNITS / name).read_text().replace("\\\n", " ").splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            unit[section][key.strip()].append(value.strip())
    return unit


def last(unit: Unit, section: str, key: str, default: str = "") -> str:
    values = unit[section][key]
    return values[-1] if values else default


def seconds(text: str) -> float:
    """A span as systemd writes it: "90", "5min", "1h 30min"."""
    units = {"": 1, "s": 1, "sec": 1, "ms": 0.001, "min": 60, "m": 60, "h": 3600, "hr": 3600, "d": 86400}
    total = 0.0
    for word in text.split():
        digits = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        total += float(digits) * units[word[len(digits) :]]
    return total


@dataclass(frozen=True)
class Command:
    """What one start of a service runs."""

    argv: list[str]
    cwd: str
    environment: dict[str, str]


def service_command(unit: Unit, line: str | None = None) -> Command:
    """ExecStart, or another command line, under the unit's user, capabilities, folder and environment.

    A line that begins with "+" runs as root, with all capabilities.
    """
    line = last(unit, "Service", "ExecStart") if line is None else line
    user = "root" if line.startswith("+") else last(unit, "Service", "User", "root")
    argv = ["env"] if line.startswith("+") else _with_privileges(unit, user)
    home = "/root" if user == "root" else f"/home/{user}"
    environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": home, "USER": user, "LOGNAME": user}
    environment |= {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("AWS_ENDPOINT_URL", "AWS_EC2_METADATA_", "RAY_", "REHEARSAL_"))
    }
    for words in unit["Service"]["Environment"]:
        environment |= dict(word.split("=", 1) for word in shlex.split(words))
    for path in unit["Service"]["EnvironmentFile"]:
        environment |= _environment_file(path)
    start = [word.replace("%%", "%") for word in shlex.split(line.removeprefix("+"))]
    return Command([*argv, *start], last(unit, "Service", "WorkingDirectory", "/"), environment)


def _with_privileges(unit: Unit, user: str) -> list[str]:
    argv = ["setpriv"]
    # setpriv needs its own capabilities until the user has changed, so the bounding set goes by it too.
    for option, key in (("--bounding-set", "CapabilityBoundingSet"),):
        if unit["Service"][key]:
            argv += [option, _capabilities(unit["Service"][key], drop=True)]
    ambient = unit["Service"]["AmbientCapabilities"]
    if ambient:
        argv += ["--inh-caps", _capabilities(ambient), "--ambient-caps", _capabilities(ambient)]
    if last(unit, "Service", "NoNewPrivileges").lower() in ("yes", "true", "1"):
        argv.append("--no-new-privs")
    if user != "root":
        argv += ["--reuid", user, "--regid", user, "--init-groups"]
    return argv


def _capabilities(values: list[str], *, drop: bool = False) -> str:
    names = [name.lower().removeprefix("cap_") for value in values for name in value.split()]
    kept = ",".join(f"+{name}" for name in names)
    return f"-all,{kept}" if drop else kept


def _environment_file(path: str) -> dict[str, str]:
    if path.startswith("-") and not Path(path[1:]).exists():
        return {}
    pairs = {}
    for line in Path(path.lstrip("-")).read_text().splitlines():
        if line.strip() and line.strip()[0] not in "#;":
            name, _, value = line.partition("=")
            pairs[name.strip()] = " ".join(shlex.split(value)) if value[:1] in "\"'" else value
    return pairs


def write_state(name: str, state: str, **more: object) -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    partial = STATE / f"{name}.partial"
    partial.write_text(json.dumps({"state": state, **more}))
    partial.rename(STATE / f"{name}.json")


def read_state(name: str) -> dict[str, object]:
    try:
        state: dict[str, object] = json.loads((STATE / f"{name}.json").read_text())
    except FileNotFoundError:
        return {"state": "inactive"}
    return state


def supervise(name: str) -> None:
    """Runs a service until it ends for good, restarting as its unit says; the log is /var/log/<unit>.log."""
    unit = read_unit(name)
    restart = last(unit, "Service", "Restart", "no")
    pause = seconds(last(unit, "Service", "RestartSec", "100ms"))
    window = seconds(last(unit, "Unit", "StartLimitIntervalSec", "10s"))
    burst = int(last(unit, "Unit", "StartLimitBurst", "5"))
    starts: list[float] = []
    while True:
        starts = [moment for moment in starts if time.monotonic() - moment < window]
        if len(starts) >= burst:
            write_state(name, "failed", result="start-limit-hit", starts=len(starts))
            _start_on_failure(unit)
            return
        starts.append(time.monotonic())
        status = _run_once(name, unit, len(starts))
        failed = not _is_success(unit, status)
        wanted = restart == "always" or (restart == "on-failure" and failed)
        if wanted and status not in _statuses(unit, "RestartPreventExitStatus"):
            write_state(name, "activating", sub="auto-restart", status=status, starts=len(starts))
            time.sleep(pause)
            continue
        write_state(name, "failed" if failed else "inactive", status=status, starts=len(starts))
        if failed:
            _start_on_failure(unit)
        return


def _statuses(unit: Unit, key: str) -> list[int]:
    return [int(word) for value in unit["Service"][key] for word in value.split()]


def _is_success(unit: Unit, status: int) -> bool:
    return status in (0, *_statuses(unit, "SuccessExitStatus"))


def _start_on_failure(unit: Unit) -> None:
    for other in " ".join(unit["Unit"]["OnFailure"]).split():
        supervise(other)


def _run_once(name: str, unit: Unit, start: int) -> int:
    with _output(unit, LOGS / f"{name}.log").open("ab") as log:
        for line in unit["Service"]["ExecStartPre"]:  # with a minus it may fail
            status = _start(service_command(unit, line.removeprefix("-")), log).wait()
            if status and not line.startswith("-"):
                return status
        process = _start(service_command(unit), log)
        write_state(name, "active", pid=process.pid, supervisor=os.getpid(), starts=start)
        status = process.wait()
        for line in unit["Service"]["ExecStopPost"]:
            command = service_command(unit, line)
            result = "success" if _is_success(unit, status) else "exit-code" if status > 0 else "signal"
            command.environment.update(SERVICE_RESULT=result, EXIT_STATUS=str(abs(status)))
            _start(command, log).wait()
        return status


def _output(unit: Unit, log: Path) -> Path:
    """Where a service writes: its log, or the file of StandardOutput=append:FILE."""
    kind, _, path = last(unit, "Service", "StandardOutput").partition(":")
    return Path(path) if kind == "append" else log


def _start(command: Command, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command.argv,
        cwd=command.cwd,
        env=command.environment,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    supervise(sys.argv[1])
