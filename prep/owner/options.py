"""The options of the owner's commands, and the questions that they ask."""

import functools
import re
import sys
from collections.abc import Callable
from typing import Any

import click

from prep import contract
from prep.errors import PrepError

Command = Callable[..., None]
Option = Callable[[Command], Command]
ACCOUNT = re.compile(r"[0-9]{12}")
SNAPSHOT = re.compile(r"snap-[0-9a-f]{8,17}")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
MANIFEST = re.compile(r"[0-9a-f]{64}")


class Form(click.ParamType[str]):
    """Text of a certain form."""

    def __init__(self, name: str, pattern: str | re.Pattern[str], example: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself, if it has the form."""
        if not self._pattern.fullmatch(str(value)):
            self.fail(f"{value!r} is not {self._example}", param, ctx)
        return str(value)


ACCOUNT_FORM = Form("account", ACCOUNT, "an account's number: twelve digits")
SNAPSHOT_FORM = Form("snapshot", SNAPSHOT, "a snapshot's ID, such as snap-0123456789abcdef0")
REGION_FORM = Form("region", REGION, "a Region, such as eu-west-1")
MANIFEST_FORM = Form("sha-256", MANIFEST, "a SHA-256: 64 hexadecimal digits")

DATASET: Option = click.option(
    "--dataset",
    envvar=contract.ENV_DATASET,
    type=Form("name", contract.DATASET_NAME, "the name of a data set, such as ilsvrc2012"),
    default="ilsvrc2012",
    show_default=True,
    help="Name of the data set, as in the names of its stacks.",
)
ENVIRONMENT: Option = click.option(
    "--environment",
    envvar=contract.ENV_ENVIRONMENT,
    type=Form("name", contract.ENVIRONMENT_NAME, "the name of an environment, such as dev"),
    help="Environment of the deployment, which is appended to the data set's name.",
)
REGION_OPTION: Option = click.option(
    "--region", type=REGION_FORM, help="Region to work in.  [default: that of the environment or the profile]"
)
JSON: Option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
NO_PROGRESS: Option = click.option("--no-progress", is_flag=True, help="Show no progress.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")


def common(command: Command) -> Command:
    """The options that every command has. It gets the name of the deployment's resources as `dataset`."""

    @functools.wraps(command)
    def named(*arguments: Any, dataset: str, environment: str | None, **options: Any) -> None:
        name = contract.resource_name(dataset, environment)
        if not re.fullmatch(contract.DATASET_NAME, name):
            raise click.UsageError(f"--environment {environment}: {name} has more than 30 characters")
        command(*arguments, dataset=name, **options)

    return DATASET(ENVIRONMENT(REGION_OPTION(JSON(NO_PROGRESS(named)))))


def confirm(question: str, yes: bool) -> None:
    """Ask before something is deleted.

    Raises:
        PrepError: the answer is no, or there is nobody to ask.
    """
    if not yes and not agrees(question):
        raise PrepError("not confirmed: nothing was deleted: run again and answer y, or give --yes")


def agrees(question: str) -> bool:
    """Whether the user answers yes. Without anybody to ask, the answer is no."""
    if not sys.stdin.isatty():
        return False
    return click.confirm(question, err=True)
