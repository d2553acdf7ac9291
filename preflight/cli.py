"""The command line of preflight: settings in, a table or JSON out, and the exit status."""

import json
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError

from preflight.account import explain, open_account
from preflight.context import CONTEXT, read_context
from preflight.deployed import STACKS
from preflight.examination import Examination, examine
from preflight.findings import Finding, Verdict
from prep.errors import CredentialsError, PrepError
from stacks.settings import CONTROL, SettingsError, load_settings

COLOURS: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILS: "red"}


@click.command()
@CONTEXT
@click.option(
    "--stacks",
    "selection",
    default="--all",
    metavar="NAMES",
    help="The stacks to be deployed, separated by spaces, as for cdk.  [default: all]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--print-zone", is_flag=True, help="Print only the zone for the prep instance.")
def main(given: tuple[str, ...], selection: str, as_json: bool, print_zone: bool) -> None:
    """Check an AWS account before a deployment. It changes nothing and costs nothing.

    The table goes to standard error, the JSON or the zone to standard output. The exit status is 1 if the
    deployment would fail, 2 if a setting is wrong, and 3 if the AWS configuration is wrong.

    \b
    Example:
      python -m preflight -c region=eu-west-1 --stacks "Dataset Prep"
    """
    if as_json and print_zone:
        raise click.UsageError("--json contains the zone; use it without --print-zone")
    try:
        settings, dataset = load_settings(read_context(given))
        account = open_account(settings.region)
        result = examine(account, settings, dataset, _stacks(selection))
    except SettingsError as error:
        click.echo(error, err=True)
        sys.exit(2)
    except BotoCoreError as error:
        click.echo(explain(error), err=True)
        sys.exit(CredentialsError.exit_code)
    except PrepError as error:
        click.echo(error, err=True)
        sys.exit(error.exit_code)
    coloured = None if not os.environ.get("NO_COLOR") else False  # None: as the terminal can
    for line in table(result.findings):
        click.echo(line, err=True, color=coloured)
    click.echo(_summary(result), err=True)
    if as_json:
        click.echo(json.dumps(_facts(result, account.region), indent=2))
    elif print_zone and result.zone:
        click.echo(result.zone)
    sys.exit(1 if result.count(Verdict.FAILS) else 0)


def _stacks(selection: str) -> Collection[str]:
    """The stacks that cdk deploys for this selection. A pattern counts as all stacks."""
    names = selection.split()
    # cdk also deploys what the named stacks depend on.
    return {"Dataset", *names} if names and set(names) <= set(STACKS) else STACKS


def table(findings: Sequence[Finding]) -> list[str]:
    """A line for each finding."""
    width = max(len(finding.check) for finding in findings)
    return [
        f"{click.style(f'{finding.verdict:<8}', fg=COLOURS[finding.verdict])} {finding.check:<{width}}  "
        + CONTROL.sub("?", f"{finding.found}{': ' if finding.remedy else ''}{finding.remedy}")
        for finding in findings
    ]


def _summary(result: Examination) -> str:
    failing, warnings = result.count(Verdict.FAILS), result.count(Verdict.WARNING)
    verdict = "the deployment would fail" if failing else "the deployment can begin"
    return f"preflight: {verdict}: {failing} of {len(result.findings)} checks fail, {warnings} with a warning"


def _facts(result: Examination, region: str) -> dict[str, Any]:
    return {
        "region": region,
        "zone": result.zone,
        "fails": result.count(Verdict.FAILS),
        "checks": [asdict(finding) for finding in result.findings],
    }
