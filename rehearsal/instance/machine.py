"""An instance as processes of this machine: its own root, devices, mounts, process ids and host name.

Everything hangs on one process. When that ends, however it ends, the kernel takes the instance's other
processes, its mounts and its loop device with it.
"""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rehearsal.instance.guest import boot
from rehearsal.instance.loop import GIB, loop_device

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = "/usr/lib/rehearsal/commands"
PATH = f"{COMMANDS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_PROCESSORS = 1 << 16
ROOT_GIB = 32  # sparse: what an instance writes is all that it takes
# Instance families that run on Xen; all later ones are Nitro, where EBS volumes are NVMe devices.
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-nitro-instances.html
XEN = frozenset(
    {"c1", "c3", "c4", "d2", "f1", "g2", "g3", "g3s", "h1", "i2", "i3", "m1", "m2", "m3", "m4"}
    | {"p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e"}
)
# Of the host's environment, only what a package installer needs to reach its registry.
PASSED_ON = ("PIP_", "SSL_CERT_", "REQUESTS_CA_", "http_proxy", "https_proxy", "no_proxy", "HTTP", "NO_PROXY")

# Starts instances from one thread that never ends: the kernel ends an instance with the thread it came from.
_launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")


@dataclass(frozen=True)
class Hardware:
    """What an instance is made of."""

    instance_id: str
    instance_type: str
    user_data: bytes
    processors: int | None = None  # as many as its type has; None: all that this machine has

    @property
    def is_nitro(self) -> bool:
        return self.instance_type.partition(".")[0] not in XEN


class Machine:
    """One instance. `on_power_off` is called when it shuts itself down."""

    def __init__(
        self,
        folder: Path,
        hardware: Hardware,
        environment: Mapping[str, str],
        on_power_off: Callable[[], None],
    ) -> None:
        self.folder = folder
        self.hardware = hardware
        self._environment = environment
        self._on_power_off = on_power_off
        self._process: subprocess.Popen[bytes] | None = None
        self._root: tuple[str, int] | None = None
        self._devices: list[dict[str, str | int]] = []
        self._lock = threading.RLock()
        self._ending = False
        for name in ("log", "shared"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (self.shared / "user-data").write_bytes(hardware.user_data)
        self._write_devices()
        _make_root(self.folder / "root.img")

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    @property
    def pid(self) -> int | None:
        """The host's number for the instance's process 1."""
        if self._process is None or self._process.poll() is not None:
            return None
        try:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        except OSError:
            return None
        return int(children.split()[0]) if children.strip() else None

    def start(self) -> None:
        with self._lock:
            self._ending = False
            (self.shared / "booted").unlink(missing_ok=True)
            if self._root is None:
                self._root = loop_device(self.folder / "root.img")
            self._process = _launcher.submit(self._launch, self._root[0]).result()
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()
        deadline = time.monotonic() + 10
        while self.pid is None and self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        (self.folder / "pid").write_text(str(self.pid))

    def _launch(self, root_device: str) -> "subprocess.Popen[bytes]":
        (self.folder / "boot.json").write_text(json.dumps(self._boot_config(root_device)))
        namespaces = [
            "--mount",
            "--pid",
            "--uts",
            "--fork",
            "--kill-child=SIGKILL",
            "--propagation",
            "private",
        ]
        program = [
            sys.executable,
            "-B",
            "-m",
            "rehearsal.instance.guest.boot",
            str(self.folder / "boot.json"),
        ]
        with (self.folder / "log" / "boot.log").open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, *program],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=REPOSITORY,
                env={"PATH": PATH.removeprefix(f"{COMMANDS}:"), "LANG": "C.UTF-8"},
                start_new_session=True,
            )

    def _boot_config(self, root_device: str) -> dict[str, object]:
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        needed = {str(REPOSITORY), sys.prefix, sys.base_prefix}
        return {
            "folder": str(self.folder),
            "log": str(self.folder / "log"),
            "shared": str(self.shared),
            "root_device": root_device,
            "processors": min(self.hardware.processors or MOST_PROCESSORS, os.cpu_count() or 1),
            "host_name": f"ip-{self.hardware.instance_id[2:10]}",
            "needed": sorted(path for path in needed if path != "/" and not path.startswith("/usr")),
            "repository": str(REPOSITORY),
            "aws": str(Path(sys.prefix) / "bin" / "aws"),
            "environment": {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", **passed, **self._environment},
        }

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        status = process.wait()
        if status == boot.REBOOT and not self._ending:
            self.start()
        elif not self._ending:
            self._on_power_off()

    def attach(self, volume_id: str, loop: str, asked: str) -> None:
        """Shows a volume to the instance; returns once it is there, at most 5 s later."""
        name = asked.removeprefix("/dev/")
        number = sum(str(entry["node"]).startswith("nvme") for entry in self._devices) + 1
        node = f"nvme{number}n1" if self.hardware.is_nitro else name.replace("sd", "xvd", 1)
        device = Path(loop).stat().st_rdev
        entry: dict[str, str | int] = {"volume": volume_id, "asked": name, "node": node}
        entry |= {"major": os.major(device), "minor": os.minor(device)}
        with self._lock:
            self._devices.append(entry)
            self._write_devices()
        self._wait_for_node(node, present=True)

    def detach(self, volume_id: str) -> None:
        with self._lock:
            gone = [entry for entry in self._devices if entry["volume"] == volume_id]
            self._devices = [entry for entry in self._devices if entry["volume"] != volume_id]
            self._write_devices()
        for entry in gone:
            self._wait_for_node(str(entry["node"]), present=False)

    def _write_devices(self) -> None:
        partial = self.shared / "devices.partial"
        partial.write_text(json.dumps(self._devices))
        partial.rename(self.shared / "devices.json")

    def _wait_for_node(self, node: str, *, present: bool) -> None:
        deadline = time.monotonic() + 5
        while (pid := self.pid) and (self.shared / "booted").exists() and time.monotonic() < deadline:
            if Path(f"/proc/{pid}/root/dev/{node}").exists() == present:
                return
            time.sleep(0.02)

    def user_data_status(self) -> int | None:
        """Exit status of the user data; None while it runs."""
        try:
            return int((self.shared / "user-data.status").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def reboot(self) -> None:
        if pid := self.pid:
            os.kill(pid, signal.SIGUSR1)

    def stop(self) -> None:
        """Shuts down in an orderly way within 15 s, or is ended."""
        self._ending = True
        if (pid := self.pid) and self._process:
            os.kill(pid, signal.SIGTERM)
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with self._lock:
            if self._root is not None:
                os.close(self._root[1])
                self._root = None

    def terminate(self) -> None:
        self.stop()
        (self.folder / "root.img").unlink(missing_ok=True)


def _make_root(image: Path) -> None:
    if image.exists():
        return
    with image.open("wb"):
        os.truncate(image, ROOT_GIB * GIB)
    # A small journal and lazy tables: a root volume takes 4 MB until something is written to it.
    options = ["-q", "-J", "size=4", "-E", "lazy_itable_init=1,lazy_journal_init=1"]
    subprocess.run(["mkfs.ext4", *options, str(image)], check=True)
