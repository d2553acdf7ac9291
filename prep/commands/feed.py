"""The command `feed`."""

import json
from pathlib import Path

import click

from prep import contract
from prep.errors import DescriptionError
from prep.feed import gpus, report, sample
from prep.feed.measure import Machine, measure
from prep.options import AS_JSON, NO_PROGRESS, packed_in
from prep.progress import Progress
from prep.state.layout import Layout


@click.command("feed")
@packed_in(contract.TRAINING_MOUNT)
@click.option("--split", help="Split to read.  [default: train, or else the first]")
@click.option(
    "--target", type=click.FloatRange(min=0, min_open=True), help="Images per second that training needs."
)
@click.option("--gpu", metavar="NAME[:COUNT]", help=f"GPUs to feed instead: {', '.join(gpus.load())}.")
@click.option("--loaders", type=click.IntRange(min=1), help="Loader processes.  [default: one for each core]")
@click.option(
    "--seconds",
    type=click.FloatRange(min=5),
    default=60,
    show_default=True,
    help="About how long to measure.",
)
@NO_PROGRESS
@AS_JSON
def command(
    packed: Path,
    split: str | None,
    target: float | None,
    gpu: str | None,
    loaders: int | None,
    seconds: float,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Measure whether this machine feeds its GPUs.

    Says what is short, and what mends it. Run it on a training machine, best before the first epoch: it reads
    some of the packed files, decodes and makes batches, and changes none. Ends with 0 whether or not the GPUs
    starve; --json has "starves".

    \b
    Example:
      python -m prep feed --packed /data --gpu a100-40:8
      python -m prep feed --packed /data --target 3000 --json
    """
    if target is not None and gpu is not None:
        raise DescriptionError("--target and --gpu are two targets: give one of them")
    wanted = gpus.Wanted(target, "your --target") if target is not None else None
    if gpu is not None:
        wanted = gpus.parse(gpu)
    machine = Machine.this()
    with Progress(shown=not no_progress) as progress:
        data = sample.read(Layout(packed, packed), split)
        if not no_progress:
            progress.note(f"feed: measures for about {seconds:.0f} s")
        found = measure(data, machine, loaders or machine.cores, seconds, progress)
    if as_json:
        click.echo(json.dumps(report.document(data, found, wanted), indent=2))
    else:
        click.echo(report.human(data, found, wanted))
