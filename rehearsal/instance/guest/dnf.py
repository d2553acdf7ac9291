"""dnf for an instance of the rehearsal: installs nothing, and accepts a package that the host has anyway."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from rehearsal.instance.guest import log_agent

# Package → the command or shared library that shows that the host has what it brings.
AGENT = "amazon-cloudwatch-agent"
COMMANDS = {
    AGENT: "",
    "awscli-2": "aws",
    "coreutils": "cp",
    "curl": "curl",
    "curl-minimal": "curl",
    "diffutils": "cmp",
    "e2fsprogs": "mkfs.ext4",
    "gawk": "awk",
    "jq": "jq",
    "python3.11": "",
    "python3.11-pip": "",
    "tar": "tar",
    "unzip": "unzip",
    "util-linux": "fsfreeze",
    "util-linux-core": "mount",
}
# libquadmath comes within MXNet's own wheel as well; a host without it only shows when MXNet is imported.
LIBRARIES = {"libgomp": "libgomp.so.1", "libquadmath": "", "turbojpeg": "libturbojpeg.so.0"}


def have(package: str) -> bool:
    if package in LIBRARIES:
        cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
        return LIBRARIES[package] in cache
    return package in COMMANDS and (COMMANDS[package] == "" or shutil.which(COMMANDS[package]) is not None)


def provide_python(command: Path) -> None:
    """Python 3.11 with its venv and pip modules: the one that the rehearsal itself was set up with.

    A script and not a link: a virtual environment made through a link would look for the library beside it.
    """
    base = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    if command.resolve() != base:
        command.unlink(missing_ok=True)
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(base))} "$@"\n')
        command.chmod(0o755)


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if words[:1] != ["install"]:
        print(f"dnf: the rehearsal does not know: {' '.join(words[:1])}", file=sys.stderr)
        return 1
    missing = [package for package in words[1:] if not have(package)]
    if missing:
        print(f"Error: Unable to find a match: {' '.join(missing)}", file=sys.stderr)
        return 1
    if any(package.startswith("python3.11") for package in words):
        provide_python(Path("/usr/bin/python3.11"))
    if AGENT in words:
        log_agent.install()
    return 0


if __name__ == "__main__":
    sys.exit(main())
