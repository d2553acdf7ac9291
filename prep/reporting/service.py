"""The service of the prep instance, as systemd has it."""

import subprocess
from pathlib import Path

from prep import contract

QUERY = ("systemctl", "show", "--property=ActiveState", "--value")


def service_state(root: Path) -> str | None:
    """systemd's word for the service that works in the folder `root`; None if no service does.

    The words are those of ActiveState: https://www.freedesktop.org/software/systemd/man/252/systemctl.html
    """
    try:
        lines = Path(contract.ENVIRONMENT_FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    if f"{contract.ENV_ROOT}={root}" not in lines:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [*QUERY, contract.SERVICE], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def up_seconds() -> float | None:
    """For how long this machine has been up, or None where the kernel does not tell."""
    try:
        return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
