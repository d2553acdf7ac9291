"""systemctl for an instance of the rehearsal: as much of it as the user data and an operator need."""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rehearsal.instance.guest.units import UNITS, last, read_state, read_unit, write_state


def full(name: str) -> str:
    return name if "." in name else f"{name}.service"


def start(name: str) -> int:
    unit = read_unit(name)
    if read_state(name)["state"] in ("active", "activating"):
        return 0
    for place in " ".join(unit["Unit"]["RequiresMountsFor"]).split():
        # systemd would start the mount unit that fstab gives; one that is not there fails the start.
        if not os.path.ismount(place):
            subprocess.run(["mount", place], check=False)
        in_fstab = any(line.split()[1:2] == [place] for line in Path("/etc/fstab").read_text().splitlines())
        if in_fstab and not os.path.ismount(place):
            print(f"A dependency job for {name} failed: {place} is not mounted.", file=sys.stderr)
            write_state(name, "failed", result="dependency")
            return 1
    write_state(name, "activating", sub="start")
    subprocess.Popen(
        [sys.executable, "-B", "-m", "rehearsal.instance.guest.units", name],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while read_state(name).get("sub") == "start" and time.monotonic() < deadline:
        time.sleep(0.05)
    return 0 if read_state(name)["state"] != "failed" else 1


def stop(name: str) -> int:
    state = read_state(name)
    for key in ("supervisor", "pid"):
        if key in state:
            try:
                os.kill(int(str(state[key])), signal.SIGTERM)
            except ProcessLookupError:
                continue
    write_state(name, "inactive")
    return 0


def enable(name: str) -> int:
    target = last(read_unit(name), "Install", "WantedBy", "multi-user.target")
    link = UNITS / f"{target}.wants" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(UNITS / name)
    return 0


def disable(name: str) -> int:
    for link in UNITS.glob(f"*.wants/{name}"):
        link.unlink()
    return 0


def is_active(name: str, *, quiet: bool) -> int:
    state = str(read_state(name)["state"])
    if not quiet:
        print(state)
    return 0 if state == "active" else 3


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    if not words:
        print("systemctl: the rehearsal needs a command", file=sys.stderr)
        return 1
    verb, names = words[0], [full(name) for name in words[1:]]
    if verb in ("daemon-reload", "reset-failed"):
        return 0
    actions = {"start": [start], "stop": [stop], "restart": [stop, start], "disable": [disable]}
    actions["enable"] = [enable, start] if "--now" in options else [enable]
    if verb in ("poweroff", "reboot"):
        os.kill(1, signal.SIGTERM if verb == "poweroff" else signal.SIGUSR1)
        return 0
    if verb == "is-active":
        return max(is_active(name, quiet="--quiet" in options or "-q" in options) for name in names)
    if verb == "show" and "--property=ActiveState" in options:
        print(*(read_state(name)["state"] for name in names), sep="\n")
        return 0
    if verb == "status":
        for name in names:
            print(name, read_state(name))
        return 0
    if verb not in actions:
        print(f"systemctl: the rehearsal does not know the command {verb}", file=sys.stderr)
        return 1
    for name in names:
        for action in actions[verb]:
            try:
                status = action(name)
            except FileNotFoundError:
                print(f"Failed to {verb} {name}: Unit {name} not found.", file=sys.stderr)
                return 5
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
