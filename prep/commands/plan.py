"""`plan`."""

from collections.abc import Callable
from typing import Any

import click

from prep import contract
from prep.datasets import description
from prep.plan import machines, report
from prep.plan.options import plan_options
from prep.plan.wish import Wish

SIZE = click.IntRange(min=1)
VOLUME = click.Choice(machines.VOLUME_TYPES)


def _option(name: str, default: object, text: str, **more: Any) -> Callable[[Any], Any]:
    return click.option(name, default=default, show_default=True, help=text, **more)


@click.command("plan")
@_option(
    "--dataset",
    contract.DATASET,
    "Name of a data set description that comes with prep, or the path of your own (.toml).",
    envvar=contract.ENV_DATASET,
)
@_option(
    "--prep-instance-type",
    contract.PREP_INSTANCE_TYPE,
    "Type of the prep instance.",
    type=click.Choice(list(machines.instance_types())),
    metavar="TYPE",
)
@_option("--work-volume-gib", contract.WORK_VOLUME_GIB, "Size of the work volume.", type=SIZE)
@_option("--work-volume-type", contract.WORK_VOLUME_TYPE, "Type of the work volume.", type=VOLUME)
@_option("--dataset-volume-gib", contract.DATASET_VOLUME_GIB, "Size of the dataset volume.", type=SIZE)
@_option("--dataset-volume-type", contract.DATASET_VOLUME_TYPE, "Type of the dataset volume.", type=VOLUME)
@click.option(
    "--dataset-volume-iops", type=click.IntRange(3000, 80000), help="Its IOPS, if it is gp3.  [default: 3000]"
)
@click.option(
    "--dataset-volume-throughput",
    type=click.IntRange(125, 2000),
    help="Its MiB/s, if it is gp3.  [default: 125]",
)
@_option(
    "--resize",
    contract.RESIZE,
    "Short side in pixels to which larger images are reduced. 0 reduces no image.",
    envvar=contract.ENV_RESIZE,
    type=click.IntRange(min=0),
)
@_option(
    "--quality",
    contract.QUALITY,
    "JPEG quality of the images that are encoded.",
    envvar=contract.ENV_QUALITY,
    type=click.IntRange(1, 100),
)
@_option(
    "--snapshot-of",
    "packed",
    "Volume of which the snapshot is taken.",
    envvar=contract.ENV_SNAPSHOT_OF,
    type=click.Choice(["packed", "work"]),
)
@_option("--training-instance-type", contract.TRAINING_INSTANCE_TYPE, "Type of the training instances.")
@click.option(
    "--initialization-rate", type=click.IntRange(100, 300), help="MiB/s of restored volumes.  [default: none]"
)
@click.option("--own-key", is_flag=True, help="Count a KMS key of your own.")
@_option("--region", "us-east-1", "Region whose prices count, if they were fetched with --refresh.")
@plan_options
def plan_command(dataset: str, refresh: bool, as_json: bool, **options: Any) -> None:
    """Calculate time and cost before anything is spent.

    Shows each part of a preparation with its bytes, requests, time, dollars, and what limits it; what it
    costs to keep the data set and to train from it; and what other settings would change. Needs no
    credentials, except with --refresh. In a checkout, `make plan SETTINGS="resize=256"` takes the settings
    of a deployment.

    \b
    Example:
      python -m prep plan --resize 256 --quality 90 --link-mb 16
    """
    wish = Wish(**options | {"initialization_rate": options["initialization_rate"] or 0})
    click.echo(report.told(description.load(dataset), wish, refresh, as_json))
