"""The command `status` of the account's owner."""

import json

import click
from rich.console import Console

from prep.aws import clients
from prep.owner.account import Account
from prep.owner.options import common
from prep.owner.status import Look
from prep.progress import Progress
from prep.reporting import view
from prep.reporting.watch import EVERY, WATCH, watch


@click.command("status")
@common
@WATCH
@EVERY
def status_command(
    dataset: str, region: str | None, as_json: bool, no_progress: bool, watching: bool, every: float
) -> None:
    """Show how far the prep instance is, and whether it is alive.

    Reads the status that the run writes into the bucket every 15 seconds, and looks at the instance. Says
    what to do next. The exit code is 1 if somebody must do something: the run has failed, or is dead or
    stopped.

    \b
    Example:
      python -m prep.owner status
      python -m prep.owner status --watch
    """
    if watching and as_json:
        raise click.UsageError("--watch and --json exclude each other: call with --json again and again")
    note = clients.silent if no_progress else Progress().note
    look = Look(Account(region, note=note, patient=not watching), dataset)
    if watching:
        raise click.exceptions.Exit(watch(look, Console(highlight=False), every))
    report = look()
    if as_json:
        place = {"dataset": dataset, "region": report.region, "bucket": look.bucket}
        click.echo(json.dumps(place | report.to_json(), indent=2))
    else:
        view.show(Console(highlight=False), report)
    raise click.exceptions.Exit(report.verdict.code)
