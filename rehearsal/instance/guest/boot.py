"""Process 1 of an instance: makes its root, mounts, runs user data once, starts services, reaps.

Called as `boot.py CONFIG` in fresh mount, process and host name namespaces (see instance/machine.py).
The host's own root is the read-only lower layer of an overlay, so an instance has all of the host's
programs and changes none of its files. Exit status 0 means powered off, REBOOT started again.
"""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from rehearsal.instance.guest.devices import sync_devices

REBOOT = 3
# Where an instance finds this folder, and the folder it shares with the host.
LIBRARY = Path("/usr/lib/rehearsal")
SHARED = Path("/run/rehearsal")

# Folders that an instance starts without, whatever the host has there.
HIDDEN = (
    "data",
    "dataset",
    "home",
    "opt/dataset-prep",
    "etc/systemd",
    "var/lib/cloud",
    "root/.aws",
    "root/.ssh",
)
OS_RELEASE = 'NAME="Amazon Linux"\nVERSION="2023"\nID="amzn"\nID_LIKE="fedora"\nVERSION_ID="2023"\n'
_NODES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


def mount_root(config: dict[str, Any]) -> bool:
    """Mounts the root volume as the upper layer over the host's root. True on the first boot."""
    top = Path(config["folder"]) / "mnt"
    top.mkdir(exist_ok=True)
    run("mount", config["root_device"], top)
    upper, work, root = top / "upper", top / "work", top / "root"
    first = not upper.exists()
    for folder in (upper, work, root):
        folder.mkdir(exist_ok=True)
    if first:
        for name in HIDDEN:
            (upper / name).mkdir(parents=True)
            for part in [Path(name), *Path(name).parents][:-1]:
                # The folder's owner and mode are the host's, or nobody else could enter it.
                _copy_mode(Path("/") / part, upper / part)
            os.setxattr(upper / name, "trusted.overlay.opaque", b"y")
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", root)
    return first


def _copy_mode(source: Path, target: Path) -> None:
    mode = source.stat().st_mode & 0o7777 if source.is_dir() else 0o755
    target.chmod(mode)


def mount_system(config: dict[str, Any], root: Path) -> None:
    """/proc, /sys, /dev, /run, /tmp and the folders that an instance needs of the host."""
    host_name = config["host_name"]
    kept = {name: Path("/etc", name).read_text() for name in ("resolv.conf", "hosts")}
    run("mount", "-t", "proc", "proc", root / "proc")
    run("mount", "--bind", "-o", "ro", "/sys", root / "sys")
    for name, mode in (("dev", "755"), ("run", "755"), ("tmp", "1777")):
        run("mount", "-t", "tmpfs", "-o", f"mode={mode}", name, root / name)
    show_processors(root, config["processors"])
    for path in config["needed"]:
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", "-o", "ro", path, root / path.lstrip("/"))
    for source, target in ((config["log"], "var/log"), (config["shared"], str(SHARED)[1:])):
        (root / target).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", source, root / target)
    for name, text in kept.items():
        (root / "etc" / name).unlink(missing_ok=True)
        (root / "etc" / name).write_text(text)
    make_devices(root / "dev")
    socket.sethostname(host_name)


def show_processors(root: Path, count: int) -> None:
    """What sysconf, and so Python and Ray, take for the number of processors. Nothing limits their use."""
    shown, hidden = root / "run" / "processors", root / "sys" / "devices" / "system" / "cpu" / "online"
    shown.write_text(f"0-{count - 1}\n" if count > 1 else "0\n")
    if hidden.exists():
        run("mount", "--bind", "-o", "ro", shown, hidden)


def install_commands(folder: Path, config: dict[str, Any]) -> None:
    """The commands of Amazon Linux that the host lacks, or whose own would change the host."""
    shutil.copytree(Path(__file__).parent / "commands", folder)
    for name in ("dnf", "shutdown", "systemctl", "udevadm"):
        module = f"rehearsal.instance.guest.{name}"
        python = shlex.join(["env", f"PYTHONPATH={config['repository']}", sys.executable, "-B", "-m", module])
        (folder / name).write_text(f'#!/bin/sh\nexec {python} "$@"\n')
        (folder / name).chmod(0o755)
    (folder / "aws").symlink_to(config["aws"])


def make_devices(dev: Path) -> None:
    for name, minor in _NODES.items():
        _node(dev / name, os.makedev(1, minor))
    _node(dev / "tty", os.makedev(5, 0))
    for name, options in (("pts", "newinstance,ptmxmode=0666"), ("shm", "mode=1777")):
        (dev / name).mkdir()
        run("mount", "-t", "devpts" if name == "pts" else "tmpfs", "-o", options, name, dev / name)
    (dev / "ptmx").symlink_to("pts/ptmx")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (dev / name).symlink_to(f"/proc/self/fd/{number}")
    (dev / "fd").symlink_to("/proc/self/fd")


def _node(path: Path, device: int) -> None:
    os.mknod(path, 0o666 | 0o020000, device)
    path.chmod(0o666)


