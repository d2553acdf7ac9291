"""User data: the shell files of userdata/ below a header of exported settings."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aws_cdk import aws_ec2 as ec2

# The AWS command line asks the metadata service for credentials once, for one second: not enough where many
# instances boot at once.
# https://docs.aws.amazon.com/cli/latest/topic/config-vars.html
METADATA_SERVICE: Final = {"AWS_METADATA_SERVICE_TIMEOUT": "5", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5"}
USERDATA: Final = Path(__file__).parent.parent / "userdata"


def render(script: str, exports: Mapping[str, str]) -> ec2.UserData:
    """User data that runs volume.sh's functions and `script` with the variables of `exports`.

    Lines that are comments are left out: EC2 takes at most 16 KiB.
    A value may contain CDK tokens. The text that replaces them at deployment must not contain a single quote.
    """
    lines = ["#!/usr/bin/env bash", "set -euo pipefail"]
    for name, value in (METADATA_SERVICE | dict(exports)).items():
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"{name} is not a valid name for an exported variable")
        lines.append(f"export {name}={shlex.quote(value)}")
    for name in ("volume.sh", script):
        text = (USERDATA / name).read_text(encoding="utf-8")
        lines += [line for line in text.splitlines() if not re.match(r"\s*#(?!!)", line)]
    return ec2.UserData.custom("\n".join([*lines, ""]))
