"""`python -m rehearsal`: all steps on this machine, without an AWS account."""

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from rehearsal import findings
from rehearsal import full as full_road
from rehearsal.cloud.volumes import check_space
from rehearsal.narrator import Narrator, RehearsalError, visible
from rehearsal.operator import cdk
from rehearsal.preparation import Wishes
from rehearsal.road import travel
from rehearsal.steps import cluster as cluster_steps

MOST_INSTANCES = 40
MOST_WORKERS = 8  # each takes 1 GB of disk and half a GB of memory
# Debian's package for each command that the rehearsal calls.
COMMANDS = {
    "blkid": "util-linux",
    "cmp": "diffutils",
    "curl": "curl",
    "findmnt": "util-linux",
    "fsfreeze": "util-linux",
    "losetup": "mount",
    "make": "make",
    "mkfs.ext4": "e2fsprogs",
    "nsenter": "util-linux",
    "pivot_root": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


class Waves(click.ParamType[tuple[int, ...]]):
    """Numbers of instances, separated by commas."""

    name = "number"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            waves = tuple(int(word) for word in value.split(","))
        except ValueError:
            waves = ()
        if not waves or not all(1 <= wave <= MOST_INSTANCES for wave in waves):
            self.fail(f"{value!r} is not numbers from 1 to {MOST_INSTANCES}, such as 2 or 1,5,10", param, ctx)
        return waves


@click.command()
@click.option(
    "--dataset",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Description (.toml) of a data set to use instead of the generated sample.",
)
@click.option(
    "--archives",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with that data set's archives, under the file names that the description gives.",
)
@click.option(
    "--instances",
    type=Waves(),
    default="2",
    show_default=True,
    help="Number of GPU instances to launch at once. With several, such as 1,5,10,20, one wave after the "
    "other; the last one is used further.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("rehearsal-output"),
    show_default=True,
    help="Folder for the contact sheet, the logs and the report.",
)
@click.option(
    "-c", "--context", multiple=True, metavar="KEY=VALUE", help="A setting of the stacks, as with cdk -c."
)
@click.option(
    "--without",
    multiple=True,
    metavar="ACTION",
    help="Deploy policies without this action, such as ec2:CreateSnapshot: the rehearsal must then fail.",
)
@click.option(
    "--full",
    is_flag=True,
    help="The long road: interruptions in each stage, replacement, destroy in the middle, another Region, "
    "another account.",
)
@click.option(
    "--cluster",
    type=click.IntRange(0, MOST_WORKERS),
    default=0,
    metavar="WORKERS",
    help="Pack on a Ray cluster of so many workers as well, and compare the packed files.",
)
@click.option("--keep", is_flag=True, help="Keep the files of the volumes in the output folder.")
def main(
    dataset: Path | None,
    archives: Path | None,
    instances: tuple[int, ...],
    output: Path,
    context: tuple[str, ...],
    without: tuple[str, ...],
    full: bool,
    cluster: int,
    keep: bool,
) -> None:
    """Run all steps on this machine, without an AWS account.

    Deploys the real stacks into an embedded AWS, boots the prep instance and GPU instances with their real
    user data on real block devices, reads a first batch, and removes everything again. Needs Linux and root.
    The exit status is 0 only if every check succeeds.

    \b
    Example:
      python -m rehearsal --dataset pets.toml --archives ~/pets --instances 3
    """
    if (dataset is None) != (archives is None):
        raise click.UsageError("--dataset and --archives must be given together")
    if full and cluster:
        raise click.UsageError("--full and --cluster: give one of them; each takes minutes")
    if wrong := [word for word in context if "=" not in word]:
        raise click.UsageError(f"-c {wrong[0]}: not KEY=VALUE")
    output = output.resolve()
    settings = dict(word.split("=", 1) for word in context)
    settings = (full_road.SETTINGS if full else {}) | settings
    settings = (cluster_steps.settings(cluster) if cluster else {}) | settings
    rate = full_road.BYTES_A_SECOND if full else None
    wishes = Wishes(output, dataset, archives, instances, settings, without, keep, full, rate, cluster)
    sys.exit(run(wishes))


def run(wishes: Wishes) -> int:
    """Runs all steps and prints the result; returns the exit status."""
    narrator = Narrator()
    # SIGTERM must clean up like Ctrl-C does, and so must Ctrl-C where a script in the background ignores it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    failure: RehearsalError | None = None
    try:
        check_host(wishes.output, wishes.cluster)
        with only_one(wishes.output):
            travel(wishes, narrator)
    except RehearsalError as error:
        failure = error
    except KeyboardInterrupt:
        failure = RehearsalError("interrupted")
    except OSError as error:
        failure = RehearsalError(f"the operating system refused: {error}")
    return report(narrator, failure, wishes.output)


def check_host(output: Path, workers: int = 0) -> None:
    """Checks that this machine can run the rehearsal.

    Raises:
        RehearsalError: something is missing; the message is one line.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise RehearsalError(
            "the rehearsal mounts loop devices, so it needs Linux and root: sudo make rehearse"
        )
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        packages = " ".join(sorted({COMMANDS[name] for name in missing}))
        raise RehearsalError(f"missing commands: {', '.join(missing)}; remedy: apt-get install {packages}")
    if "overlay" not in Path("/proc/filesystems").read_text() or not Path("/dev/loop-control").exists():
        raise RehearsalError(
            "this kernel has no loop devices or no overlay file system for the rehearsal to use"
        )
    cdk.check_installed()
    output.mkdir(parents=True, exist_ok=True)
    check_space(output, workers)


@contextmanager
def only_one(output: Path) -> Iterator[None]:
    """Keeps a second rehearsal out of the folder. The lock ends with the process, even after a kill."""
    with (output / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RehearsalError(f"another rehearsal uses {output}: wait for it, or give --output") from None
        yield


def report(narrator: Narrator, failure: RehearsalError | None, output: Path) -> int:
    if narrator.rows:
        print(f"\n{narrator.table()}\n")
    if failure is not None:
        for line in failure.details:
            print(f"    {visible(line)}", file=sys.stderr)
        where = f" at the step: {narrator.step_name}" if narrator.step_name else ""
        print(f"FAILED{where}: {visible(str(failure))}", file=sys.stderr)
    elif not narrator.all_ok:
        wrong = [what for what, ok, _ in narrator.rows if not ok]
        print(f"FAILED: {'; '.join(wrong)}", file=sys.stderr)
    else:
        print(f"Everything held, in {narrator.elapsed():.0f} s. Files: {output}")
    if output.is_dir():
        (output / "report.json").write_text(findings.as_json(narrator) + "\n")
    return 0 if failure is None and narrator.all_ok else 1


if __name__ == "__main__":
    main()