def enter(root: Path) -> None:
    """Makes root the root of every process here, and lets go of the host's."""
    os.chdir(root)
    Path("old").mkdir(exist_ok=True)
    run("pivot_root", ".", "old")
    os.chdir("/")
    run("umount", "--lazy", "/old")
    Path("/old").rmdir()


def first_boot() -> None:
    """What an Amazon Linux image brings and the host may lack: its release file, ec2-user, an fstab."""
    for name in ("/etc/os-release", "/etc/fstab"):
        Path(name).unlink(missing_ok=True)
    Path("/etc/os-release").write_text(OS_RELEASE)
    Path("/etc/fstab").write_text("# made by the image\n")
    for name, line in (
        ("/etc/passwd", "ec2-user:x:1000:1000:EC2 Default User:/home/ec2-user:/bin/bash"),
        ("/etc/group", "ec2-user:x:1000:"),
    ):
        others = [old for old in Path(name).read_text().splitlines() if old.split(":")[2] != "1000"]
        Path(name).write_text("\n".join([*others, line]) + "\n")
    Path("/home/ec2-user").mkdir(parents=True)
    os.chown("/home/ec2-user", 1000, 1000)
    # The host's Python may live below /root (pyenv): the service's user has to get through, not look around.
    Path("/root").chmod(0o711)
    Path("/etc/systemd/system/multi-user.target.wants").mkdir(parents=True, exist_ok=True)


def start_user_data() -> "subprocess.Popen[bytes] | None":
    """Starts the user data as cloud-init does: once in an instance's life, as root."""
    done = Path("/var/lib/cloud/instance/sem/config_scripts_user")
    script = SHARED / "user-data"
    if done.exists() or not script.exists():
        return None
    done.parent.mkdir(parents=True, exist_ok=True)
    part = Path("/var/lib/cloud/instance/scripts/part-001")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(script.read_bytes())
    part.chmod(0o700)
    done.touch()
    with Path("/var/log/cloud-init-output.log").open("ab") as log:
        return subprocess.Popen([part], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")


def start_enabled_services() -> None:
    for unit in sorted(Path("/etc/systemd/system/multi-user.target.wants").iterdir()):
        subprocess.run([LIBRARY / "commands" / "systemctl", "start", unit.name], check=False)


def mount_fstab() -> None:
    with Path("/var/log/boot.log").open("ab") as log:
        subprocess.run(["mount", "--all"], check=False, stdout=log, stderr=log)


class Init:
    """The loop of process 1."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._exit: int | None = None
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._asked)

    def _asked(self, number: int, _frame: FrameType | None) -> None:
        self._exit = REBOOT if number == signal.SIGUSR1 else 0

    def loop(self, user_data: "subprocess.Popen[bytes] | None") -> int:
        """Follows the host's list of attached devices until asked to shut down."""
        while self._exit is None:
            sync_devices(SHARED / "devices.json", Path("/dev"))
            if user_data is not None and user_data.poll() is not None:
                (SHARED / "user-data.status").write_text(str(user_data.returncode))
                user_data = None
            _reap(user_data.pid if user_data else 0)
            time.sleep(0.1)
        _stop_everything()
        return self._exit


def _reap(known: int) -> None:
    """Orphans become children of process 1: their exit statuses are collected, but not the known child's."""
    for child in _children():
        if child != known:
            try:
                os.waitpid(child, os.WNOHANG)
            except ChildProcessError:
                continue


def _children() -> list[int]:
    return [int(pid) for pid in Path("/proc/1/task/1/children").read_text().split()]


def _stop_everything() -> None:
    """SIGTERM, then SIGKILL after 10 s (systemd gives 90; nothing here needs that), then unmount."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 2.0)):
        try:
            os.kill(-1, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + seconds
        while _children() and time.monotonic() < deadline:
            _reap(0)
            time.sleep(0.02)
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if line.startswith("/dev/"):
            subprocess.run(["umount", line.split()[1]], check=False, stderr=subprocess.DEVNULL)
    os.sync()


def main() -> int:
    if os.getpid() != 1:
        print(
            "boot.py shuts down all processes that it sees: it must be process 1 of an instance",
            file=sys.stderr,
        )
        return 2
    config = json.loads(Path(sys.argv[1]).read_text())
    first = mount_root(config)
    root = Path(config["folder"]) / "mnt" / "root"
    mount_system(config, root)
    if first:
        install_commands(root / str(LIBRARY)[1:] / "commands", config)
    enter(root)
    os.environ.clear()
    os.environ.update(config["environment"])
    if first:
        first_boot()
    sync_devices(SHARED / "devices.json", Path("/dev"))
    mount_fstab()
    init = Init(config)
    (SHARED / "booted").touch()
    if not first:
        shutil.rmtree(SHARED / "units", ignore_errors=True)  # what was running when it was stopped
        start_enabled_services()
    return init.loop(start_user_data())


if __name__ == "__main__":
    sys.exit(main())
