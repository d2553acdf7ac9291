"""The settings of a deployment, as its command line gives them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

CDK_FILE: Final = Path(__file__).parents[1] / "cdk.json"

CONTEXT = click.option(
    "-c",
    "--context",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the stacks, as for cdk.",
)


def read_context(given: tuple[str, ...]) -> Mapping[str, Any]:
    """The context of cdk.json, and over it what is given. As in cdk, the last value of a setting counts."""
    context: dict[str, Any] = json.loads(CDK_FILE.read_text(encoding="utf-8"))["context"]
    for assignment in given:
        name, sign, value = assignment.partition("=")
        if not sign:
            raise click.UsageError(f"--context {assignment}: must be NAME=VALUE")
        context[name] = value
    return context
