"""`status`."""

import json
from typing import Any

import click

from prep.commands.perform import make_job
from prep.options import COMMON
from prep.progress import Progress, one_line
from prep.stages.status import STAGES, status


@click.command("status")
@COMMON
def status_command(**options: Any) -> None:
    """Show which stages are done, and how far the others are.

    \b
    Example:
      python -m prep status --root /data --packed /dataset
    """
    as_json = options.pop("as_json")
    found = status(make_job(options, Progress(shown=False)).layout)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for stage in STAGES:
        facts = found[stage]
        more = f"  {facts['finished']}, {facts['seconds']} s" if facts["state"] == "done" else ""
        if "bytes" in facts:
            more = f"  {facts['bytes'] / 1e9:.1f} GB of the archives"
        click.echo(one_line(f"{stage:<10} {facts['state']}{more}"))
