"""The options that only a plan has, for `prep plan` and for `make plan`."""

from collections.abc import Callable

import click

from prep.plan.wish import LINK_MB

Command = Callable[..., None]


def plan_options(command: Command) -> Command:
    """What no setting of the stacks says."""
    positive = click.FloatRange(min=0, min_open=True)
    for option in reversed(
        (
            click.option(
                "--link-mb",
                type=positive,
                default=LINK_MB,
                show_default=True,
                help="MB/s that you expect of the site, over all connections.",
            ),
            click.option(
                "--organize/--no-organize",
                default=True,
                show_default=True,
                help="Whether class folders are written as well.",
            ),
            click.option(
                "--backup/--no-backup",
                default=True,
                show_default=True,
                help="Whether archives and packed files are sent to S3.",
            ),
            click.option(
                "--instances",
                type=click.IntRange(min=1),
                default=1,
                show_default=True,
                help="Number of training instances.",
            ),
            click.option(
                "--days", type=positive, default=1.0, show_default=True, help="Days that each of them runs."
            ),
            click.option(
                "--refresh", is_flag=True, help="Ask AWS for its prices first, and keep them for next time."
            ),
            click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON."),
        )
    ):
        command = option(command)
    return command
