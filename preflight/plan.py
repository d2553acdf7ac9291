"""`make plan`: the plan of `prep plan`, for the settings of a deployment, after these have been checked."""

import sys
from dataclasses import fields
from typing import Any

import click
from botocore.exceptions import BotoCoreError

from preflight.account import explain, region_in_use
from preflight.context import CONTEXT, read_context
from prep.datasets import description
from prep.errors import CredentialsError, PrepError
from prep.plan import report
from prep.plan.options import plan_options
from prep.plan.wish import Wish
from stacks.settings import Settings, SettingsError, load_settings


@click.command()
@CONTEXT
@plan_options
def main(given: tuple[str, ...], refresh: bool, as_json: bool, **options: Any) -> None:
    """Calculate time and cost of a deployment with these settings. Nothing is asked of AWS.

    The plan goes to standard output. The exit status is 2 if a setting is wrong.

    \b
    Example:
      python -m preflight.plan -c resize=256 --days 3
    """
    try:
        settings, dataset = load_settings(read_context(given))
        described = description.load(str(dataset.path))
        click.echo(report.told(described, wish_of(settings, options), refresh, as_json))
    except SettingsError as error:
        click.echo(error, err=True)
        sys.exit(2)
    except BotoCoreError as error:
        click.echo(explain(error), err=True)
        sys.exit(CredentialsError.exit_code)
    except PrepError as error:
        click.echo(error, err=True)
        sys.exit(error.exit_code)


def wish_of(settings: Settings, options: dict[str, Any]) -> Wish:
    """What is wished for: each setting by its name, and the options that only a plan has.

    Raises:
        BotoCoreError: no Region is given, and the AWS configuration is wrong.
    """
    named = {each.name for each in fields(Settings)} & {each.name for each in fields(Wish)} - {"region"}
    given = {name: getattr(settings, name) for name in named}
    return Wish(**given, region=region_in_use(settings.region), own_key=settings.key is not None, **options)


if __name__ == "__main__":
    main()
