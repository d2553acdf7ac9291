"""The command `status`: how far the run in folders of this machine is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from prep.datasets import description
from prep.datasets.description import Description
from prep.options import COMMON
from prep.reporting import places, verdict, view
from prep.reporting.costs import cost_of
from prep.reporting.service import service_state, up_seconds
from prep.reporting.verdict import Place
from prep.reporting.view import Report
from prep.reporting.watch import EVERY, WATCH, watch
from prep.stages.status import status
from prep.state.layout import Layout
from prep.state.lock import is_locked


@click.command("status")
@COMMON
@WATCH
@EVERY
def status_command(
    dataset: str,
    environment: str | None,
    root: Path,
    packed: Path,
    no_progress: bool,  # noqa: ARG001 - an option of all commands
    as_json: bool,
    watching: bool,
    every: float,
) -> None:
    """Show how far the stages are, and if a run is at work.

    Works in the folders of a run, also while it runs. Says what to do next. On another machine than the prep
    instance, `python -m prep.owner status` tells the same. The exit code is 1 if somebody must do something:
    the run has failed, or is dead or stopped.

    \b
    Example:
      python -m prep status --root ~/imagenet --packed ~/imagenet-packed --watch
    """
    if watching and as_json:
        raise click.UsageError("--watch and --json exclude each other: call with --json again and again")
    described = description.load(dataset)
    described = described.in_environment(environment) if environment else described
    layout = Layout(root.absolute(), packed.absolute())
    if watching:
        raise click.exceptions.Exit(watch(lambda: _look(described, layout), Console(highlight=False), every))
    report = _look(described, layout)
    if as_json:
        click.echo(json.dumps(status(layout) | {"run": report.to_json()}, indent=2))
    else:
        view.show(Console(highlight=False), report)
    raise click.exceptions.Exit(report.verdict.code)


def _look(described: Description, layout: Layout) -> Report:
    document, age = places.read_file(layout.status) or (None, 0.0)
    place = Place(described.name, f"{described.options} {layout.options}".strip())
    words = verdict.from_inside(document, age, is_locked(layout), service_state(layout.root), place)
    cost = cost_of(document, age, up_seconds()) if document else None
    report = Report(described.name, words, document, age, cost)
    return replace(report, stages=document.stages if document and report.live else _stages(status(layout)))


def _stages(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Each stage's state: when it was done, or how much of the archives it has done."""
    stages = {}
    for stage, facts in found.items():
        stages[stage] = facts["state"]
        if facts["state"] == "done":
            stages[stage] += f", {facts['finished']}, {facts['seconds']} s"
        elif "bytes" in facts:
            stages[stage] += f", {facts['bytes'] / 1e9:.1f} GB of the archives"
    return stages
