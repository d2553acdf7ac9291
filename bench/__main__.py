"""`python -m bench NAME`: tables on standard error, one line of JSON on standard output."""

import fcntl
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bench import report, results
from bench.measures import cluster, cluster_kill, cold, fidelity, kill, pack, read, scale, size, whole
from bench.report import BenchError, Result
from bench.rigs import process
from bench.workloads.workload import CACHE, Given
from rehearsal.servers.s3 import S3ServerError

NAMES = ("pack", "fidelity", "cold", "whole", "size", "kill", "read", "cluster", "cluster-kill", "scale")

Command = Callable[..., None]


def _data(command: Command) -> Command:
    """The options that replace a benchmark's own data with the user's data."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    for option in (
        click.option(
            "--images",
            type=folder,
            help="Use the images in this folder of class folders instead of generated ones.",
        ),
        click.option(
            "--archives", type=folder, help="Use the archives in this folder, which --dataset describes."
        ),
        click.option(
            "--dataset",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Data set description (.toml) of --archives.",
        ),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Measure prep, and compare it with the tools that a user would use instead.

    Each benchmark ends with one line of JSON on standard output; tables and progress go to standard error.

    \b
    Example:
      python -m bench pack --rounds 1
    """


@cli.command("pack")
@_data
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often each command is run.",
)
def pack_command(images: Path | None, archives: Path | None, dataset: Path | None, rounds: int) -> None:
    """Images per second with a warm page cache.

    Compared with im2rec.py, and with a bare loop that does nothing else.

    \b
    Example:
      python -m bench pack --rounds 1
    """
    _measure(lambda: pack.measure(Given(images, archives, dataset), rounds))


@cli.command("fidelity")
@_data
def fidelity_command(images: Path | None, archives: Path | None, dataset: Path | None) -> None:
    """How near reduced images are to an exact area average.

    And how large they are; both beside im2rec.py.

    \b
    Example:
      python -m bench fidelity
    """
    _measure(lambda: fidelity.measure(Given(images, archives, dataset)))


@cli.command("cold")
@_data
def cold_command(images: Path | None, archives: Path | None, dataset: Path | None) -> None:
    """All stages on a cold disk, one by one.

    Beside untar, im2rec.py and aws s3 cp. Needs root.

    \b
    Example:
      python -m bench cold
    """
    _measure(lambda: cold.measure(Given(images, archives, dataset)))


@cli.command("whole")
@_data
def whole_command(images: Path | None, archives: Path | None, dataset: Path | None) -> None:
    """A run over a paced link and on slow disks.

    Beside the least time that these allow. Needs root.

    \b
    Example:
      python -m bench whole
    """
    _measure(lambda: whole.measure(Given(images, archives, dataset)))


@cli.command("size")
@_data
@click.option(
    "--scale",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of ImageNet's number of images.",
)
def size_command(images: Path | None, archives: Path | None, dataset: Path | None, scale: float) -> None:
    """Pack and verify as many images as ImageNet has.

    Measures the memory, and whether the last images take longer than the first.

    \b
    Example:
      python -m bench size --scale 0.01
    """
    _measure(lambda: size.measure(Given(images, archives, dataset), scale))


@cli.command("kill")
@_data
@click.option("--kills", type=click.IntRange(min=1), default=100, show_default=True, help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the moments.")
def kill_command(
    images: Path | None, archives: Path | None, dataset: Path | None, kills: int, seed: int
) -> None:
    """Kill a run at random moments.

    Checks that it ends with the same bytes, and measures how little is done twice.

    \b
    Example:
      python -m bench kill --kills 10
    """
    _measure(lambda: kill.measure(Given(images, archives, dataset), kills, seed))


@cli.command("read")
@_data
@click.option(
    "--rounds", type=click.IntRange(min=1), default=2, show_default=True, help="How often each reader is run."
)
def read_command(images: Path | None, archives: Path | None, dataset: Path | None, rounds: int) -> None:
    """What a trainer gets from several readers.

    Ours, MXNet's, NVIDIA DALI's, and PyTorch's of a folder, cold and warm. Needs root.

    \b
    Example:
      python -m bench read --rounds 1
    """
    _measure(lambda: read.measure(Given(images, archives, dataset), rounds))


@cli.command("cluster")
@_data
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often each command is run.",
)
@click.option(
    "--scale",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the generated set's 80 classes; less than 1 leaves out the shuffle alone.",
)
def cluster_command(
    images: Path | None, archives: Path | None, dataset: Path | None, rounds: int, scale: float
) -> None:
    """Pack on Ray, beside the local engine at equal cores.

    With a real S3 server. Measures also the requests to S3, the memory of a worker, and the shuffle alone:
    through S3, and through Ray's object store. Needs Ray.

    \b
    Example:
      python -m bench cluster --rounds 1 --scale 0.1
    """
    _measure(lambda: cluster.measure(Given(images, archives, dataset), rounds, scale))


@cli.command("scale")
@_data
def scale_command(images: Path | None, archives: Path | None, dataset: Path | None) -> None:
    """What the model of a large cluster rests on.

    Measures what single things cost, and compares it with what the model assumes; compares the model with a
    simulation. docs/cluster-scale.md has what follows from them. Needs Ray.

    \b
    Example:
      python -m bench scale
    """
    _measure(lambda: scale.measure(Given(images, archives, dataset)))


@cli.command("cluster-kill")
@_data
@click.option("--kills", type=click.IntRange(min=1), default=20, show_default=True, help="How many jobs.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the moments.")
def cluster_kill_command(
    images: Path | None, archives: Path | None, dataset: Path | None, kills: int, seed: int
) -> None:
    """Kill workers, nodes and drivers of a cluster.

    Checks that `pack --on ray`, run again, ends with the bytes of one machine, and does nothing twice.

    \b
    Example:
      python -m bench cluster-kill --kills 3
    """
    _measure(lambda: cluster_kill.measure(Given(images, archives, dataset), kills, seed))


@cli.command("all")
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
def all_command(names: Sequence[str]) -> None:
    """Run the benchmarks, and write their tables.

    Runs all on their own data, or those named. The tables go to bench/RESULTS.md, the figures to
    docs/measurements.md too, as each benchmark ends: a failure or Ctrl-C loses only what was under way. The
    tables of the others stay.

    \b
    Example:
      python -m bench all pack size
    """
    for name in names or NAMES:
        line = _run(name)
        click.echo(json.dumps(line, ensure_ascii=False))
        tables = results.with_section(results.RESULTS.read_text(), line, NAMES)
        results.RESULTS.write_text(tables)
        results.MEASUREMENTS.write_text(results.with_figures(results.MEASUREMENTS.read_text(), tables))


def _run(name: str) -> dict[str, Any]:
    """A benchmark in a process of its own, so that none is measured with another's memory or threads."""
    click.echo(f"bench: {name} …", err=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / f"{name}.log"
    log.unlink(missing_ok=True)
    line: dict[str, Any] = json.loads(process.run([sys.executable, "-m", "bench", name], log).output)
    click.echo(log.read_text(), err=True)
    return line


def _measure(benchmark: Callable[[], Result]) -> None:
    """Run a benchmark, alone, and print what it found."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError("another benchmark is running: wait for it, or both would be wrong") from None
        result = benchmark()
    click.echo(report.human(result), err=True)
    click.echo(report.json_line(result))


def main() -> int:
    """Run the command line and return its exit code; every expected failure is one line."""
    try:
        cli.main(standalone_mode=False, prog_name="python -m bench")
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130
    except (BenchError, S3ServerError) as error:
        click.echo(f"error: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
