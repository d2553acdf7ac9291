"""`plan`."""

import json
from typing import Any

import click

from prep import contract, prices
from prep.aws import clients
from prep.datasets import description
from prep.plan import machines, price_list, report
from prep.plan.choices import choices
from prep.plan.plan import make
from prep.plan.wish import LINK_MB, Wish
from prep.progress import Progress
from prep.state.files import write_whole

WHOLE = click.IntRange(min=1)


@click.command("plan")
@click.option(
    "--dataset",
    envvar=contract.ENV_DATASET,
    default=contract.DATASET,
    show_default=True,
    help="Name of a data set description that comes with prep, or the path of your own (.toml).",
)
@click.option(
    "--prep-instance-type",
    type=click.Choice(list(machines.instance_types())),
    default=contract.PREP_INSTANCE_TYPE,
    show_default=True,
    help="Type of the prep instance.",
)
@click.option("--work-volume-gib", type=WHOLE, default=contract.WORK_VOLUME_GIB, show_default=True)
@click.option(
    "--work-volume-type",
    type=click.Choice(machines.VOLUME_TYPES),
    default=contract.WORK_VOLUME_TYPE,
    show_default=True,
)
@click.option("--dataset-volume-gib", type=WHOLE, default=contract.DATASET_VOLUME_GIB, show_default=True)
@click.option(
    "--dataset-volume-type",
    type=click.Choice(machines.VOLUME_TYPES),
    default=contract.DATASET_VOLUME_TYPE,
    show_default=True,
)
@click.option("--dataset-volume-iops", type=click.IntRange(3000, 80000), help="[default: 3000]")
@click.option("--dataset-volume-throughput", type=click.IntRange(125, 2000), help="MiB/s.  [default: 125]")
@click.option(
    "--resize", envvar=contract.ENV_RESIZE, type=click.IntRange(min=0), default=contract.RESIZE,
    show_default=True, help="Short side in pixels to which larger images are reduced; 0 reduces none.",
)  # fmt: skip
@click.option(
    "--quality", envvar=contract.ENV_QUALITY, type=click.IntRange(1, 100), default=contract.QUALITY,
    show_default=True, help="JPEG quality of images that are reduced.",
)  # fmt: skip
@click.option("--snapshot-of", type=click.Choice(["packed", "work"]), default="packed", show_default=True)
@click.option("--organize/--no-organize", default=True, show_default=True, help="Write class folders too.")
@click.option("--backup/--no-backup", default=True, show_default=True, help="Send all to S3 as well.")
@click.option("--own-key", is_flag=True, help="Count the price of a KMS key of your own.")
@click.option(
    "--link-mb",
    type=click.FloatRange(min=0, min_open=True),
    default=LINK_MB,
    show_default=True,
    help="MB/s that you expect of the site, over all connections.",
)
@click.option("--training-instance-type", default=contract.TRAINING_INSTANCE_TYPE, show_default=True)
@click.option("--initialization-rate", type=click.IntRange(0, 300), default=0, show_default=True)
@click.option("--instances", type=WHOLE, default=1, show_default=True, help="Training instances.")
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), default=1, show_default=True,
    help="Days that each of them runs.",
)  # fmt: skip
@click.option("--region", default="us-east-1", show_default=True, help="Region of the prices.")
@click.option("--refresh", is_flag=True, help="Ask AWS for its prices first, and keep them for next time.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan_command(dataset: str, refresh: bool, as_json: bool, **options: Any) -> None:
    """Calculate time and cost before anything is spent.

    Shows each part of a preparation with its bytes, time, dollars, and what limits it; what it costs to keep
    the data set and to train from it; and what other settings would change. Nothing is asked of AWS, and no
    credentials are needed, except with --refresh.

    \b
    Example:
      python -m prep plan --resize 256 --quality 90
    """
    described = description.load(dataset)
    wish = Wish(**options)
    if refresh:
        _refresh(wish)
    show(described, wish, as_json)


def show(described: description.Description, wish: Wish, as_json: bool) -> None:
    """Print a plan."""
    money = prices.load(wish.region)
    plan = make(wish, described, money)
    found = choices(plan, described, money)
    if as_json:
        click.echo(json.dumps(report.as_json(plan, found, described, money), indent=2))
    else:
        click.echo(report.text(plan, found, described, money))


def _refresh(wish: Wish) -> None:
    path = prices.users_file(wish.region)
    with Progress() as progress:
        progress.note(f"price list: asking for the prices of {wish.region}")
        client = clients.client("pricing", price_list.HOME, None, progress.note)
        more = wish.training_instance_type
        fetched = price_list.fetch(client, wish.region, prices.shipped(), progress.note, more)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, prices.as_json(fetched).encode())
    click.echo(f"prices: written to {path}", err=True)
