"""What the commands share that can run on a Ray cluster."""

import json
from dataclasses import asdict
from typing import Any

import click
from click.core import ParameterSource

from prep.commands.perform import PACK_SETTINGS
from prep.datasets import description
from prep.datasets.description import Description
from prep.errors import DescriptionError
from prep.progress import Progress
from prep.records.dealing import PackSettings
from prep.state.receipts import Receipt


def pack_on_ray(options: dict[str, Any]) -> None:
    """Pack on a cluster, and print the receipt if it is asked for."""
    from prep.cluster.engine import connected  # the others import nothing of the cluster
    from prep.cluster.pack import Order, pack
    from prep.cluster.place import Place

    _refuse(options, from_folders="the archives are read", threads="a task has one thread")
    order = Order(
        described(options),
        Place.parse(_address(options, "source")),
        Place.parse(_address(options, "packed")),
        PackSettings(**{key: options[key] for key in PACK_SETTINGS}),
        options["allow_unreadable"],
    )
    with Progress(shown=not options["no_progress"]) as progress:
        receipt = pack(order, lambda: connected(options["address"], progress), progress)
    show(receipt, options)


def verify_on_ray(options: dict[str, Any]) -> None:
    """Verify on a cluster, and print the receipt if it is asked for."""
    from prep.cluster.engine import connected
    from prep.cluster.place import Place
    from prep.cluster.verify import verify

    _refuse(options, against="the packed files are read", threads="a task has one thread")
    packed = Place.parse(_address(options, "packed"))
    with Progress(shown=not options["no_progress"]) as progress:
        receipt = verify(
            described(options),
            packed,
            lambda: connected(options["address"], progress),
            progress,
            options["strict"],
        )
    show(receipt, options)


def _refuse(options: dict[str, Any], **reasons: str) -> None:
    """Refuse options that mean nothing on a cluster."""
    for name, why in reasons.items():
        if options.pop(name):
            option = f"--{name.replace('_', '-')}"
            raise DescriptionError(f"{option}: not with --on ray, where {why}: leave it out")


def described(options: dict[str, Any]) -> Description:
    """The data set that the options name."""
    found = description.load(options["dataset"])
    return found.in_environment(options["environment"]) if options["environment"] else found


def _address(options: dict[str, Any], name: str) -> str:
    value = options[name]
    if not isinstance(value, str) or not value.startswith("s3://"):
        raise DescriptionError(f"--{name}: with --on ray, give an address like s3://bucket/prefix")
    return value


def refuse_addresses(options: dict[str, Any]) -> None:
    """Remove the options that only a cluster has, after a look at those that are wrong on one machine.

    Raises:
        DescriptionError: --packed is an address, or --address or --source is given.
    """
    if isinstance(options["packed"], str):
        raise DescriptionError("--packed: is an address in S3: give a folder, or add --on ray")
    if options.pop("address"):
        raise DescriptionError("--address: only with --on ray: add it, or leave --address out")
    # PREP_SOURCE may be there for `download`.
    if click.get_current_context().get_parameter_source("source") is ParameterSource.COMMANDLINE:
        raise DescriptionError("--source: only with --on ray: add it, or leave --source out")
    options.pop("source", None)


def show(receipt: Receipt, options: dict[str, Any]) -> None:
    """Print the receipt as JSON, if it is asked for."""
    if options["as_json"]:
        click.echo(json.dumps(asdict(receipt), indent=2))
