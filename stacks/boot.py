"""User data: the shell files of userdata/, without comments, below a header of exported settings.

EC2 takes 16 KiB: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from aws_cdk import aws_ec2 as ec2

# The AWS command line asks the metadata service for credentials once, for one second, and AWS itself three
# times, within some seconds: not enough where many instances boot at once. Eight attempts take at most a
# minute and a half.
# https://docs.aws.amazon.com/cli/latest/topic/config-vars.html
# https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-retries.html
COMMAND_LINE: Final = {
    "AWS_METADATA_SERVICE_TIMEOUT": "5",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5",
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "8",
}
# The files of functions that a script needs, in order.
FUNCTIONS: Final = {
    "prep.sh": ("common.sh", "package.sh", "volume.sh", "permanent.sh"),
    "training.sh": ("common.sh", "volume.sh"),
    "cluster.sh": ("common.sh", "package.sh"),
}
LIMIT: Final = 16 * 1024  # bytes
USERDATA: Final = Path(__file__).parent.parent / "userdata"


def render(script: str, exports: Mapping[str, str]) -> ec2.UserData:
    """User data that runs `script`, after the functions that it needs, with the variables of `exports`.

    A value may contain CDK tokens. The text that replaces them at deployment must not contain a single quote.
    """
    lines = ["#!/usr/bin/env bash", "set -euo pipefail"]
    for name, value in (COMMAND_LINE | dict(exports)).items():
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"{name} is not a valid name for an exported variable")
        lines.append(f"export {name}={shlex.quote(value)}")
    for file in (*FUNCTIONS.get(script, ()), script):
        lines += _condensed((USERDATA / file).read_text(encoding="utf-8"))
    text = "\n".join([*lines, ""])
    if len(text.encode()) > LIMIT:
        raise ValueError(
            f"user data of {script} would have {len(text.encode())} bytes, more than EC2's {LIMIT}"
        )
    return ec2.UserData.custom(text)


def _condensed(text: str) -> Iterator[str]:
    """The lines of a shell file that it needs to run. A here-document stays as it is."""
    end = None
    for line in text.splitlines():
        if end is not None:
            end = None if line == end else end
            yield line
        elif (code := line.strip()) and not code.startswith("#"):
            document = re.search(r"<<['\"]?([A-Z]+)['\"]?$", code)
            end = document[1] if document else None
            yield code
