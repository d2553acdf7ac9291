"""What the commands of the stages share: options become a job, which does its work and gives a result."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from prep import contract, notify
from prep.datasets import description
from prep.job import Job
from prep.progress import Progress
from prep.records.dealing import PackSettings
from prep.state.layout import Layout
from prep.state.receipts import Receipt

PACK_SETTINGS = ("resize", "quality", "seed", "part_mib")


def make_job(options: dict[str, Any], progress: Progress) -> Job:
    """The job that the options of a command describe."""
    options.pop("no_progress")
    packing = {key: options.pop(key) for key in PACK_SETTINGS if key in options}
    described = description.load(options.pop("dataset"))
    environment = options.pop("environment")
    return Job(
        description=described.in_environment(environment) if environment else described,
        layout=Layout(options.pop("root").absolute(), options.pop("packed").absolute()),
        progress=progress,
        settings=PackSettings(**packing),
        **options,
    )


def perform(
    options: dict[str, Any],
    stage: Callable[[Job], Receipt | list[Receipt]],
    last_words: Callable[[Job, list[Receipt]], str] | None = None,
) -> None:
    """Do a stage, or several, and print the receipts as JSON or, if there are any, the last words."""
    as_json = options.pop("as_json")
    with Progress(shown=not options["no_progress"]) as progress:
        job = make_job(options, progress)
        with job.locked():
            result = stage(job)
    if as_json:
        plain = [asdict(receipt) for receipt in result] if isinstance(result, list) else asdict(result)
        click.echo(json.dumps(plain, indent=2))
    elif last_words and isinstance(result, list):
        click.echo(last_words(job, result))


def machine() -> notify.Machine:
    """The instance that this process runs on, as its service names it."""
    names = (contract.ENV_INSTANCE, contract.ENV_MACHINE, "AWS_DEFAULT_REGION")
    return notify.Machine(*(os.environ.get(name, "") for name in names))
