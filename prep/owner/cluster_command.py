"""The command `cluster` of the account's owner."""

import json

import click

from prep import prices
from prep.aws import clients
from prep.owner import cluster, reports
from prep.owner.account import Account
from prep.owner.options import DRY_RUN, common
from prep.progress import Progress


@click.command("cluster")
@common
@click.option("--stop", is_flag=True, help="End the head and the workers. What is packed so far is kept.")
@DRY_RUN
def cluster_command(
    dataset: str, region: str | None, as_json: bool, no_progress: bool, stop: bool, dry_run: bool
) -> None:
    """Pack the data set on many machines.

    Launches the head of a Ray cluster. It launches workers, packs and verifies the archives of the backup,
    leaves the packed files in the bucket, and ends all machines. Needs a deployment with the setting
    cluster_workers. Run it again after a failure: finished work is kept.

    \b
    Example:
      python -m prep.owner cluster --dry-run
      python -m prep.owner cluster
    """
    with Progress(shown=not no_progress) as progress:
        account = Account(region, note=clients.silent if no_progress else progress.note)
        if stop:
            ended = _stop(account, dataset, dry_run)
            document = reports.cluster_ended(dataset, account.region, ended, dry_run)
            text = reports.cluster_ended_text(ended, dry_run)
        else:
            plan = cluster.make_plan(account, dataset)
            head = None if dry_run else cluster.launch(account, plan, account.note)
            document = reports.cluster(plan, head)
            text = reports.cluster_text(plan, head, prices.load(account.region).note(account.region))
    click.echo(json.dumps(document, indent=2) if as_json else text)


def _stop(account: Account, dataset: str, dry_run: bool) -> list[str]:
    if dry_run:
        return [each["InstanceId"] for each in cluster.machines(account, dataset)]
    return cluster.stop(account, dataset, account.note)
